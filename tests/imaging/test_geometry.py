import math

import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse

ELLIPSES = [
    Ellipse(50, 40, 30, 30),
    Ellipse(50.3, 40.6, 35, 20, 0.5),
    Ellipse(60, 45, 15, 33, -1.2),
]


def implicit(ellipse, x, y):
    """(u/a)^2 + (v/b)^2 in the ellipse's own axes: 1 on the outline."""
    cos, sin = math.cos(ellipse.angle), math.sin(ellipse.angle)
    dx, dy = x - ellipse.x, y - ellipse.y
    along, across = dx * cos + dy * sin, -dx * sin + dy * cos
    return (along / ellipse.a) ** 2 + (across / ellipse.b) ** 2


@pytest.mark.parametrize("ellipse", ELLIPSES)
def test_points_lie_on_the_outline(ellipse):
    points = ellipse.points(np.linspace(-7, 7, 50))
    assert points.shape == (50, 2)
    np.testing.assert_allclose(implicit(ellipse, *points.T), 1.0, atol=1e-9)


def test_angle_0_is_to_the_right_and_a_quarter_turn_is_down():
    circle = Ellipse(10, 20, 5, 5, angle=0.7)  # a circle's own angle says nothing
    points = circle.points(np.array([0.0, np.pi / 2, np.pi]))
    np.testing.assert_allclose(points, [[15, 20], [10, 25], [5, 20]], atol=1e-9)


def test_a_points_along_the_angle():
    # Axis a, 4 long, points straight down (y grows downwards).
    ellipse = Ellipse(0, 0, 4, 1, angle=np.pi / 2)
    np.testing.assert_allclose(ellipse.points(np.array([np.pi / 2])), [[0, 4]], atol=1e-9)
    np.testing.assert_allclose(ellipse.points(np.array([0.0])), [[1, 0]], atol=1e-9)


@pytest.mark.parametrize("ellipse", ELLIPSES)
def test_mask_is_the_inside(ellipse):
    mask = ellipse.mask((90, 110))
    assert mask.shape == (90, 110)
    assert mask.dtype == bool
    y, x = np.mgrid[:90, :110]
    value = implicit(ellipse, x, y)
    edge = 1.5 / min(ellipse.a, ellipse.b)  # pixels that the outline runs through
    assert mask[value < 1 - 2 * edge].all()
    assert not mask[value > 1 + 2 * edge + edge**2].any()
    assert mask.sum() == pytest.approx(math.pi * ellipse.a * ellipse.b, rel=0.05)


def test_a_mask_is_cut_at_the_frame():
    whole = Ellipse(30, 30, 20, 12, 0.4).mask((60, 60))
    cut = Ellipse(0, 0, 20, 12, 0.4).mask((30, 30))
    np.testing.assert_array_equal(cut, whole[30:, 30:])
    assert cut.any()
    assert not Ellipse(-100, -100, 5, 5).mask((50, 50)).any()


def test_radius_is_that_of_the_circle_of_equal_area():
    assert Ellipse(0, 0, 9, 4, 1.0).radius == pytest.approx(6.0)
