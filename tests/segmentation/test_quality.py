import dataclasses
import math

import cv2
import numpy as np
import pytest
from scipy.signal import convolve2d

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.quality import _SHARPNESS_KERNEL, IrisQuality, iris_quality
from iris_tf.segmentation.segmenter import SegmentedEye

SHAPE = (240, 320)
PUPIL, IRIS = Ellipse(160, 120, 30, 30), Ellipse(160, 120, 80, 80)
BLACK, GREY, WHITE = 20, 100, 180


def distance(x=160.0, y=120.0, shape=SHAPE):
    rows, columns = np.indices(shape)
    return np.hypot(columns - x, rows - y)


def flat_eye(pupil=BLACK, iris=GREY, sclera=WHITE):
    return np.select([PUPIL.mask(SHAPE), IRIS.mask(SHAPE)], [pupil, iris], sclera).astype(np.uint8)


def seen(hidden=None, pupil=PUPIL, iris=IRIS, shape=SHAPE, **rest):
    visible = iris.mask(shape) & ~pupil.mask(shape)
    if hidden is not None:
        visible &= ~hidden
    return SegmentedEye(pupil, iris, visible, **rest)


def test_a_flat_eye_has_the_figures_of_a_hand_calculation():
    quality = iris_quality(flat_eye(), seen())
    assert quality.usable_iris_area == 100.0
    assert quality.iris_sclera_contrast == pytest.approx(100 * 80 / (180 + 100 - 2 * 20))
    # Weber ratio (100 - 20) / (20 + 20) = 2, and 2 / 2.75 of 100.
    assert quality.iris_pupil_contrast == pytest.approx(100 * 2 / 2.75)
    assert quality.grey_scale_utilisation == 0.0
    assert quality.iris_radius == 80.0
    assert quality.pupil_iris_ratio == pytest.approx(37.5)
    assert quality.iris_pupil_concentricity == 100.0
    # 40 rows above and 39 below, more than the 16 wanted; 80 and 79 columns for 48.
    assert quality.margin_adequacy == 100.0


def test_half_an_iris_is_half_usable_and_its_contrast_stays():
    lower = np.zeros(SHAPE, bool)
    lower[120:] = True
    image = flat_eye()
    # A lid, which must not be taken for iris or sclera.
    image[lower & ~PUPIL.mask(SHAPE)] = 5
    quality = iris_quality(image, seen(hidden=lower))
    assert quality.usable_iris_area == pytest.approx(50.0, abs=1.0)
    assert quality.iris_sclera_contrast == pytest.approx(100 / 3, abs=0.01)
    assert quality.grey_scale_utilisation == 0.0


def test_sclera_is_looked_for_in_the_opening_where_it_is_known():
    image = flat_eye()
    image[:, :160] = np.where(distance()[:, :160] > 80, 60, image[:, :160])  # skin on the left
    right = np.zeros(SHAPE, bool)
    right[:, 160:] = True
    quality = iris_quality(image, seen(opening=right))
    assert quality.iris_sclera_contrast == pytest.approx(100 / 3)


def test_without_sclera_or_iris_in_sight_contrasts_are_zero():
    nothing = np.zeros(SHAPE, bool)
    assert iris_quality(flat_eye(), seen(opening=nothing)).iris_sclera_contrast == 0.0
    blind = iris_quality(flat_eye(), seen(hidden=~nothing))
    assert blind.iris_sclera_contrast == blind.iris_pupil_contrast == 0.0
    assert blind.usable_iris_area == blind.grey_scale_utilisation == 0.0


def test_a_pupil_as_bright_as_the_iris_leaves_no_contrast():
    quality = iris_quality(flat_eye(pupil=GREY), seen())
    assert quality.iris_sclera_contrast == quality.iris_pupil_contrast == 0.0


def test_margins_count_in_shares_of_the_iris_radius():
    # 48 columns would be 0.6 radii: there are 12 to the left.
    eye = seen(iris=Ellipse(92, 120, 80, 80), pupil=Ellipse(92, 120, 30, 30))
    assert iris_quality(flat_eye(), eye).margin_adequacy == pytest.approx(25.0)
    # 16 rows would be 0.2 radii: 239 - 147 - 80 = 12 below.
    eye = seen(iris=Ellipse(160, 147, 80, 80), pupil=Ellipse(160, 147, 30, 30))
    assert iris_quality(flat_eye(), eye).margin_adequacy == pytest.approx(75.0)


