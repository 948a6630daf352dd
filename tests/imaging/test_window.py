"""Windows on images: pixels and outlines go in and out alike."""

import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse, Window


@pytest.mark.parametrize("shape", [(480, 640), (240, 320), (280, 320), (640, 480), (65, 200)])
def test_whole_window_holds_the_image(shape):
    window = Window.whole(shape)
    assert window.left <= 0 and window.top <= 0
    assert window.left + 4 * window.unit >= shape[1]
    assert window.top + 3 * window.unit >= shape[0]
    margins = (4 * window.unit - shape[1], 3 * window.unit - shape[0])
    assert min(margins) < 4, "no larger than needed"


def test_pixels_come_through_unchanged_at_their_own_size():
    image = np.random.default_rng(0).integers(0, 255, (90, 120)).astype(np.uint8)
    np.testing.assert_array_equal(Window.whole(image.shape).cut(image, 90), image)
    part = Window(-4, 6, 10).cut(image, 30)
    np.testing.assert_array_equal(part[:, 4:], image[6:36, :36])
    np.testing.assert_array_equal(part[:, :4], 0)


def test_window_beside_the_image_is_black():
    assert not Window(500, -300, 20).cut(np.full((90, 120), 200, np.uint8), 48).any()


@pytest.mark.parametrize("height", [48, 96, 192])
def test_outlines_follow_the_pixels(height):
    ellipse = Ellipse(150.0, 100.0, 40.0, 30.0, 0.3)
    image = ellipse.mask((240, 320)).astype(np.float32)
    window = Window.around(160.0, 105.0, 130.0)
    seen = window.cut(image, height)
    inside = window.inwards(ellipse, height)
    rows, columns = np.mgrid[:height, : seen.shape[1]]
    assert inside.x == pytest.approx((seen * columns).sum() / seen.sum(), abs=0.3)
    assert inside.y == pytest.approx((seen * rows).sum() / seen.sum(), abs=0.3)
    assert np.pi * inside.a * inside.b == pytest.approx(seen.sum(), rel=0.03)
    back = window.outwards(inside, height)
    for name in ("x", "y", "a", "b", "angle"):
        assert getattr(back, name) == pytest.approx(getattr(ellipse, name))


def test_window_around_a_point_is_centred_there():
    window = Window.around(100.0, 80.0, 60.0)
    assert window == Window(60, 50, 20)  # columns 60..139 have their middle at 99.5
