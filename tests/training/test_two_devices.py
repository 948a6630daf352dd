import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MARGIN, ALPHA = 0.4, 0.3


@pytest.fixture(scope="module")
def outcome(small_dataset, tmp_path_factory):
    program = Path(__file__).with_name("two_devices.py")
    folder = tmp_path_factory.mktemp("two_devices")
    done = subprocess.run(
        [sys.executable, str(program), str(small_dataset), str(folder)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_negatives_of_the_other_device_are_found(outcome):
    # Each anchor's only negative in the band lies on the other device.
    assert outcome["two"]["logs"]["fallback_share"] == 0
    vectors = np.array(outcome["vectors"])
    triplets, taught = [], []
    for group, n in enumerate(outcome["negatives"]):
        a, p = 3 * group, 3 * group + 1
        d_ap, d_an = (np.linalg.norm(vectors[a] - vectors[x]) for x in (p, n))
        triplets.append(max(d_ap - d_an + MARGIN, 0))
        taught.append(sum(1 - vectors[x] @ vectors[x][::-1] for x in (a, p, n)))
    logs = outcome["two"]["logs"]
    assert logs["triplet_loss"] == pytest.approx(np.mean(triplets), abs=1e-5)
    assert logs["distillation_loss"] == pytest.approx(ALPHA / 3 * np.mean(taught), abs=1e-5)


@pytest.mark.parametrize("loss", ["triplet", "contrastive"])
def test_two_devices_make_the_step_of_one(outcome, loss):
    steps = outcome if loss == "triplet" else outcome["contrastive"]
    one, two = steps["one"], steps["two"]
    assert f"{loss}_loss" in one["logs"]
    assert two["logs"] == pytest.approx(one["logs"], abs=1e-5)
    np.testing.assert_allclose(two["kernel"], one["kernel"], atol=1e-6)
    assert np.abs(np.array(one["kernel"]) - np.eye(6)).max() > 0.01
    assert (one["step"], two["step"]) == (1, 1)


def test_two_devices_take_the_steps_of_one_with_class_centres_and_projections(outcome):
    one, two = outcome["afl"]
    assert {"arcface_loss", "soft_labels_loss", "features_loss"} <= one["logs"].keys()
    assert two["logs"] == pytest.approx(one["logs"], abs=1e-5)
    assert len(one["variables"]) == 4 + 3  # network, centres, kernel and bias of the projection
    for name, value in one["variables"].items():
        np.testing.assert_allclose(two["variables"][name], value, atol=1e-5, err_msg=name)


def test_moments_and_steps_are_each_device_s_own(outcome):
    one, two = outcome["adam"]
    assert one["counts"] == [3]
    assert two["counts"] == [3, 3]
    np.testing.assert_allclose(two["kernel"], one["kernel"], atol=1e-5)
    # Three steps of Adam move what has a gradient by up to 0.05 each.
    assert 0.05 < np.abs(np.array(one["kernel"]) - np.eye(6)).max() < 0.2


def test_an_overflow_on_the_second_device_skips_the_step_on_both(outcome):
    np.testing.assert_array_equal(outcome["overflow"], np.eye(6))


def test_a_whole_run_works_on_both(outcome):
    run = outcome["run"]
    assert run["devices"] == 2
    assert [row["epoch"] for row in run["history"]] == [1, 2]
    assert math.isnan(run["history"][0].pop("teacher_distance"))  # not asked while alpha is 0
    for row in run["history"]:
        assert all(math.isfinite(value) for value in row.values())
        assert 0 <= row["val_eer"] <= 1
    assert [row["unfrozen_stages"] for row in run["history"]] == [1, 3]
    assert 0 < run["history"][1]["teacher_distance"] < 2
    assert run["finite"]
    assert run["complete"]


def test_groups_must_be_shared_evenly(outcome):
    assert "batch.groups" in outcome["run"]["refusal"]
    assert "2 devices" in outcome["run"]["refusal"]


def test_training_is_measured_on_both(outcome):
    speed = outcome["run"]["speed"]
    assert all(value > 0 for value in speed.values())
