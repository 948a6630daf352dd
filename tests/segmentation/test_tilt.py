"""The tilt of an eye, on masks of which the hidden side is known."""

import math

import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.tilt import lid_tilt

PUPIL, IRIS = Ellipse(201, 148, 24, 24), Ellipse(200, 150, 70, 66, 0.4)


def covered(angle, depth):
    """Visible iris under a straight lid, `depth` radii above the centre of an eye tilted so."""
    rows, columns = np.mgrid[:300, :400]
    up = -(rows - IRIS.y) * math.cos(angle) + (columns - IRIS.x) * math.sin(angle)
    return IRIS.mask((300, 400)) & ~PUPIL.mask((300, 400)) & (up < depth * IRIS.radius)


@pytest.mark.parametrize("degrees", [0, 10, 45, 90, 135, 179, -30, -90, -135])
@pytest.mark.parametrize("depth", [0.0, 0.4, 0.6])
def test_the_lid_tells_how_the_eye_is_tilted(degrees, depth):
    found = lid_tilt(PUPIL, IRIS, covered(math.radians(degrees), depth))
    assert math.degrees(found) == pytest.approx(degrees, abs=5)


def test_an_eye_that_is_wide_open_does_not_tell():
    assert lid_tilt(PUPIL, IRIS, covered(0.0, 2.0)) is None
    assert lid_tilt(PUPIL, IRIS, covered(0.0, 0.95)) is None


def test_lids_that_hide_equally_do_not_tell():
    assert lid_tilt(PUPIL, IRIS, covered(0.0, 0.6) & covered(math.pi, 0.6)) is None


def test_what_is_beyond_the_image_is_not_hidden():
    cut = covered(0.0, 2.0)[150:]
    pupil, iris = (Ellipse(e.x, e.y - 150, e.a, e.b, e.angle) for e in (PUPIL, IRIS))
    assert lid_tilt(pupil, iris, cut) is None
    assert lid_tilt(pupil, iris, covered(math.pi, 0.5)[150:]) == pytest.approx(math.pi, abs=0.2)