def test_what_the_frame_cuts_off_is_not_usable():
    # Half of the iris lies beyond the left edge.
    eye = seen(iris=Ellipse(0, 120, 80, 80), pupil=Ellipse(0, 120, 30, 30))
    quality = iris_quality(flat_eye(), eye)
    assert quality.usable_iris_area == pytest.approx(50.0, abs=1.0)
    assert quality.margin_adequacy == 0.0


def test_concentricity_and_ratio_of_ellipses():
    pupil = Ellipse(168, 126, 20, 45, 0.3)  # as large as a circle of radius 30; 10 pixels off
    quality = iris_quality(flat_eye(), seen(pupil=pupil))
    assert quality.iris_pupil_concentricity == pytest.approx(100 * (1 - 10 / 80))
    assert quality.pupil_iris_ratio == pytest.approx(37.5)


def test_grey_scale_utilisation_is_the_entropy_of_the_visible_iris():
    rng = np.random.default_rng(0)
    image = rng.choice([50, 90, 130, 170], size=SHAPE).astype(np.uint8)
    image[~IRIS.mask(SHAPE)] = rng.integers(0, 255)
    assert iris_quality(image, seen()).grey_scale_utilisation == pytest.approx(2.0, abs=0.01)


def test_sharpness_is_that_of_a_plain_convolution():
    image = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)
    box = image[40:201, 80:241]  # the iris touches pixels 80..240 and 40..200
    answers = convolve2d(box.astype(int), _SHARPNESS_KERNEL.astype(int), mode="valid")[::4, ::4]
    power = (answers.astype(float) ** 2).sum() / box.size
    expected = 100 * power**2 / (power**2 + 1_800_000**2)
    assert 0.01 < expected < 99.9
    assert iris_quality(image, seen()).sharpness == pytest.approx(expected, rel=1e-9)


def test_the_kernel_answers_nothing_to_flat_and_sloping_grey():
    rows, columns = np.indices((9, 9)) - 4
    for surface in (np.ones((9, 9)), rows, columns, rows + 3 * columns):
        assert (_SHARPNESS_KERNEL * surface).sum() == 0
    np.testing.assert_array_equal(_SHARPNESS_KERNEL, _SHARPNESS_KERNEL.T)
    np.testing.assert_array_equal(_SHARPNESS_KERNEL, _SHARPNESS_KERNEL[::-1])


def test_blur_lowers_sharpness():
    noise = np.random.default_rng(2).normal(0, 25, SHAPE)
    image = np.clip(flat_eye() + noise, 0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(image, (0, 0), 3)
    sharp, soft = (iris_quality(each, seen()).sharpness for each in (image, blurred))
    assert soft < 0.5 * sharp


def test_every_figure_is_finite_and_in_range_wherever_the_outlines_lie():
    rng = np.random.default_rng(3)
    top = {"grey_scale_utilisation": 8.0, "iris_radius": math.inf, "pupil_iris_ratio": math.inf}
    for _ in range(200):
        shape = tuple(int(side) for side in rng.integers(64, 200, 2))
        iris = Ellipse(*rng.uniform(-150, 350, 2), *rng.uniform(0.5, 300, 2), rng.uniform(-4, 4))
        pupil = Ellipse(*rng.uniform(-150, 350, 2), *rng.uniform(0.1, 300, 2), rng.uniform(-4, 4))
        image = rng.integers(0, 256, shape).astype(np.uint8)
        visible = rng.random(shape) < rng.choice([0.0, 0.5, 1.0])
        opening = None if rng.random() < 0.5 else rng.random(shape) < 0.5
        quality = iris_quality(image, SegmentedEye(pupil, iris, visible, 1.0, opening))
        for name, value in dataclasses.asdict(quality).items():
            assert type(value) is float, name
            assert math.isfinite(value), name
            assert 0.0 <= value <= top.get(name, 100.0), name


def test_figures_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        IrisQuality(*[0.0] * 9).sharpness = 1.0
