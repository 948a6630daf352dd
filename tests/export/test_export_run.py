import shutil

import numpy as np
import pytest

from iris_tf.datasets.images import read_image
from iris_tf.datasets.manifest import read_manifest, write_manifest
from iris_tf.errors import DatasetError, EvaluationError, ModelError
from iris_tf.evaluation.evaluate import evaluate_embeddings
from iris_tf.export.run import export_run
from iris_tf.inference.embedder import TFLiteEmbedder
from iris_tf.inference.model_card import ModelCard


@pytest.fixture
def run(trained_run, tmp_path):
    """A copy of the trained run whose files may be changed, without an export."""
    ignored = shutil.ignore_patterns("models", "epoch-*")
    return shutil.copytree(trained_run, tmp_path / "run", ignore=ignored)


def test_thresholds_are_those_of_the_validation_split(exported, small_dataset):
    rows = [row for row in read_manifest(small_dataset / "manifest.csv") if row.split == "val"]
    crops = (read_image(small_dataset / row.roi).pixels for row in rows)
    embeddings = TFLiteEmbedder(exported / "mobile_float32.tflite").embed(crops)
    expected = evaluate_embeddings(embeddings, rows, resamples=0)
    card = ModelCard.read(exported / "model_card.json")
    for point, threshold in expected["thresholds"].items():
        assert card.thresholds[point] == pytest.approx(threshold, abs=1e-4)
    # At most the stated share of impostors lies at or above a threshold.
    similarities = embeddings @ embeddings.T
    names = np.array([row.identity for row in rows])
    impostor = similarities[names[:, None] < names[None, :]]
    assert np.mean(impostor >= card.thresholds["far_1e-2"] + 1e-4) <= 0.01


def test_there_must_be_a_run(tmp_path):
    with pytest.raises(ModelError, match="holds no run"):
        export_run(tmp_path)


def test_a_run_without_validation_comparisons_has_no_threshold(run):
    rows = read_manifest(run / "manifest.csv")
    first = next(row for row in rows if row.split == "val")
    write_manifest(run / "manifest.csv", [row for row in rows if row.split != "val"] + [first])
    with pytest.raises(EvaluationError, match="comparisons"):
        export_run(run)
    write_manifest(run / "manifest.csv", [row for row in rows if row.split != "val"])
    with pytest.raises(DatasetError):
        export_run(run)
    assert not (run / "models").exists()


def test_a_dataset_that_is_gone_is_named(run, tmp_path):
    recipe = run / "recipe.yaml"
    lines = recipe.read_text().splitlines()
    gone = [f"dataset: {tmp_path / 'gone'}" if x.startswith("dataset:") else x for x in lines]
    recipe.write_text("\n".join(gone))
    with pytest.raises(DatasetError, match=str(tmp_path / "gone")):
        export_run(run)


def test_a_damaged_checkpoint_is_named(run):
    best = run / "checkpoints" / "best.keras"
    best.write_bytes(best.read_bytes()[:1000])
    with pytest.raises(ModelError, match=str(best)):
        export_run(run)
