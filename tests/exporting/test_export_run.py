import dataclasses
import hashlib
import json
import re
import shutil

import keras
import numpy as np
import pytest
import tiny_network
from small_recipes import small_recipe

from iris_tf.config.precision import PRECISIONS
from iris_tf.data.manifest import read_manifest, write_manifest
from iris_tf.exporting.export_run import export_run
from iris_tf.exporting.export_tflite import ExportedFile
from iris_tf.exporting.precision_report import REPORT_NAME
from iris_tf.imaging.images import read_image
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.support.errors import DatasetError, EvaluationError, ModelError, TrainingError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder
from iris_tf.training.train_model import train


@pytest.fixture(scope="module")
def trained(small_dataset, tmp_path_factory):
    """A run of the tiny network, without an export. Do not modify."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        return train(small_recipe(tmp_path_factory.mktemp("tiny"), small_dataset, epochs=1)).path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run whose files may be changed."""
    return shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("epoch-*"))


def test_thresholds_are_those_of_the_validation_split(exported, small_dataset):
    rows = [row for row in read_manifest(small_dataset / "manifest.csv") if row.split == "val"]
    crops = (read_image(small_dataset / row.roi).pixels for row in rows)
    embeddings = TFLiteEmbedder(exported / "mobile_float32.tflite").embed(crops)
    expected = evaluate_embeddings(
        embeddings, rows, resamples=0, matcher=Matcher()
    ).metrics.to_json()
    card = ModelCard.read(exported / "model_card.json")
    described = json.loads((small_dataset / "dataset.json").read_text())["settings"]
    assert card.segmenter_version == described["segmenter_version"] != ""
    for point, threshold in expected["thresholds"].items():
        assert card.thresholds[point] == pytest.approx(threshold, abs=1e-4)
    # At most the stated share of impostors lies at or above a threshold.
    similarities = embeddings @ embeddings.T
    names = np.array([row.identity for row in rows])
    impostor = similarities[names[:, None] < names[None, :]]
    assert np.mean(impostor >= card.thresholds["far_1e-2"] + 1e-4) <= 0.01


def test_report_on_integers_and_float16_arithmetic(run, run_cli, monkeypatch):
    calibrated = []

    def remember(self, name, model):
        calibrated.append(self)

    monkeypatch.setattr("iris_tf.exporting.static_quantization.Quantization.check", remember)
    monkeypatch.setitem(PRECISIONS, "int8", dataclasses.replace(PRECISIONS["int8"], min_cosine=0.5))
    status, out, err = run_cli("export", str(run), "--precision", "int8", "--report")
    assert status == 0, err
    # Training crops, at most as many as there are.
    training = [row for row in read_manifest(run / "manifest.csv") if row.split == "train"]
    [quantization] = calibrated
    assert len(quantization.rois) == min(256, len(training))
    report = json.loads((run / "models" / REPORT_NAME).read_text())
    layers = {layer["layer"]: layer for layer in report["layers"]["int8"]}
    worst = min(layers.values(), key=lambda layer: layer["signal_to_noise"])
    assert f"int8, {worst['layer']}: {worst['signal_to_noise']:.1f} dB" in out
    assert re.search(r"int8, head_unit_norm: computes in float32 \(.*SQUARE.*\)", out)
    assert "int8, conv: computes in float32" not in out
    assert "float16 arithmetic, real crops: largest output" in out
    assert "float16 arithmetic, extreme crops: largest output" in out
    assert report["float16_arithmetic"]["real"]["overflows"] == {}
    # It is about that export alone.
    monkeypatch.setattr("iris_tf.exporting.export_run.CREATOR", "iris_tf 99")
    export_run(run, ["float32"])
    assert not (run / "models" / REPORT_NAME).exists()


@pytest.fixture
def quick(monkeypatch):
    """In place of the conversion, which takes seconds: files of the weights' sum."""

    def export_model(model, folder, name, precisions, parity_rois, quantization):
        files = []
        for precision in precisions:
            path = folder / f"{name}_{precision}.tflite"
            total = sum(float(np.abs(array).sum()) for array in model.get_weights())
            path.write_text(f"{precision} {total}")
            content = path.read_bytes()
            files.append(ExportedFile(path, precision, len(content), digest(content), 1.0))
        return files

    monkeypatch.setattr("iris_tf.exporting.export_run.export_model", export_model)


def change_weights(run):
    best = run / "checkpoints" / "best.keras"
    model = keras.saving.load_model(best)
    weights = model.get_weights()
    weights[0] = 1.1 * weights[0]
    model.set_weights(weights)
    model.save(best)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def digest(content):
    return hashlib.sha256(content).hexdigest()


def write_calibration(models, name, model_sha256):
    values = {
        "schema_version": 3, "name": name, "model": "run", "model_sha256": model_sha256,
        "matrix": [[0.0] * 16] * 16, "images": 50, "eyes": None, "failures": {}, "created_by": "",
        "phase": None,
        "impostors": {"pairs": 1, "median": 0.0, "dimensions": 2.0, "methods": {},
                      "thresholds": {"far_1e-2": 0.5, "far_1e-3": 0.6}},
    }  # fmt: skip
    (models / f"calibration-{name}.json").write_text(json.dumps(values))


