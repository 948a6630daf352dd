"""Rotated windows: pixels, outlines and masks go in and out alike."""

import math

import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.imaging.rotated_window import RotatedWindow


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 255, (90, 120)).astype(np.uint8)


@pytest.mark.parametrize(("corner", "unit"), [((20, 30), 8), ((-5, 60), 10), ((90, -7), 14)])
@pytest.mark.parametrize("height", [24, 48])
def test_without_rotation_it_is_the_plain_window(noise, corner, unit, height):
    left, top = corner
    window = RotatedWindow(left + 2 * unit - 0.5, top + 1.5 * unit - 0.5, unit, 0.0)
    plain = Window(left, top, unit)
    np.testing.assert_array_equal(window.cut(noise, height), plain.cut(noise, height))
    outline = Ellipse(20.0, 11.0, 9.0, 7.0, 0.4)
    for one, other in zip(
        vars(window.outwards(outline, height)).values(),
        vars(plain.outwards(outline, height)).values(),
        strict=True,
    ):
        assert one == pytest.approx(other)
    mask = outline.mask((height, height * 4 // 3)).astype(np.float32)
    np.testing.assert_array_equal(
        window.outside(mask, noise.shape), plain.outside(mask, noise.shape)
    )


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_by_right_angles_it_shows_the_pixels_of_the_rotated_image(noise, quarters):
    # np.rot90 rotates from +y towards +x, so that what is in the image at +90 degrees is upright.
    rotated = np.rot90(noise, quarters)
    height, width = rotated.shape
    window = RotatedWindow(59.5, 44.5, 10, quarters * math.pi / 2)
    plain = Window((width - 40) // 2, (height - 30) // 2, 10)
    np.testing.assert_array_equal(window.cut(noise, 30), plain.cut(rotated, 30))


def test_beyond_the_image_it_is_black(noise):
    assert not RotatedWindow(500.0, -300.0, 20, 0.7).cut(noise, 48).any()
    assert not RotatedWindow(500.0, -300.0, 20, 0.7).outside(np.ones((48, 64)), (90, 120)).any()
    corners = RotatedWindow(59.5, 44.5, 30, math.pi / 4).cut(np.full((90, 120), 200, np.uint8), 90)
    assert corners[45, 60] == 200
    assert (corners[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()


@pytest.mark.parametrize("angle", [0.5, math.pi / 4, 2.2, math.pi, 4.0])
@pytest.mark.parametrize("height", [48, 96])
def test_outlines_and_masks_follow_the_pixels(angle, height):
    ellipse = Ellipse(150.0, 100.0, 40.0, 28.0, 0.3)
    image = ellipse.mask((240, 320)).astype(np.float32)
    window = RotatedWindow.around(155.0, 104.0, 130.0, angle)
    seen = window.cut(image, height)
    # Second moments of an ellipse along its axes are a quarter of its squared semi-axes.
    rows, columns = np.mgrid[:height, : seen.shape[1]]
    x, y = ((seen * grid).sum() / seen.sum() for grid in (columns, rows))
    dx, dy = columns - x, rows - y
    xx, xy, yy = ((seen * a * b).sum() / seen.sum() for a, b in ((dx, dx), (dx, dy), (dy, dy)))
    (minor, major), axes = np.linalg.eigh([[xx, xy], [xy, yy]])
    inside = Ellipse(x, y, 2 * major**0.5, 2 * minor**0.5, math.atan2(axes[1, 1], axes[0, 1]))
    found = window.outwards(inside, height)
    assert (found.x, found.y) == pytest.approx((ellipse.x, ellipse.y), abs=0.3)
    assert (found.a, found.b) == pytest.approx((40.5, 28.5), abs=0.7)
    assert math.sin(found.angle - ellipse.angle) == pytest.approx(0.0, abs=0.02)
    outside = window.outside(seen, image.shape)
    assert np.count_nonzero(outside != (image > 0)) < 0.03 * image.sum()
