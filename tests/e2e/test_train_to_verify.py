"""`iris-tf train`, `export`, `evaluate`, `embed` and `verify`, one after the other."""

import csv
import hashlib
import json
import shutil

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.manifest import read_manifest
from iris_tf.imaging.images import read_image, resize_roi
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder


def figures_of(text):
    """Percentages of `iris-tf evaluate` by name."""
    lines = [line.split() for line in text.splitlines() if "%  " in line or line.endswith("%")]
    return {line[0]: float(line[1]) for line in lines}


@pytest.fixture(scope="session")
def history(trained_run):
    with open(trained_run / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def test_rows(small_dataset):
    return [row for row in read_manifest(small_dataset / "manifest.csv") if row.split == "test"]


# -- The run's folder -----------------------------------------------------------------------------


def test_the_run_folder_is_complete(trained_run, small_dataset):
    recipe = load_recipe(trained_run / "recipe.yaml", TrainRecipe)
    assert (recipe.epochs, recipe.seed, recipe.network.input_size) == (2, 5, [32, 32])
    for name in ("manifest.csv", "dataset.json"):
        assert (trained_run / name).read_bytes() == (small_dataset / name).read_bytes()
    environment = json.loads((trained_run / "environment.json").read_text())
    assert environment["devices"] == 1
    assert not [p for p in trained_run.rglob("*") if p.name.startswith(".")]


def test_history_tells_every_epoch(history):
    assert [row["epoch"] for row in history] == [1, 2]
    for row in history:
        assert 0 <= row["val_eer"] <= 1
        assert 0 <= row["active_share"] <= 1
        assert 0 <= row["fallback_share"] <= 1
        assert row["loss"] == pytest.approx(row["triplet_loss"])  # no teacher
        assert row["unfrozen_stages"] == 17
    # The default schedules by hand: warm-up at 0.4 and (0.2, 1), then one epoch that ends them.
    assert [row["margin"] for row in history] == pytest.approx([0.4, 0.5])
    assert [row["ratio_left"] for row in history] == pytest.approx([0.2, 0.1])
    assert [row["ratio_right"] for row in history] == pytest.approx([1.0, 0.9])


def test_tensorboard_has_the_same_figures(trained_run, history):
    events = EventAccumulator(str(trained_run / "logs"))
    events.Reload()
    names = {"loss", "triplet_loss", "margin", "distill_weight", "active_share", "fallback_share",
             "val_eer"}  # fmt: skip
    assert names <= set(events.Tags()["tensors"])
    for name in names:
        points = {
            event.step: float(tensor_util.make_ndarray(event.tensor_proto))
            for event in events.Tensors(name)
        }
        assert points == pytest.approx({row["epoch"]: row[name] for row in history})


def test_best_and_last_can_be_loaded(trained_run, history, small_dataset, test_rows):
    crop = read_image(small_dataset / test_rows[0].roi).pixels
    image = resize_roi(crop, (32, 32))[None, :, :, None].astype(np.float32)
    embeddings = {}
    for name in ("best", "last"):
        model = load_embedding_model(trained_run / "checkpoints" / f"{name}.keras")
        embeddings[name] = np.asarray(model(image))
        assert embeddings[name].shape == (1, 16)
        assert np.linalg.norm(embeddings[name]) == pytest.approx(1, abs=1e-5)
    errors = [row["val_eer"] for row in history]
    if errors[1] >= errors[0]:
        assert not np.allclose(embeddings["best"], embeddings["last"])
    else:
        np.testing.assert_array_equal(embeddings["best"], embeddings["last"])


# -- Export ---------------------------------------------------------------------------------------


def test_export_writes_files_and_a_card_that_fits_them(run_cli, trained_run, exported):
    status, out, err = run_cli("export", trained_run, "--precision", "float16, float32")
    assert status == 0, err
    card = ModelCard.read(exported / "model_card.json")
    assert sorted(path.name for path in exported.iterdir()) == [
        "mobile_float16.tflite", "mobile_float32.tflite", "model_card.json",
    ]  # fmt: skip
    for name, file in card.files.items():
        data = (exported / name).read_bytes()
        assert file.sha256 == hashlib.sha256(data).hexdigest()
        assert file.bytes == len(data)
        assert card.parity[file.precision] >= 0.9999
        assert f"{exported / name}: {len(data) / 2**20:.2f} MiB" in out
    sizes = {file.precision: file.bytes for file in card.files.values()}
    assert 0.45 < sizes["float16"] / sizes["float32"] < 0.6
    assert (card.name, card.network) == ("mobile", "mobilenet_v3_large")
    assert (card.roi_mode, card.segmenter) == ("algorithm1", "network")
    assert (card.input_size, card.embedding_size) == ((32, 32), 16)
    assert all(-1 <= threshold <= 2 for threshold in card.thresholds.values())
    # 4 eyes of 4 images in the validation split: 4 x 6 pairs of one eye, 6 x 16 of two.
    assert card.thresholds_from == {
        "dataset": "synthetic eyes",
        "split": "val",
        "genuine_comparisons": 24,
        "impostor_comparisons": 96,
    }
    assert card.training_data == "synthetic eyes: 64 images of 16 identities"
    assert ModelCard.beside(exported / "mobile_float16.tflite") == card


# -- Evaluation -----------------------------------------------------------------------------------


@pytest.fixture
def evaluate(run_cli, small_dataset, tmp_path):
    def evaluate(model, *options):
        arguments = ("--model", model, "--manifest", small_dataset / "manifest.csv")
        status, out, err = run_cli("evaluate", *arguments, "--out", tmp_path, *options)
        assert status == 0, err
        return out, json.loads((tmp_path / "metrics.json").read_text())

    return evaluate


def test_evaluation_of_the_run_and_of_its_files_agree(evaluate, trained_run, exported):
    results = [
        evaluate(model)[1]
        for model in (
            trained_run,
            trained_run / "checkpoints" / "best.keras",
            exported / "mobile_float32.tflite",
            exported / "mobile_float16.tflite",
        )
    ]
    for result in results:
        counts = result["evaluation"]["counts"]
        assert (counts["images"], counts["identities"], counts["persons"]) == (16, 4, 2)
        assert (counts["genuine_comparisons"], counts["impostor_comparisons"]) == (24, 96)
        assert result["split"] == "test"
        metrics = result["evaluation"]["metrics"]
        # One comparison may fall on the other side of a threshold.
        assert metrics["eer"] == pytest.approx(results[0]["evaluation"]["metrics"]["eer"], abs=0.05)
    model = results[2]["model"]
    student = keras.saving.load_model(trained_run / "checkpoints" / "best.keras")
    # The converter folds normalisation into the weights before it.
    assert 0.97 * student.count_params() < model.pop("parameters") <= student.count_params()
    assert model.pop("macs") > 0
    latency = model.pop("latency")
    assert latency["runs"] == 50
    assert 0 < latency["median"] <= latency["p95"]
    data = (exported / "mobile_float32.tflite").read_bytes()
    assert model == {
        "name": "mobile_float32.tflite",
        "file": "mobile_float32.tflite",
        "precision": "float32",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "phase": None,
    }


def test_what_is_printed_is_what_is_written(evaluate, exported):
    out, result = evaluate(exported / "mobile_float32.tflite", "--split", "all")
    assert result["evaluation"]["counts"]["images"] == 96
    metrics = result["evaluation"]["metrics"]
    printed = figures_of(out)
    for name, key in {"EER": "eer", "VR@FAR=1%": "vr_far_1e-2", "CMC@1": "cmc_1"}.items():
        assert printed[name] == pytest.approx(100 * metrics[key], abs=0.006)


# -- Embedding and verification -------------------------------------------------------------------


def test_embed_prints_a_line_for_each_crop(run_cli, exported, small_dataset, test_rows):
    model = exported / "mobile_float16.tflite"
    paths = [small_dataset / row.roi for row in test_rows[:3]]
    status, out, err = run_cli("embed", "--model", model, *paths)
    assert status == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["image"] for line in lines] == [str(path) for path in paths]
    expected = TFLiteEmbedder(model).embed([read_image(path).pixels for path in paths])
    np.testing.assert_allclose([line["embedding"] for line in lines], expected, atol=1e-6)


