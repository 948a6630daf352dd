"""The fit through a mask's edge, against ellipses that are known."""

import dataclasses

import cv2
import numpy as np
import pytest

from iris_tf.evaluation.segmenter_scores import intersection_over_union
from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.mask_outline import mask_outline

ELLIPSE = Ellipse(120.0, 90.0, 52.0, 45.0, 0.6)


def mask_of(ellipse):
    fine = ellipse.scaled(8.0, (3.5, 3.5)).mask((192 * 8, 256 * 8)).astype(np.float32)
    return cv2.resize(fine, (256, 192), interpolation=cv2.INTER_AREA)


def check(found, tolerance):
    for name in ("x", "y", "a", "b"):
        one = sorted((found.a, found.b)) if name in "ab" else None
        got = getattr(found, name) if one is None else one["ba".index(name)]
        assert got == pytest.approx(getattr(ELLIPSE, name), abs=tolerance)


def test_exact_mask():
    check(mask_outline(mask_of(ELLIPSE), 5.0), 0.3)


def test_noise_and_holes():
    mask = mask_of(ELLIPSE)
    mask[80:90, 100:130] = 0.1
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, mask.shape), (0, 0), 2)
    check(mask_outline((mask + 0.5 * noise).clip(0, 1).astype(np.float32), 5.0), 1.0)


def test_missing_arc_where_the_network_only_guesses():
    mask = mask_of(ELLIPSE)
    guessed = mask_of(Ellipse(120.0, 84.0, 60.0, 50.0, 0.6))
    blurred = cv2.GaussianBlur(guessed, (0, 0), 8.0)
    mask[:62] = blurred[:62]
    found = mask_outline(mask, 5.0)
    masks = [ellipse.mask((192, 256)) for ellipse in (found, ELLIPSE)]
    assert intersection_over_union(*masks) > 0.95


def test_other_spots_do_not_count():
    mask = mask_of(ELLIPSE)
    mask[5:20, 5:40] = 1.0
    check(mask_outline(mask, 5.0), 0.3)


@pytest.mark.parametrize("spots", [[(5, 5)], [(5, 200), (170, 10), (88, 240)], []])
def test_a_component_is_outlined_as_if_it_were_alone(spots):
    mask = cv2.GaussianBlur(mask_of(ELLIPSE), (0, 0), 3.0)
    for row, column in spots:
        mask[row : row + 12, column : column + 12] = 0.9
    _, labels = cv2.connectedComponents((mask > 0.5).astype(np.uint8), connectivity=4)
    of_the_iris = labels == labels[90, 120]
    alone = np.where(of_the_iris, mask, np.minimum(mask, 0.5))
    before = mask.copy()
    found, expected = mask_outline(mask, 5.0), mask_outline(alone, 5.0)
    np.testing.assert_allclose(dataclasses.astuple(found), dataclasses.astuple(expected))
    np.testing.assert_array_equal(mask, before)


def test_crooked_mask_has_no_outline_beyond_it():
    mask = np.zeros((192, 256), np.float32)
    mask[90:96, 10:250] = 1.0  # a bar
    mask[20:180, 240:250] = 1.0
    found = mask_outline(mask, 5.0)
    assert found is None or found.radius < 1.6 * np.sqrt(mask.sum() / np.pi)


def test_nothing_or_too_little_is_none():
    assert mask_outline(np.zeros((192, 256), np.float32), 5.0) is None
    assert mask_outline(mask_of(Ellipse(50, 50, 3, 3)), 5.0) is None
