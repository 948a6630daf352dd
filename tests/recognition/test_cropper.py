import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from iris_tf.config.names import IRIS_ROI_MODES
from iris_tf.data.manifest import read_manifest
from iris_tf.imaging.images import read_image
from iris_tf.recognition.cropper import Cropper, looks_like_roi
from iris_tf.segmentation.quality import iris_quality
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye, segmenter_by_name
from iris_tf.support.errors import ArgumentError, ExtractionError, FailureReason, ModelError
from iris_tf.synthetic.ground_truth import read_truth
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import released_model

REFUSED = json.loads(
    Path(__file__)
    .parents[2]
    .joinpath("android_demo/core/src/test/resources/refused_images.json")
    .read_text("utf-8")
)


@pytest.fixture(scope="module")
def eyes(small_images):
    return sorted(small_images.rglob("*.jpg"))


@pytest.fixture(scope="module")
def card(exported):
    return ModelCard.read(exported / "model_card.json")


@pytest.fixture(scope="module")
def crop(card):
    return Cropper(card.segmenter, card.roi_mode)


@pytest.mark.parametrize("mode", IRIS_ROI_MODES)
def test_eyes_are_not_taken_for_crops(eyes, mode):
    assert len(eyes) == 96
    assert not [path for path in eyes if looks_like_roi(read_image(path).pixels, mode)]


@pytest.mark.parametrize("mode", IRIS_ROI_MODES)
def test_crops_are_not_taken_for_eyes(eyes, mode):
    for path in eyes:
        crop = crop_roi(read_image(path).pixels, SegmentedEye(*read_truth(path)), mode)
        assert looks_like_roi(crop, mode), path


def test_crops_of_the_segmenter_are_not_taken_for_eyes(small_dataset, card):
    for row in read_manifest(small_dataset / "manifest.csv"):
        pixels = read_image(small_dataset / row.roi).pixels
        assert looks_like_roi(pixels, card.roi_mode), row.roi


def test_a_dark_photograph_is_no_crop():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 40, (240, 320)).astype(np.uint8)
    image[:60] = 0  # a frame's black bar
    assert not looks_like_roi(image, "algorithm1")


def test_a_photograph_in_a_round_mask_is_no_strip():
    y, x = np.mgrid[:240, :320]
    image = np.where(np.hypot(x - 160, y - 120) < 110, 90, 0).astype(np.uint8)
    assert looks_like_roi(image, "aligned")
    assert not looks_like_roi(image, "unrolled")


@pytest.mark.parametrize("mode", IRIS_ROI_MODES)
def test_an_eye_is_cropped_as_the_card_says(eyes, card, mode):
    image = read_image(eyes[0]).pixels
    expected = crop_roi(image, segmenter_by_name(card.segmenter)(image), mode)
    np.testing.assert_array_equal(Cropper(card.segmenter, mode)(eyes[0]).roi, expected)


@pytest.mark.parametrize(("version", "warnings"), [("", 0), (None, 0), ("an older one", 1)])
def test_another_version_of_the_segmenter_is_told(eyes, card, caplog, version, warnings):
    now = segmenter_by_name(card.segmenter).version
    crop = Cropper(card.segmenter, card.roi_mode, now if version is None else version)
    for eye in eyes[:2]:
        crop(eye)
    assert len(caplog.records) == warnings
    if warnings:
        assert "an older one" in caplog.text and now in caplog.text


def test_another_network_of_the_segmenter(eyes, card, caplog, tmp_path):
    float16 = released_model("iris-segmenter", "float16")
    crop = Cropper(card.segmenter, "unrolled", "an older one", segmenter_model=float16)
    image = read_image(eyes[0]).pixels
    expected = crop_roi(image, segmenter_by_name(card.segmenter, float16)(image), "unrolled")
    np.testing.assert_array_equal(crop(eyes[0]).roi, expected)
    assert not caplog.records  # it was chosen
    default = Cropper(card.segmenter, "unrolled")(eyes[0]).roi
    assert not np.array_equal(expected, default)
    assert np.corrcoef(expected.ravel(), default.ravel())[0, 1] > 0.98
    with pytest.raises(ModelError, match=r"none\.tflite: there is no such model file"):
        Cropper(card.segmenter, "unrolled", segmenter_model=tmp_path / "none.tflite")


def test_a_crop_is_taken_as_it_is(small_dataset, crop):
    path = small_dataset / read_manifest(small_dataset / "manifest.csv")[0].roi
    np.testing.assert_array_equal(crop(path).roi, read_image(path).pixels)


def test_what_the_user_says_counts(eyes, small_dataset, card, crop, tmp_path):
    np.testing.assert_array_equal(crop(eyes[0], "roi").roi, read_image(eyes[0]).pixels)
    ready = small_dataset / read_manifest(small_dataset / "manifest.csv")[0].roi
    eye = segmenter_by_name(card.segmenter)(read_image(ready).pixels)
    expected = crop_roi(read_image(ready).pixels, eye, card.roi_mode)
    np.testing.assert_array_equal(crop(ready, "eye").roi, expected)
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((240, 320), 128, np.uint8))
    with pytest.raises(ExtractionError, match=r"grey\.png"):
        crop(tmp_path / "grey.png", "eye")


def test_a_picture_that_cannot_be_read_is_named(tmp_path, crop):
    with pytest.raises(ExtractionError, match=str(tmp_path / "none.png")) as caught:
        crop(tmp_path / "none.png")
    assert caught.value.reason is FailureReason.UNREADABLE


