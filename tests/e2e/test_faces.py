"""Colour images without irises, from a folder to decisions by an exported model's card."""

import json

import cv2
import numpy as np
import pytest
from small_recipes import small_recipe

from iris_tf import IrisRecognizer
from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import read_manifest
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.support.errors import ExtractionError, IrisTfError, ModelError
from iris_tf.tflite.model_card import ModelCard

SUBJECTS, SAMPLES = 12, 4


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Subjects who differ in nothing but their colour; all have the same luma."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for subject in range(SUBJECTS):
        angle = 2 * np.pi * subject / SUBJECTS
        # Two directions that leave 0.299 R + 0.587 G + 0.114 B as it is.
        colour = 128 + 60 * np.cos(angle) * np.array([0.587, -0.299, 0.0]) * 1.5
        colour += 60 * np.sin(angle) * np.array([0.0, -0.114, 0.587]) * 1.5
        (folder / f"s{subject:02d}").mkdir()
        for sample in range(SAMPLES):
            rgb = np.clip(rng.normal(colour, 4.0, (40, 40, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"s{subject:02d}" / f"{sample}.png"), rgb[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def dataset(faces):
    options = {"segmenter": "none", "roi_mode": "whole", "channels": 3, "jobs": 1}
    return prepare(faces, faces.parent / "colour", **options)


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    import tiny_network

    from iris_tf.training.train_model import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        folder = tmp_path_factory.mktemp("run")
        return train(small_recipe(folder, dataset.folder))


@pytest.fixture(scope="module")
def models(run):
    from iris_tf.exporting.export_run import export_run

    return export_run(run.path, ["float32"])


def test_the_card_says_how_to_crop(models):
    folder, card = models
    assert (card.segmenter, card.roi_mode, card.channels) == ("none", "whole", 3)
    assert json.loads((folder / "model_card.json").read_text())["channels"] == 3
    assert ModelCard.read(folder / "model_card.json") == card


def test_files_and_network_embed_colour_alike(models, run, faces, dataset):
    folder, card = models
    [file] = card.files
    rows = read_manifest(dataset.manifest)[:6]
    rois = load_rois(rows, dataset.folder, (32, 32), channels=3)
    expected = embed_rois(load_embedding_model(run.best_model()), rois)
    recognizer = IrisRecognizer(folder / file)
    found = recognizer.embed([faces / row.image for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    images = [cv2.imread(str(faces / row.image))[..., ::-1] for row in rows]
    np.testing.assert_allclose(recognizer.embed(images), found, atol=1e-6)
    # Colour is seen: with red and blue exchanged, another embedding.
    assert np.abs(recognizer.embed([images[0][..., ::-1]]) - found[0]).max() > 1e-3
    with pytest.raises(ExtractionError, match=r"red, green and blue as uint8"):
        recognizer.embed([images[0][..., 0]])


def test_verify_and_evaluate_from_the_command_line(models, faces, dataset, run_cli, tmp_path):
    folder, card = models
    model = folder / next(iter(card.files))
    image = faces / "s00" / "0.png"
    status, out, _ = run_cli("verify", "--model", model, image, image)
    assert status == 0 and "similarity 1.0000" in out
    arguments = ["evaluate", "--model", model, "--split", "all", "--resamples", "20"]
    arguments += ["--latency-runs", "50", "--occlusion-eyes", "1", "--out", tmp_path / "out"]
    status, _, error = run_cli(*arguments, "--manifest", dataset.manifest)
    assert status == 0, error
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["evaluation"]["counts"]["images"] == SUBJECTS * SAMPLES


def test_grey_crops_are_refused_for_a_model_of_colour(models, faces, run_cli, tmp_path):
    grey = prepare(faces, tmp_path / "grey", segmenter="none", roi_mode="whole", jobs=1)
    folder, card = models
    status, _, error = run_cli(
        "evaluate", "--model", folder / next(iter(card.files)), "--manifest", grey.manifest,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 2 and "channels 3" in error and "holds 1" in error


def test_an_iris_is_needed_for_degradation_and_for_iriscode(dataset, tmp_path):
    from iris_tf.evaluation.degradation import DEGRADATIONS, degrade_dataset
    from iris_tf.evaluation.iriscode import iriscode_of_dataset

    with pytest.raises(IrisTfError, match="without a segmenter"):
        degrade_dataset(dataset.manifest, next(iter(DEGRADATIONS)), tmp_path)
    with pytest.raises(IrisTfError, match=r"without a segmenter|Open-Iris"):
        iriscode_of_dataset(dataset.rows, dataset.manifest)


def test_local_contrast_is_for_grey(dataset):
    from iris_tf.networks.embedding_model import build_embedding_model

    with pytest.raises(ModelError, match="3 channels, but local_contrast takes grey"):
        build_embedding_model(
            "mobilenet_v3_large", (64, 512), normalization="local_contrast", channels=3
        )
