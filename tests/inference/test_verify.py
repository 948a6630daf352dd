import dataclasses

import cv2
import numpy as np
import pytest

from iris_tf.datasets.images import read_image
from iris_tf.datasets.manifest import read_manifest
from iris_tf.datasets.synthetic.truth import read_truth
from iris_tf.errors import ExtractionError, FailureReason
from iris_tf.inference.model_card import ModelCard
from iris_tf.inference.verify import looks_like_roi, read_roi, verify
from iris_tf.segmentation.roi import ROI_MODES, crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye, segmenter_by_name


@pytest.fixture(scope="module")
def eyes(small_images):
    return sorted(small_images.rglob("*.jpg"))


@pytest.fixture(scope="module")
def card(exported):
    return ModelCard.read(exported / "model_card.json")


def test_eyes_are_not_taken_for_crops(eyes):
    assert len(eyes) == 96
    assert not [path for path in eyes if looks_like_roi(read_image(path).pixels)]


@pytest.mark.parametrize("mode", ROI_MODES)
def test_crops_are_not_taken_for_eyes(eyes, mode):
    for path in eyes:
        crop = crop_roi(read_image(path).pixels, SegmentedEye(*read_truth(path)), mode)
        assert looks_like_roi(crop), path


def test_crops_of_the_segmenter_are_not_taken_for_eyes(small_dataset):
    for row in read_manifest(small_dataset / "manifest.csv"):
        assert looks_like_roi(read_image(small_dataset / row.roi).pixels), row.roi


def test_a_dark_photograph_is_no_crop():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 40, (240, 320)).astype(np.uint8)
    image[:60] = 0  # a frame's black bar
    assert not looks_like_roi(image)


@pytest.mark.parametrize("mode", ROI_MODES)
def test_an_eye_is_cropped_as_the_card_says(eyes, card, mode):
    card = dataclasses.replace(card, roi_mode=mode)
    image = read_image(eyes[0]).pixels
    expected = crop_roi(image, segmenter_by_name(card.segmenter)(image), mode)
    np.testing.assert_array_equal(read_roi(eyes[0], card), expected)


def test_a_crop_is_taken_as_it_is(small_dataset, card):
    path = small_dataset / read_manifest(small_dataset / "manifest.csv")[0].roi
    np.testing.assert_array_equal(read_roi(path, card), read_image(path).pixels)


def test_what_the_user_says_counts(eyes, small_dataset, card, tmp_path):
    np.testing.assert_array_equal(read_roi(eyes[0], card, "roi"), read_image(eyes[0]).pixels)
    crop = small_dataset / read_manifest(small_dataset / "manifest.csv")[0].roi
    eye = segmenter_by_name(card.segmenter)(read_image(crop).pixels)
    expected = crop_roi(read_image(crop).pixels, eye, card.roi_mode)
    np.testing.assert_array_equal(read_roi(crop, card, "eye"), expected)
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((240, 320), 128, np.uint8))
    with pytest.raises(ExtractionError, match=r"grey\.png"):
        read_roi(tmp_path / "grey.png", card, "eye")


def test_a_picture_that_cannot_be_read_is_named(tmp_path, card):
    with pytest.raises(ExtractionError, match=str(tmp_path / "none.png")) as caught:
        read_roi(tmp_path / "none.png", card)
    assert caught.value.reason is FailureReason.UNREADABLE


def test_the_result_has_all_of_the_decision(eyes, exported, card):
    result = verify(exported / "mobile_float32.tflite", eyes[0], eyes[-1], "far_1e-3")
    assert -1 <= result.similarity <= 1
    assert result.threshold == card.thresholds["far_1e-3"]
    assert result.operating_point == "far_1e-3"
    assert result.same_eye == (result.similarity >= result.threshold)
    turned = verify(exported / "mobile_float32.tflite", eyes[-1], eyes[0], "far_1e-3")
    assert turned.similarity == pytest.approx(result.similarity, abs=1e-6)
