"""Checks that segmenters share."""

import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.plausibility import (
    check_confidence,
    check_geometry,
    check_visible,
    expected_overlap,
)
from iris_tf.support.errors import ExtractionError, FailureReason

SHAPE = (240, 320)
PUPIL, IRIS = Ellipse(160, 120, 32, 32), Ellipse(160, 120, 80, 80)


def test_usual_eye_passes():
    check_geometry(PUPIL, IRIS, SHAPE)
    check_visible(PUPIL, IRIS, IRIS.mask(SHAPE) & ~PUPIL.mask(SHAPE))


@pytest.mark.parametrize(
    ("pupil", "iris", "sentence"),
    [
        (Ellipse(160, 120, 5, 5), IRIS, "0.06 of the iris's radius"),
        (Ellipse(160, 120, 70, 70), IRIS, "0.88 of the iris's radius"),
        (Ellipse(190, 120, 32, 32), IRIS, "0.38 iris radii off"),
        (Ellipse(160, 120, 40, 20), IRIS, "0.50 times as wide"),
        (Ellipse(-30, 120, 32, 32), Ellipse(-30, 120, 80, 80), "outside the image"),
    ],
)
def test_what_no_eye_looks_like(pupil, iris, sentence):
    with pytest.raises(ExtractionError, match=sentence) as raised:
        check_geometry(pupil, iris, SHAPE)
    assert raised.value.reason is FailureReason.IMPLAUSIBLE_GEOMETRY


def test_too_little_visible_iris():
    visible = IRIS.mask(SHAPE) & ~PUPIL.mask(SHAPE)
    visible[60:] = False
    with pytest.raises(ExtractionError, match="% of the iris can be seen") as raised:
        check_visible(PUPIL, IRIS, visible)
    assert raised.value.reason is FailureReason.OCCLUDED


def test_too_little_confidence():
    check_confidence(0.9)
    with pytest.raises(ExtractionError, match=r"unsure .* \(confidence 0.30, at least") as raised:
        check_confidence(0.3)
    assert raised.value.reason is FailureReason.LOW_CONFIDENCE


def test_expected_overlap_is_what_comes_out_on_average():
    rng = np.random.default_rng(0)
    probabilities = np.clip(rng.normal(0.5, 0.4, (300, 300)), 0, 1)
    region = probabilities > 0.5
    overlaps = []
    for _ in range(20):
        truth = rng.random(probabilities.shape) < probabilities
        overlaps.append((truth & region).sum() / (truth | region).sum())
    assert expected_overlap(probabilities, region) == pytest.approx(np.mean(overlaps), abs=0.003)


def test_expected_overlap_is_that_of_a_loop_over_the_pixels():
    rng = np.random.default_rng(1)
    probabilities = rng.random((30, 40)).astype(np.float32)
    for region in (probabilities > 0.5, probabilities > -1, probabilities > 2):
        inside = outside = 0.0
        for probability, within in zip(probabilities.flat, region.flat, strict=True):
            if within:
                inside += float(probability)
            else:
                outside += float(probability)
        found = expected_overlap(probabilities, region)
        assert found == pytest.approx(inside / (region.sum() + outside), abs=1e-12)


def test_expected_overlap_of_certain_and_of_empty_masks():
    sure = np.zeros((4, 4))
    sure[:2] = 1.0
    assert expected_overlap(sure, sure > 0.5) == 1.0
    assert expected_overlap(np.zeros((4, 4)), np.zeros((4, 4), bool)) == 0.0
