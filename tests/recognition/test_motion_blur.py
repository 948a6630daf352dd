import math

import cv2
import numpy as np
import pytest

from iris_tf.data.layouts import read_layout
from iris_tf.recognition.cropper import Cropper
from iris_tf.recognition.motion_blur import MOST_ANISOTROPY, anisotropy, require_still
from iris_tf.support.errors import ExtractionError, FailureReason

PUPIL, IRIS, CENTRE = 30.0, 90.0, 100


def unrolled(image):
    """Strip of a square image around its centre, sampled by OpenCV."""
    angles = np.arange(512) * (2 * np.pi / 512)
    radii = PUPIL + (IRIS - PUPIL) * (np.arange(64)[:, None] + 0.5) / 64
    x, y = (CENTRE + radii * turn for turn in (np.cos(angles), np.sin(angles)))
    strip = cv2.remap(image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    return np.clip(np.rint(strip), 1, 255).astype(np.uint8)


def noise(sigma_x, sigma_y, degrees=0.0, seed=0):
    """Gaussian noise (201, 201) of some smoothness along x and y, rotated."""
    white = np.random.default_rng(seed).normal(size=(401, 401)).astype(np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    turn = cv2.getRotationMatrix2D((200, 200), degrees, 1.0)
    smooth = cv2.warpAffine(smooth, turn, (401, 401))[100:301, 100:301]
    return 128 + 40 * smooth / smooth.std()


def in_the_image(image):
    """The same figure from the structure tensor of the image, without a strip."""
    texture = cv2.GaussianBlur(image, (0, 0), 1.5) - cv2.blur(image, (15, 15))
    y, x = np.mgrid[-CENTRE : CENTRE + 1, -CENTRE : CENTRE + 1]
    ring = (np.hypot(x, y) > PUPIL + 8) & (np.hypot(x, y) < IRIS - 8)
    down, right = (part[ring] for part in np.gradient(texture))
    mixed = np.mean(down * right)
    small, large = np.linalg.eigvalsh([[np.mean(right**2), mixed], [mixed, np.mean(down**2)]])
    return math.log(large / small)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 150])
def test_anisotropy_is_that_of_the_images_structure_tensor(degrees):
    found, expected = [], []
    for seed in range(3):
        image = noise(3.0, 1.5, degrees, seed)
        found.append(anisotropy(unrolled(image)))
        expected.append(in_the_image(image))
    assert 0.9 < np.mean(expected) < 1.2
    # Regularisation makes it smaller.
    assert np.mean(found) == pytest.approx(np.mean(expected) / 1.15, rel=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_texture_without_direction_has_none(seed):
    assert anisotropy(unrolled(noise(1.5, 1.5, seed=seed))) < 0.25


def test_the_texture_of_irises_has_its_own_direction_not_the_images():
    y, x = np.mgrid[-CENTRE : CENTRE + 1, -CENTRE : CENTRE + 1].astype(np.float32)
    spokes = 128 + 40 * np.sin(40 * np.arctan2(y, x))
    rings = 128 + 40 * np.sin(np.hypot(x, y))
    for image in (spokes, rings):
        assert anisotropy(unrolled(image)) < 0.1


def test_hidden_places_do_not_count():
    strip = unrolled(noise(3.0, 1.5, 20))
    plain = anisotropy(strip)
    hidden = strip.copy()
    hidden[:40, 100:180] = 0
    hidden[30:, 300:330] = 0
    assert anisotropy(hidden) == pytest.approx(plain, rel=0.15)
    isotropic = unrolled(noise(1.5, 1.5))
    isotropic[:40, 100:180] = 0
    isotropic[30:, 300:330] = 0
    assert anisotropy(isotropic) < 0.25


def test_it_does_not_depend_on_where_the_strip_begins_or_which_way_it_runs():
    strip = unrolled(noise(3.0, 1.5, 20))
    plain = anisotropy(strip)
    assert anisotropy(np.roll(strip, 32 * 5, axis=1)) == pytest.approx(plain, rel=1e-4)
    assert anisotropy(np.roll(strip, 77, axis=1)) == pytest.approx(plain, rel=0.05)


@pytest.mark.parametrize("shown", [0, 3])
def test_hardly_anything_visible_has_no_direction(shown):
    strip = np.zeros((64, 512), np.uint8)
    strip[20 : 20 + 8 * shown, :40] = unrolled(noise(3.0, 1.5))[20 : 20 + 8 * shown, :40]
    assert anisotropy(strip) < MOST_ANISOTROPY


def test_a_strip_that_motion_blurred_is_refused():
    strip = unrolled(noise(9.0, 1.2))
    with pytest.raises(
        ExtractionError, match=r"is blurred by motion .* at most 3\.0 times"
    ) as error:
        require_still(strip)
    assert error.value.reason == FailureReason.LOW_QUALITY
    require_still(unrolled(noise(1.5, 1.5)))
    large = cv2.resize(strip, (1024, 128), interpolation=cv2.INTER_NEAREST)
    with pytest.raises(ExtractionError, match="blurred by motion"):
        require_still(np.stack([large] * 3, axis=-1))


@pytest.mark.parametrize("size", [(31, 1), (1, 31)])
def test_shaken_eye_images_are_refused(small_images, size):
    cropper = Cropper("network", "unrolled")
    reasons = []
    for row in read_layout(small_images, "auto").rows[::4]:
        image = cv2.imread(str(small_images / row.image), cv2.IMREAD_GRAYSCALE)
        cropper(image)
        try:
            cropper(cv2.blur(image, size))
        except ExtractionError as error:
            reasons.append(str(error))
    assert len(reasons) >= 20  # of 24; the segmenter is unsure of some
    assert np.mean(["is blurred by motion" in reason for reason in reasons]) > 0.8