def similarity_of(out):
    return float(out.split()[1].rstrip(","))


def test_eye_images_give_the_similarity_of_their_crops(
    run_cli, exported, small_images, small_dataset, test_rows
):
    model = exported / "mobile_float32.tflite"
    a, b = test_rows[0], test_rows[-1]
    assert a.identity != b.identity
    crops = run_cli("verify", "--model", model, small_dataset / a.roi, small_dataset / b.roi)
    eyes = run_cli("verify", "--model", model, small_images / a.image, small_images / b.image)
    mixed = run_cli("verify", "--model", model, small_images / a.image, small_dataset / b.roi)
    # The next line tells the quality of an eye image, which a crop has none of.
    first_lines = {out.splitlines()[0] for _, out, _ in (crops, eyes, mixed)}
    assert len(first_lines) == 1
    assert ["quality of the probe" in out for _, out, _ in (crops, eyes, mixed)] == [
        False, True, False,
    ]  # fmt: skip
    vectors = TFLiteEmbedder(model).embed(
        [read_image(small_dataset / row.roi).pixels for row in (a, b)]
    )
    assert similarity_of(crops[1]) == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-4)


def test_an_image_is_the_same_eye_as_itself(run_cli, exported, small_images, test_rows):
    image = small_images / test_rows[0].image
    status, out, _ = run_cli("verify", "--model", exported / "mobile_float16.tflite", image, image)
    assert similarity_of(out) == pytest.approx(1, abs=1e-4)
    card = ModelCard.read(exported / "model_card.json")
    assert "(far_1e-2)" in out
    threshold = float(out.split()[3])
    assert threshold == pytest.approx(card.thresholds["far_1e-2"], abs=1e-4)
    assert (status == 0) == (card.thresholds["far_1e-2"] <= similarity_of(out))


