import json
import shutil

import cv2
import numpy as np
import pytest
from drawn_eyes import IRIS, PUPIL, SCLERA, SKIN, filled

from iris_tf.data.crop_store import read_crop
from iris_tf.data.manifest import read_manifest
from iris_tf.evaluation.evaluate_model import EvaluationRequest
from iris_tf.evaluation.iriscode import encode_images, hamming_distances, pack_template
from iris_tf.imaging.images import write_png
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.pipelines.evaluation_stage import evaluate_and_report
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.segmentation.open_iris_segmenter import ir_image
from iris_tf.support.errors import DatasetError, EvaluationError
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

iris = pytest.importorskip("iris")


def template(codes, masks):
    return iris.IrisTemplate(iris_codes=codes, mask_codes=masks, iris_code_version="v0.1")


def assert_same(templates):
    codes, masks = (np.stack(part) for part in zip(*map(pack_template, templates), strict=True))
    found = hamming_distances(codes, masks)
    matcher = iris.HammingDistanceMatcher()
    with np.errstate(all="ignore"):
        wanted = [
            [matcher.run(probe, gallery) for gallery in templates[i + 1 :]]
            for i, probe in enumerate(templates)
        ]
    for i, row in enumerate(wanted):
        np.testing.assert_allclose(found[i, i + 1 :], row, atol=1e-6)
    np.testing.assert_array_equal(found, found.T)
    assert not found.diagonal().any()


def test_distances_of_real_templates_equal_the_library_s(true_eyes, truth):
    from iris_tf.segmentation.open_iris_node import open_iris_pipeline

    pipeline = open_iris_pipeline(truth)
    outputs = [pipeline(ir_image(eye.image)) for eye in true_eyes[2][:9]]
    assert_same([out["iris_template"] for out in outputs if out["error"] is None])


def test_distances_of_awkward_templates_equal_the_library_s():
    rng = np.random.default_rng(0)
    shape, templates = (2, 16, 256, 2), []
    code = rng.random(shape) < 0.5
    for turn in (0, 3, -15, 16):
        templates.append(template(list(np.roll(code, turn, axis=2)), list(np.ones(shape, bool))))
    for density in (0.7, 0.2, 0.001):
        templates.append(template(list(~code), list(rng.random(shape) < density)))
    for left, right in ((0, 256), (0, 128), (128, 256), (20, 21), (250, 256), (120, 135)):
        mask = np.ones(shape, bool)
        mask[:, :, left:right] = False  # hidden: all, a half, a column, ...
        templates.append(template(list(rng.random(shape) < 0.5), list(mask)))
        templates.append(template(list(code), list(~mask)))
    assert_same(templates)


def test_blocks_do_not_matter(monkeypatch):
    from iris_tf.evaluation import iriscode

    rng = np.random.default_rng(1)
    codes, masks = rng.integers(0, 256, (2, 23, 256, 8), dtype=np.uint8)
    whole = hamming_distances(codes, masks)
    monkeypatch.setattr(iriscode, "_PROBES", 4)
    monkeypatch.setattr(iriscode, "_GALLERY", 7)
    np.testing.assert_array_equal(hamming_distances(codes, masks), whole)


def test_failures_are_counted_and_do_not_stop(true_eyes, truth, tmp_path):
    folder, rows, _ = true_eyes
    for row in rows[:4]:
        shutil.copy(folder / row.image, tmp_path)
    (tmp_path / rows[1].image).write_bytes(b"")
    (tmp_path / rows[2].image).unlink()
    write_png(tmp_path / rows[3].image, np.zeros((240, 320), np.uint8))
    codes = encode_images(rows[:4], tmp_path, truth, jobs=1)
    assert codes.images.tolist() == [0]
    assert codes.failures == {"no_pupil": 1, "unreadable": 2}
    assert codes.errors == {"ExtractionError": 3}
    with pytest.raises(EvaluationError, match=r"none of the 3 images \(1 no_pupil, 2 unreadable\)"):
        encode_images(rows[1:4], tmp_path, truth, jobs=1)


def test_refused(true_eyes, tmp_path):
    folder, rows, _ = true_eyes
    with pytest.raises(EvaluationError, match="none: the image folder"):
        encode_images(rows, tmp_path / "none", "opencv")
    with pytest.raises(DatasetError, match="does not detect eyelids"):
        encode_images(rows[:3], folder, "opencv", jobs=1)