def test_an_array_is_cropped_like_its_file(eyes, crop):
    from_file, from_array = crop(eyes[0]), crop(read_image(eyes[0]).pixels)
    np.testing.assert_array_equal(from_array.roi, from_file.roi)
    assert from_array.quality == from_file.quality


def test_quality_is_that_of_the_eye_image(eyes, small_dataset, crop, card):
    image = read_image(eyes[0]).pixels
    eye = segmenter_by_name(card.segmenter)(image)
    assert crop(eyes[0]).quality == iris_quality(image, eye)
    ready = small_dataset / read_manifest(small_dataset / "manifest.csv")[0].roi
    assert crop(ready).quality is None


def test_a_colour_array_is_cropped_like_its_file(eyes, crop, tmp_path):
    grey = cv2.imread(str(eyes[0]), cv2.IMREAD_GRAYSCALE)
    colour = cv2.imread(str(eyes[0]))  # three equal channels, as most cameras store them
    expected = crop(eyes[0]).roi
    alpha = np.full((*grey.shape, 1), 255, np.uint8)
    for array in (colour, grey[..., None], np.concatenate([colour, alpha], axis=2),
                  np.stack([grey, alpha[..., 0]], axis=2)):  # fmt: skip
        np.testing.assert_array_equal(crop(array).roi, expected)
    # Truly coloured: as red, green and blue, which OpenCV reads in reverse.
    tinted = (colour * (1.0, 0.9, 0.8)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "tinted.png"), tinted)
    of_file = crop(tmp_path / "tinted.png").roi
    np.testing.assert_array_equal(crop(tinted[..., ::-1]).roi, of_file)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((80, 80, 5), np.uint8),
        np.zeros((80, 80), np.float32),
        np.zeros((80, 80, 3), np.float64),
        np.zeros((80, 80), bool),
        np.zeros(80, "u1"),
    ],
)
def test_other_arrays_are_refused(crop, array):
    with pytest.raises(ExtractionError, match=r"image array: .*uint8 of shape") as caught:
        crop(array)
    assert caught.value.reason is FailureReason.UNREADABLE


@pytest.mark.parametrize("shape", [(63, 200), (15, 15)])
def test_small_pictures(crop, shape):
    grey = np.full(shape, 100, np.uint8)
    with pytest.raises(ExtractionError) as caught:
        crop(grey)
    assert caught.value.reason is FailureReason.TOO_SMALL


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (0, FailureReason.OCCLUDED),
        (128, FailureReason.LOW_QUALITY),
        (255, FailureReason.LOW_QUALITY),
    ],
)
@pytest.mark.parametrize("kind", ["auto", "roi"])
def test_a_blank_crop_is_refused(level, reason, kind):
    blank = np.full((64, 512), level, np.uint8)
    with pytest.raises(ExtractionError) as caught:
        Cropper("network", "unrolled")(blank, kind)
    assert caught.value.reason is reason


def test_the_least_texture_is_less_than_a_cameras_noise(eyes):
    strip = crop_roi(read_image(eyes[0]).pixels, SegmentedEye(*read_truth(eyes[0])), "unrolled")
    visible = strip[strip > 0]
    faint = np.round(100 + (strip - visible.mean()) / visible.std())  # standard deviation 1
    faint = np.where(strip > 0, faint, 0).astype(np.uint8)
    for kind in ("auto", "roi"):
        np.testing.assert_array_equal(Cropper("network", "unrolled")(faint, kind).roi, faint)


@pytest.mark.parametrize("shape", [(200, 800), (480, 1920), (64, 511)])
@pytest.mark.parametrize(("kind", "match"), [("auto", "too {} for one eye"), ("roi", "it has {}")])
def test_a_band_of_another_size_is_neither_eye_image_nor_strip(shape, kind, match):
    rng = np.random.default_rng(0)
    image = rng.integers(1, 256, shape, dtype=np.uint8)
    for band, side in ((image, "wide"), (np.ascontiguousarray(image.T), "high")):
        found = side if kind == "auto" else f"{band.shape[1]}x{band.shape[0]} pixels"
        with pytest.raises(ExtractionError, match=match.format(found)) as caught:
            Cropper("network", "unrolled")(band, kind)
        assert caught.value.reason is FailureReason.IMPLAUSIBLE_GEOMETRY


def test_arguments_of_other_types_are_told(crop):
    with pytest.raises(ArgumentError, match="kind is 'iris'; choose one of auto, eye, roi"):
        crop("eye.png", "iris")
    for image in (b"bytes", 7, None):
        with pytest.raises(ArgumentError, match=f"given as {type(image).__name__}; give a path"):
            crop(image)


@pytest.mark.parametrize("case", REFUSED["sizes"], ids=str)
def test_images_of_these_sizes_are_refused_on_a_phone_too(case):
    crop = Cropper("network", "aligned")
    located = []
    crop.__dict__["_segment"] = lambda image: located.append(image.shape) or 1 / 0
    image = np.random.default_rng(0).integers(1, 255, (case["height"], case["width"]), np.uint8)
    with pytest.raises(ExtractionError if case["refused"] else ZeroDivisionError):
        crop(image)
    assert bool(located) != case["refused"]


@pytest.mark.parametrize("case", REFUSED["crops"], ids=lambda case: str(case["tile"]))
def test_crops_without_texture_are_refused_on_a_phone_too(case):
    crop = Cropper("network", "aligned")
    roi = np.resize(np.array(case["tile"], np.uint8), (16, 16))
    if case["refusal"] is None:
        assert crop(roi, kind="roi").roi is roi
    else:
        with pytest.raises(ExtractionError) as refused:
            crop(roi, kind="roi")
        assert str(refused.value) == f"image array: {case['refusal']}"
