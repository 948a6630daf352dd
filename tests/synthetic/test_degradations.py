import cv2
import numpy as np
import pytest

from iris_tf.synthetic.degradations import DEGRADATIONS

RNG = np.random.default_rng(0)
IMAGE = cv2.GaussianBlur(RNG.integers(0, 256, (120, 160), np.uint8), (0, 0), 2)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_they_give_images(name):
    before = IMAGE.copy()
    found = DEGRADATIONS[name](IMAGE, 100.0, np.random.default_rng(1))
    assert found.dtype == np.uint8 and found.ndim == 2
    np.testing.assert_array_equal(IMAGE, before)
    assert found.shape != IMAGE.shape or not np.array_equal(found, IMAGE)


def test_blur_grows_with_the_iris():
    found = DEGRADATIONS["blur 4"](IMAGE, 100.0, RNG)
    np.testing.assert_array_equal(found, cv2.GaussianBlur(IMAGE, (0, 0), 2.0))


def test_small_irises_stay_and_large_ones_are_80_pixels_wide():
    assert DEGRADATIONS["small"](IMAGE, 160.0, RNG).shape == (60, 80)
    assert DEGRADATIONS["small"](IMAGE, 60.0, RNG).shape == IMAGE.shape


def test_contrast_falls_to_three_tenths():
    found = DEGRADATIONS["faint"](IMAGE, 100.0, RNG)
    assert found.std() == pytest.approx(0.3 * IMAGE.std(), rel=0.02)
    assert found.mean() == pytest.approx(IMAGE.mean(), abs=0.1)