# -- The row in the report --------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn_dataset(grey_network, tmp_path_factory):
    """Drawn eyes with random irises, prepared with Open-Iris's segmenter and the test's network.

    10 persons, one eye, 3 images; one image of the last is too flat for Open-Iris.
    """
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(4)
    shape = (240, 320)
    sclera = np.full(shape, SKIN, np.uint8)
    sclera[filled(shape, 160, 120, 140, 78)] = SCLERA
    for person in range(10):
        texture = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 1.5)
        texture = np.clip(IRIS + 12 * texture / texture.std(), 92, 142)
        for sample in range(3):
            image = sclera.copy()
            limbus = filled(shape, 160, 120, 75, 75)
            flat = person == 9 and sample == 2
            noisy = IRIS if flat else texture + rng.normal(scale=2, size=shape)
            image[limbus] = np.broadcast_to(noisy, shape)[limbus].astype(np.uint8)
            image[filled(shape, 160, 121, 28, 28)] = PUPIL
            write_png(folder / "images" / f"{person:02d}" / f"{sample}.png", image)
    dataset = prepare(
        folder / "images",
        folder / "dataset",
        segmenter="open-iris",
        segmenter_model=grey_network,
        jobs=2,
    )
    assert dataset.counts["failed"] == 0
    return dataset.manifest


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A .tflite file whose embedding is the crop at 12 x 16 without its mean."""
    import keras

    from iris_tf.exporting.export_tflite import export_model

    roi = keras.Input((12, 16, 1), name="roi")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(roi))
    x = keras.layers.LayerNormalization(center=False, scale=False)(x)
    model = keras.Model(roi, keras.layers.UnitNormalization()(x))
    rois = np.random.default_rng(0).integers(0, 256, (2, 12, 16), dtype=np.uint8)
    folder = tmp_path_factory.mktemp("model")
    [file] = export_model(model, folder, "pixels", ["float32"], parity_rois=rois)
    return file.path


@pytest.fixture
def evaluate(run_cli, model, drawn_dataset, tmp_path):
    def evaluate(*options):
        arguments = ("--model", model, "--manifest", drawn_dataset, "--out", tmp_path)
        return run_cli("evaluate", *arguments, "--split", "all", *options)

    return evaluate


def test_a_baseline_is_one_more_row(evaluate, grey_network, model, drawn_dataset, tmp_path):
    status, out, err = evaluate(
        "--baseline", "iriscode", "--segmenter-model", grey_network, "--jobs", 2
    )
    assert status == 0, err
    result = json.loads((tmp_path / "metrics.json").read_text())
    [baseline] = result["baselines"]
    assert baseline["name"] == "IrisCode" and baseline["library"] == "Open-Iris 1.11.2"
    assert baseline["segmenter"] == "open-iris"
    assert baseline["templates"] == 29
    assert baseline["failures"] == {"low_quality": 1}
    assert baseline["errors"] == {"MaskTooSmallError": 1}

    # Both sides have the comparisons of the 29 images; the model alone those of all 30.
    counts = baseline["evaluation"]["counts"]
    assert counts == baseline["model_evaluation"]["counts"]
    assert (counts["images"], counts["genuine_comparisons"]) == (29, 28)
    assert counts["impostor_comparisons"] == 29 * 28 // 2 - 28
    assert result["evaluation"]["counts"]["images"] == 30
    assert (
        result["evaluation"]
        == evaluate_and_report(
            EvaluationRequest([model], [drawn_dataset], "all"), tmp_path / "alone"
        ).to_json()["evaluation"]
    )
    rows = [row for row in read_manifest(drawn_dataset) if row.image != "09/2.png"]
    crops = [read_crop(drawn_dataset.parent / row.roi) for row in rows]
    same_images = evaluate_embeddings(TFLiteEmbedder(model).embed(crops), rows, matcher=Matcher())
    assert baseline["model_evaluation"] == same_images.metrics.to_json()
    assert baseline["evaluation"]["metrics"]["eer"] == 0
    assert 0.4 < baseline["evaluation"]["thresholds"]["eer"] < 1

    assert "IrisCode (Open-Iris 1.11.2): templates of 29 of 30 images" in out
    assert "failed, low_quality: 1" in out
    page = (tmp_path / "report.html").read_text()
    assert "IrisCode (Open-Iris 1.11.2)" in page
    assert "pixels_float32.tflite, on the images of IrisCode" in page
    assert "no template of 1 of 30 images (MaskTooSmallError 1)" in page


def test_without_baseline_there_is_a_report_of_the_model(evaluate, tmp_path):
    status, _, err = evaluate()
    assert status == 0, err
    assert json.loads((tmp_path / "metrics.json").read_text())["baselines"] == []
    page = (tmp_path / "report.html").read_text()
    assert "pixels_float32.tflite" in page and "IrisCode" not in page


def test_another_network_than_that_of_the_crops_is_refused(evaluate, grey_network, tmp_path):
    import onnx

    other = onnx.load(grey_network)
    other.producer_name = "another"
    onnx.save(other, tmp_path / "other.onnx")
    status, _, err = evaluate(
        "--baseline", "iriscode", "--segmenter-model", tmp_path / "other.onnx"
    )
    assert status == 2
    assert "the crops were cut by version 1.11.2-" in err and "--segmenter-model" in err
    assert not (tmp_path / "metrics.json").exists()