def test_the_decision_is_the_cards(run_cli, exported, tmp_path, small_dataset, test_rows):
    model = tmp_path / "mobile_float32.tflite"
    shutil.copy(exported / model.name, model)
    values = json.loads((exported / "model_card.json").read_text())
    paths = [small_dataset / row.roi for row in test_rows[:2]]
    values["thresholds"] = {"eer": -1.0, "far_1e-2": 1.0005, "far_1e-3": 1.0005}
    (tmp_path / "model_card.json").write_text(json.dumps(values))
    status, out, _ = run_cli("verify", "--model", model, *paths)
    assert (status, "different eyes" in out) == (1, True)
    status, out, _ = run_cli("verify", "--model", model, *paths, "--threshold", "eer")
    assert (status, "same eye" in out) == (0, True)


def test_latency_is_measured_and_written(run_cli, exported, tmp_path):
    arguments = ("--model", exported / "mobile_float16.tflite", "--threads", "1,2", "--runs", 50)
    status, out, err = run_cli("benchmark", "latency", *arguments, "--out", tmp_path / "l.json")
    assert status == 0, err
    rows = json.loads((tmp_path / "l.json").read_text())["rows"]
    assert [row["threads"] for row in rows] == [1, 2]
    for row in rows:
        assert f"{row['inference']['median']:.2f}" in out


# -- Going on -------------------------------------------------------------------------------------


def test_a_complete_run_is_resumed_at_once(run_cli, trained_run):
    before = (trained_run / "history.csv").read_bytes()
    status, out, _ = run_cli("train", "--resume", trained_run)
    assert status == 0
    assert "2 epochs" in out
    assert (trained_run / "history.csv").read_bytes() == before
