"""Scores of segmenters against hand-made cases."""

import numpy as np
import pytest

from iris_tf.evaluation.segmenter_scores import (
    SegmentationScore,
    intersection_over_union,
    score_eye,
    summarise,
)
from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.synthetic.eye_renderer import SyntheticEye

SHAPE = (240, 320)
PUPIL, IRIS = Ellipse(160, 120, 30, 30), Ellipse(160, 120, 80, 80)
RING = IRIS.mask(SHAPE) & ~PUPIL.mask(SHAPE)
EYE = SyntheticEye(np.zeros(SHAPE, np.uint8), PUPIL, IRIS, RING, np.ones(SHAPE, bool))


def test_intersection_over_union_by_hand():
    one, other = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    one[0], other[:, 0] = True, True
    assert intersection_over_union(one, other) == 1 / 7
    assert intersection_over_union(one, ~one) == 0.0
    assert intersection_over_union(~one & one, ~one & one) == 1.0


def test_truth_scores_one():
    score = score_eye(lambda image: SegmentedEye(PUPIL, IRIS, RING, 0.7), EYE)
    assert (score.iou_visible, score.iou_pupil, score.iou_iris) == (1.0, 1.0, 1.0)
    assert score.limbus_error == 0.0 and score.confidence == 0.7 and not score.wrong
    assert score.visible_share == pytest.approx(1.0, abs=0.02)


def test_too_wide_limbus():
    wide = Ellipse(160, 120, 88, 88)
    score = score_eye(lambda image: SegmentedEye(PUPIL, wide, RING), EYE)
    assert score.limbus_error == pytest.approx(0.1)
    assert score.iou_iris == pytest.approx(1 / 1.21, abs=0.01)


def test_failure_is_kept_with_its_reason():
    def refuse(image):
        raise ExtractionError(FailureReason.NO_IRIS, "No.")

    score = score_eye(refuse, EYE)
    assert score.reason == "no_iris" and not score.wrong


def test_summary_by_hand():
    scores = [
        SegmentationScore(0.9, "", 0.9, 0.8, 0.95, 0.01, 0.9),
        SegmentationScore(0.8, "", 0.7, 0.6, 0.85, 0.03, 0.1),
        SegmentationScore(0.8, "no_pupil"),
        SegmentationScore(0.05, "occluded"),
        SegmentationScore(0.0, "", 0.0, 0.0, 0.0, 0.0, 0.2),
    ] + [SegmentationScore(0.9, "", 1.0, 1.0, 1.0, 0.0, 1.0)] * 18
    found = summarise(scores)
    assert found["eyes"] == 21 and found["failures"] == {"no_pupil": 1}
    assert found["failure_rate"] == pytest.approx(1 / 21)
    assert found["iou_visible"] == pytest.approx((0.9 + 0.7 + 18) / 20)
    assert found["limbus_error_median"] == 0.0
    assert found["wrong"] == 1
    assert found["wrong_among_least_confident_5_percent"] == 1
    assert found["hidden_eyes"] == 2 and found["hidden_eyes_given_a_result"] == 1


def test_segmenter_that_finds_nothing_has_no_figures():
    found = summarise([SegmentationScore(0.9, "no_iris")] * 3)
    assert found["failure_rate"] == 1.0
    assert found["iou_visible"] is None and found["limbus_error_p95"] is None
