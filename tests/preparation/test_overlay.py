import cv2
import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.preparation.overlay import (
    HIDDEN_COLOUR,
    IRIS_COLOUR,
    PUPIL_COLOUR,
    draw_overlay,
    overlay_path,
)
from iris_tf.segmentation.segmenter import SegmentedEye

SHAPE = (480, 640)
PUPIL, IRIS = Ellipse(300, 250, 50, 50), Ellipse(310, 240, 140, 130, 0.4)


def eye(pupil=PUPIL, iris=IRIS, shape=SHAPE):
    visible = iris.mask(shape) & ~pupil.mask(shape)
    visible[: shape[0] // 2] = False
    return SegmentedEye(pupil, iris, visible)


def decoded(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def has_tint(pixel, colour):
    """Whether a colour's strongest channel leads and its weakest trails, as in the colour."""
    pixel, colour = pixel.astype(int), np.array(colour)
    return pixel[colour.argmax()] - pixel[colour.argmin()] > 20


def test_thumbnails_lie_beside_the_crops():
    assert overlay_path("roi/000/L/S5000L00.png") == "overlays/000/L/S5000L00.jpg"
    assert overlay_path("roi/a.png.png") == "overlays/a.png.jpg"


def test_outlines_and_hidden_iris_have_their_colours():
    thumbnail = decoded(draw_overlay(np.full(SHAPE, 128, np.uint8), eye()))
    assert thumbnail.shape == (160, 213, 3)
    for ellipse, colour in ((PUPIL, PUPIL_COLOUR), (IRIS, IRIS_COLOUR)):
        for angle in (0.5, 1.2, 2.0, 2.8):  # downwards, where nothing is shaded
            (x, y), *_ = (ellipse.points(np.array([angle])) + 0.5) / 3.0 - 0.5
            around = thumbnail[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2]
            assert any(has_tint(pixel, colour) for pixel in around.reshape(-1, 3))
    hidden, seen, outside = thumbnail[50, 103], thumbnail[110, 103], thumbnail[150, 10]
    assert has_tint(hidden, HIDDEN_COLOUR)
    for pixel in (seen, outside):
        assert np.ptp(pixel.astype(int)) < 12
        assert abs(int(pixel.mean()) - 128) < 8


def test_a_failure_is_a_plain_thumbnail():
    image = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
    thumbnail = decoded(draw_overlay(image))
    assert thumbnail.shape == (160, 213)
    np.testing.assert_allclose(thumbnail[80, [10, 106, 200]], [13, 128, 240], atol=4)


@pytest.mark.parametrize(
    "shape, expected",
    (
        ((64, 64), (64, 64)),
        ((240, 320), (160, 213)),
        ((100, 1000), (32, 320)),
        ((2000, 64), (160, 5)),
    ),
)
def test_sizes(shape, expected):
    image = np.zeros(shape, np.uint8)
    middle = Ellipse(shape[1] / 2, shape[0] / 2, 20, 20)
    for drawn in (draw_overlay(image), draw_overlay(image, eye(middle, middle, shape))):
        assert decoded(drawn).shape[:2] == expected


def test_outlines_far_outside_do_no_harm():
    far = Ellipse(-1e7, 1e7, 1e8, 2e7, 1.0)
    drawn = draw_overlay(np.full(SHAPE, 128, np.uint8), SegmentedEye(PUPIL, far, eye().visible))
    assert decoded(drawn).shape == (160, 213, 3)


def test_the_same_eye_gives_the_same_bytes():
    image = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    assert draw_overlay(image, eye()) == draw_overlay(image, eye())
