import dataclasses
import json

import numpy as np
import pytest

from iris_tf.data.iris_record import IrisRecord
from iris_tf.evaluation.protocols import EveryPair, PairLists
from iris_tf.evaluation.slices import slice_figures
from iris_tf.imaging.geometry import Ellipse
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import (
    evaluate_embeddings,
    evaluate_pairs,
)

EYE = Ellipse(0, 0, 1, 1)
POINTS = ("eer", "far_1e-2", "far_1e-3")


@pytest.fixture
def described(population):
    """Embeddings, rows with ellipses and quality, and their genuine comparisons one by one."""
    embeddings, rows = population(10, 4)
    rng = np.random.default_rng(5)
    rows = [
        dataclasses.replace(
            row,
            iris=IrisRecord(
                Ellipse(0, 0, a, b), Ellipse(0, 0, 100.0, 90.0), 1.0, sharpness=sharpness
            ),
            dataset="one" if int(row.subject[1:]) < 6 else "two",
        )
        for row, a, b, sharpness in zip(
            rows, rng.uniform(20, 60, 80), rng.uniform(20, 60, 80), rng.uniform(0, 100, 80),
            strict=True,
        )
    ]  # fmt: skip
    genuine = [
        (i, j, float(embeddings[i].astype(float) @ embeddings[j].astype(float)))
        for i in range(80)
        for j in range(i + 1, 80)
        if rows[i].identity == rows[j].identity
    ]
    return embeddings, rows, genuine


def test_eyes_and_datasets_are_evaluated_by_themselves(described):
    embeddings, rows, _ = described
    evaluation = evaluate_embeddings(
        embeddings, rows, resamples=0, protocol="across-datasets", matcher=Matcher()
    )
    found = slice_figures(embeddings, rows, evaluation, EveryPair("across-datasets"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for field, names in (("eye", ["L", "R"]), ("dataset", ["one", "two"])):
        assert list(found[field]) == names
        for name in names:
            members = [i for i, row in enumerate(rows) if getattr(row, field) == name]
            alone = evaluate_embeddings(
                embeddings[members], [rows[i] for i in members], resamples=0,
                protocol="across-datasets", matcher=Matcher()
            )  # fmt: skip
            part = found[field][name]
            assert part["images"] == len(members)
            assert part["eer"] == alone.metrics.eer
            for point in POINTS:
                threshold = evaluation.metrics.thresholds[point]
                errors, of = {True: 0, False: 0}, {True: 0, False: 0}
                for i in members:
                    for j in members:
                        if i < j:
                            same = rows[i].identity == rows[j].identity
                            accepted = embeddings[i].astype(float) @ embeddings[j] >= threshold
                            of[same] += 1
                            errors[same] += accepted != same
                assert part["fnmr"][point] == pytest.approx(errors[True] / of[True])
                assert part["fmr"][point] == pytest.approx(errors[False] / of[False])


def test_dilation_parts_the_genuine_comparisons_at_the_median(described):
    embeddings, rows, genuine = described
    evaluation = evaluate_embeddings(embeddings, rows, resamples=0, matcher=Matcher())
    found = slice_figures(embeddings, rows, evaluation, EveryPair())["dilation"]
    ratio = [np.sqrt(row.iris.pupil.a * row.iris.pupil.b / 9000) for row in rows]
    difference = [abs(ratio[i] - ratio[j]) for i, j, _ in genuine]
    median = np.median(difference)
    assert found["median_difference"] == pytest.approx(median)
    for name in ("same", "different"):
        scores = [score for (_, _, score), d in zip(genuine, difference, strict=True)
                  if (d <= median) == (name == "same")]  # fmt: skip
        assert found[name]["genuine_comparisons"] == len(scores)
        for point in POINTS:
            threshold = evaluation.metrics.thresholds[point]
            assert found[name]["fnmr"][point] == pytest.approx(np.mean(np.less(scores, threshold)))


def test_quality_quartiles_and_error_versus_discard(described):
    embeddings, rows, genuine = described
    evaluation = evaluate_embeddings(embeddings, rows, resamples=0, matcher=Matcher())
    found = slice_figures(embeddings, rows, evaluation, EveryPair())["quality"]
    assert list(found) == ["sharpness"]
    threshold = evaluation.metrics.thresholds["far_1e-2"]
    ordered = sorted(genuine, key=lambda pair: min(rows[pair[0]].iris.sharpness,
                                                   rows[pair[1]].iris.sharpness))  # fmt: skip
    missed = [score < threshold for _, _, score in ordered]
    assert len(missed) == 120
    for quarter, rates in enumerate(found["sharpness"]["quartiles"]):
        wanted = np.mean(missed[30 * quarter : 30 * quarter + 30])
        assert rates["far_1e-2"] == pytest.approx(wanted)
    for point in found["sharpness"]["discard"]:
        wanted = np.mean(missed[round(120 * point["discarded"]) :])
        assert point["fnmr"]["far_1e-2"] == pytest.approx(wanted)
    assert [point["discarded"] for point in found["sharpness"]["discard"]][-1] == 0.5


def test_quality_that_decides_makes_the_curve_fall(population):
    embeddings, rows = population(10, 4, noise=0.3)
    rng = np.random.default_rng(0)
    spoilt = rng.choice(80, 8, replace=False)
    embeddings[spoilt] = rng.normal(size=(8, 16))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = [
        dataclasses.replace(row, iris=IrisRecord(EYE, EYE, 1.0, sharpness=float(i not in spoilt)))
        for i, row in enumerate(rows)
    ]
    evaluation = evaluate_embeddings(embeddings, rows, resamples=0, matcher=Matcher())
    found = slice_figures(embeddings, rows, evaluation, EveryPair())["quality"]["sharpness"]
    rates = [point["fnmr"]["far_1e-2"] for point in found["discard"]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.1
    assert rates[-1] == 0.0


def test_what_the_rows_do_not_say_is_left_out(population):
    embeddings, rows = population(4, 3)
    rows = [dataclasses.replace(row, eye="") for row in rows]
    evaluation = evaluate_embeddings(embeddings, rows, resamples=0, matcher=Matcher())
    assert slice_figures(embeddings, rows, evaluation, EveryPair()) == {
        "eye": {}, "dataset": {}, "dilation": None, "quality": {},
    }  # fmt: skip


def test_listed_pairs_are_parted_by_quality_alone(described):
    embeddings, rows, genuine = described
    listed = np.array([(i, j) for i, j, _ in genuine])
    impostor = np.array([(0, i) for i in range(80) if rows[i].identity != rows[0].identity])
    evaluation = evaluate_pairs(embeddings, rows, listed, impostor, resamples=0, matcher=Matcher())
    found = slice_figures(embeddings, rows, evaluation, PairLists(listed, impostor))
    assert found["eye"] == found["dataset"] == {}
    assert found["dilation"]["same"]["genuine_comparisons"] == 60
    assert list(found["quality"]) == ["sharpness"]