def test_other_precisions_of_the_same_weights_stay(quick, run):
    models, card = export_run(run, ["float32"])
    assert card.weights_sha256 == digest((run / "checkpoints" / "best.keras").read_bytes())
    before = contents(models)
    write_calibration(models, "door", digest(before["run_float32.tflite"]))
    write_calibration(models, "other", digest(b"another model"))
    (models / "calibration-text.json").write_text("no calibration")
    _, card = export_run(run, ["float16"])
    after = contents(models)
    assert set(after) == {
        "run_float32.tflite", "run_float16.tflite", "model_card.json", "calibration-door.json",
    }  # fmt: skip
    assert after["run_float32.tflite"] == before["run_float32.tflite"]
    for name, file in card.files.items():
        assert (file.sha256, file.bytes) == (digest(after[name]), len(after[name]))
    assert set(card.parity) == {"float32", "float16"}
    assert ModelCard.beside(models / "run_float32.tflite") == card

    # A file that somebody has changed is not vouched for.
    (models / "run_float32.tflite").write_bytes(b"changed")
    _, card = export_run(run, ["float16"])
    assert set(contents(models)) == {"run_float16.tflite", "model_card.json"}
    assert set(card.files) == {"run_float16.tflite"}


def test_what_somebody_has_put_beside_the_files_stays(quick, run):
    models, _ = export_run(run, ["float32"])
    (models / "people.npz").write_bytes(b"gallery")
    (models / "notes").mkdir()
    (models / "notes" / "a.txt").write_text("mine")
    change_weights(run)
    export_run(run, ["float16"])
    assert {path.name for path in models.iterdir()} == {
        "run_float16.tflite", "model_card.json", "people.npz", "notes",
    }  # fmt: skip
    assert (models / "people.npz").read_bytes() == b"gallery"
    assert (models / "notes" / "a.txt").read_text() == "mine"


def test_files_of_another_version_go(quick, run, monkeypatch):
    models, _ = export_run(run, ["float32"])
    monkeypatch.setattr("iris_tf.exporting.export_run.CREATOR", "iris_tf 99")
    _, card = export_run(run, ["float16"])
    assert set(contents(models)) == {"run_float16.tflite", "model_card.json"}
    assert card.created_by == "iris_tf 99"


def test_thresholds_do_not_come_from_other_crops_than_the_training_s(run, small_dataset, tmp_path):
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    described = json.loads((small_dataset / "dataset.json").read_text())
    described["settings"]["roi_mode"] = "aligned"
    (dataset / "dataset.json").write_text(json.dumps(described))
    recipe = run / "recipe.yaml"
    lines = recipe.read_text().splitlines()
    recipe.write_text(
        "\n".join(f"dataset: {dataset}" if x.startswith("dataset:") else x for x in lines)
    )
    with pytest.raises(TrainingError, match=r"dataset.json \(roi_mode\): has changed since"):
        export_run(run)
    assert not (run / "models").exists()


def test_files_of_other_weights_go(quick, run):
    models, first = export_run(run, ["float32"])
    change_weights(run)
    _, card = export_run(run, ["float16"])
    assert card.weights_sha256 != first.weights_sha256
    assert set(contents(models)) == {"run_float16.tflite", "model_card.json"}
    assert set(card.files) == {"run_float16.tflite"}
    assert set(card.parity) == {"float16"}

    # As the first cards were, which did not say of which weights they are.
    values = json.loads((models / "model_card.json").read_text())
    del values["weights_sha256"]
    (models / "model_card.json").write_text(json.dumps(values))
    _, card = export_run(run, ["float32"])
    assert set(contents(models)) == {"run_float32.tflite", "model_card.json"}
    assert set(card.files) == {"run_float32.tflite"}


def test_there_must_be_a_run(tmp_path):
    with pytest.raises(ModelError, match="holds no run"):
        export_run(tmp_path)


def test_a_run_without_validation_comparisons_has_no_threshold(run):
    rows = read_manifest(run / "manifest.csv")
    first = next(row for row in rows if row.split == "val")
    write_manifest(run / "manifest.csv", [row for row in rows if row.split != "val"] + [first])
    with pytest.raises(EvaluationError, match="validation split has too few eyes"):
        export_run(run)
    write_manifest(run / "manifest.csv", [row for row in rows if row.split != "val"])
    with pytest.raises(EvaluationError, match="validation split has too few eyes"):
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


def test_a_relative_dataset_is_that_of_the_training(
    run, quick, small_dataset, tmp_path, monkeypatch
):
    """The same relative path leads to other eyes from another folder."""
    for place in ("A", "B"):
        shutil.copytree(small_dataset, tmp_path / place / "data")
    rows = read_manifest(tmp_path / "B" / "data" / "manifest.csv")
    write_manifest(tmp_path / "B" / "data" / "manifest.csv", rows[1:])
    recipe = (run / "recipe.yaml").read_text().splitlines()
    relative = ["dataset: data" if line.startswith("dataset:") else line for line in recipe]
    (run / "recipe.yaml").write_text("\n".join(relative))
    environment = json.loads((run / "environment.json").read_text())
    assert environment["dataset"] == str(small_dataset)
    environment["dataset"] = str(tmp_path / "A" / "data")
    (run / "environment.json").write_text(json.dumps(environment))
    thresholds = []
    for place in ("A", "B"):
        monkeypatch.chdir(tmp_path / place)
        thresholds.append(export_run(run)[1].thresholds)
    assert thresholds[0] == thresholds[1]
    shutil.rmtree(tmp_path / "A" / "data")
    with pytest.raises(TrainingError, match=r"data/manifest\.csv: has changed since"):
        export_run(run)
    # Everything moved to another place.
    shutil.copytree(small_dataset, tmp_path / "moved" / "data")
    monkeypatch.chdir(tmp_path / "moved")
    assert export_run(run)[1].thresholds == thresholds[0]
