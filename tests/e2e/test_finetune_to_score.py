"""A user's own model decides by score: `iris-tf train finetune`, `export`, `evaluate`, `verify`."""

import json

import numpy as np
import pytest

from iris_tf.config.names import SCORE_RATES
from iris_tf.data.manifest import read_manifest
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.recognition.open_model import open_model
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.tflite.model_card import ModelCard


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Images of 10 subjects, two of each eye, and the dataset of their strips."""
    folder = tmp_path_factory.mktemp("finetune")
    synthesize(folder / "eyes", subjects=10, images=2, seed=8, jobs=1)
    return folder / "eyes", prepare(
        folder / "eyes", folder / "dataset", roi_mode="unrolled", jobs=1
    )


@pytest.fixture(scope="module")
def run(eyes, tmp_path_factory):
    from iris_tf.exporting.export_run import export_run
    from iris_tf.training.train_model import train

    folder = tmp_path_factory.mktemp("runs") / "mine"
    settings = ["epochs=2", "batch.steps_per_epoch=1", f"dataset={eyes[1].folder}", f"run={folder}"]
    train("finetune", settings)
    export_run(folder, ["float16"])
    return folder


def test_card_says_where_its_scores_come_from(run, eyes):
    card = ModelCard.read(run / "models" / "model_card.json")
    said = card.score.thresholds_from
    validation = {row.identity for row in read_manifest(run / "manifest.csv") if row.split == "val"}
    pairs = len(validation) * (len(validation) - 1) // 2
    assert f"of {pairs} pairs of eyes" in said["learned_from"]
    assert (said["model"], said["cameras"]) == ("mobiiris", 28)
    # So few eyes do not show from which cosine on the learned component may count.
    assert card.score.learned_from > 0.35


def test_it_decides_by_score(run, eyes, run_cli):
    model, images = run / "models" / "mine_float16.tflite", sorted(eyes[0].rglob("*.jpg"))
    same, other = images[1], images[-1]
    for probe, status, verdict in ((same, 0, "same eye"), (other, 1, "different eyes")):
        found, out, err = run_cli("verify", "--model", model, images[0], probe)
        assert found == status, err
        assert f"(fmr_1e-4): {verdict}" in out
        assert "one in 10,000 pairs of strangers reaches the threshold" in out


def test_it_is_evaluated_by_score(run, eyes, run_cli, tmp_path):
    model = run / "models" / "mine_float16.tflite"
    status, out, err = run_cli(
        "evaluate", "--model", model, "--model", run, "--manifest", eyes[1].manifest, "--split",
        "all", "--out", tmp_path, "--resamples", 20, "--latency-runs", 0, "--occlusion-eyes", 0,
    )  # fmt: skip
    assert status == 0, err
    assert " impostor comparisons by score\n" in out
    found = json.loads((tmp_path / "metrics.json").read_text())
    for result in (found, *found["others"]):
        assert result["evaluation"]["compared_by"] == "score"
        assert list(result["evaluation"]["scores"]["points"]) == list(SCORE_RATES)
        assert set(result["generalised"]["card_points"]) == set(SCORE_RATES)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Decisions by score" in page and "log-likelihood" not in out


def test_checkpoint_has_the_scores_of_its_export_only(run, tmp_path):
    exported = ModelCard.read(run / "models" / "model_card.json")
    assert open_model(run).matcher.score_model == exported.score
    card = run / "models" / "model_card.json"
    before = card.read_text()
    try:
        card.write_text(json.dumps(json.loads(before) | {"weights_sha256": 64 * "0"}))
        assert not open_model(run).matcher.has_scores
    finally:
        card.write_text(before)
    assert np.isfinite(exported.score.learned_from)
