import cv2
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from iris_tf.config.training_recipe import AugmentationRecipe
from iris_tf.training.augmentation import augment, warp_crops, warp_strips

PAPER = AugmentationRecipe(rotation_degrees=5.0, translation=0.05, scale=0.05)


def smooth_images(count, height, width, seed=0):
    """Images without sharp edges, in which OpenCV's 1/32 pixel steps hardly show."""
    noise = np.random.default_rng(seed).normal(size=(count, height, width))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3), mode="wrap")
    smooth = 128 + 100 * smooth / np.abs(smooth).max()
    return smooth.astype(np.float32)[..., None]


def test_crops_equal_opencv():
    images = smooth_images(5, 48, 64)
    degrees = np.float32([0, 5, -5, 3.3, -1.7])
    factors = np.float32([1, 1.05, 0.95, 0.97, 1.02])
    down, right = np.float32([0, 2.4, -2.4, 1.1, 0.3]), np.float32([0, -3.2, 3.2, 0.7, -1.9])
    warped = warp_crops(images, degrees, factors, down, right).numpy()
    assert warped.shape == images.shape
    for i, image in enumerate(images):
        matrix = cv2.getRotationMatrix2D((31.5, 23.5), float(degrees[i]), float(factors[i]))
        matrix[:, 2] += right[i], down[i]
        expected = cv2.warpAffine(
            image[..., 0], matrix, (64, 48), flags=cv2.INTER_LINEAR, borderValue=0
        )
        # Within 1/32 pixel of each other: up to a 32nd of the contrast at the edge of the crop.
        np.testing.assert_allclose(warped[i, ..., 0], expected, atol=8)
        assert np.abs(warped[i, ..., 0] - expected).mean() < 0.3


def test_a_rotation_is_anticlockwise_and_outside_is_zero():
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 4, 8] = 200  # right of the centre
    none, one = np.zeros(1, np.float32), np.ones(1, np.float32)
    turned = warp_crops(image, np.float32([90]), one, none, none).numpy()
    assert turned[0, 0, 4, 0] == pytest.approx(200, abs=0.01)  # above the centre
    white = np.full((1, 9, 9, 1), 200, np.float32)
    shifted = warp_crops(white, none, one, np.float32([2]), none).numpy()[0, ..., 0]
    np.testing.assert_allclose(shifted[:2], 0)
    np.testing.assert_allclose(shifted[2:], 200)


def test_strips_turn_around_and_scale_along_the_radius():
    images = smooth_images(4, 16, 72)
    degrees = np.float32([5, -5, 2.5, 0])  # 1, -1, 0.5 and 0 columns
    factors = np.float32([1, 1, 1.05, 0.95])
    down = np.float32([0, 1, 0, -0.6])
    warped = warp_strips(images, degrees, factors, down, 5.0).numpy()
    assert warped.shape == images.shape
    np.testing.assert_allclose(warped[0], np.roll(images[0], 1, axis=1), atol=1e-3)
    expected = np.zeros_like(images[1])
    expected[1:] = np.roll(images[1], -1, axis=1)[:-1]
    np.testing.assert_allclose(warped[1], expected, atol=1e-3)
    half_turned = (images[2] + np.roll(images[2], 1, axis=1)) / 2
    for strip, image, factor, shift in [
        (warped[2], half_turned, 1.05, 0.0),
        (warped[3], images[3], 0.95, -0.6),
    ]:
        rows = 7.5 + (np.arange(16) - 7.5 - shift) / factor
        expected = np.stack(
            [np.interp(rows, np.arange(-1, 17), np.pad(c, 1), 0, 0) for c in image[..., 0].T], 1
        )
        np.testing.assert_allclose(strip[..., 0], expected, atol=1e-2)


@pytest.mark.parametrize("roi_mode", ["algorithm1", "unrolled"])
def test_zero_settings_change_nothing(roi_mode):
    images = smooth_images(3, 16, 32)
    nothing = AugmentationRecipe(rotation_degrees=0.0, translation=0.0, scale=0.0)
    np.testing.assert_array_equal(augment(images, (1, 2), nothing, roi_mode), images)
    # Through the resampling as well: only rounding, no half-pixel shift.
    still = AugmentationRecipe(rotation_degrees=1e-9, translation=0.0, scale=0.0)
    resampled = augment(tf.constant(images), (1, 2), still, roi_mode)
    np.testing.assert_allclose(resampled, images, atol=0.01)


@pytest.mark.parametrize("roi_mode", ["algorithm1", "unrolled"])
def test_the_seed_decides_and_images_differ(roi_mode):
    images = tf.repeat(smooth_images(1, 32, 64), 6, axis=0)
    first = augment(images, (7, 1), PAPER, roi_mode).numpy()
    compiled = tf.function(lambda seed: augment(images, seed, PAPER, roi_mode))((7, 1))
    np.testing.assert_allclose(compiled, first, atol=1e-3)
    other = augment(images, (7, 2), PAPER, roi_mode).numpy()
    assert np.abs(first - other).max() > 5
    differences = np.abs(first[:, None] - first[None]).max(axis=(2, 3, 4))
    assert (differences[~np.eye(6, dtype=bool)] > 1).all()
    assert first.min() >= 0
    assert first.max() <= images.numpy().max() + 1e-3


def test_amounts_stay_within_the_settings():
    # A bright point at the centre shows the shift, points beside it rotation and scale.
    images = np.zeros((200, 201, 201, 1), np.float32)
    images[:, 95:106, 95:106] = 1
    images[:, 95:106, 175:186] = 1
    moved = augment(tf.constant(images), (0, 0), PAPER, "aligned").numpy()[..., 0]
    middle, right = [], []
    for image in moved:
        middle.append(ndimage.center_of_mass(image[:, :140]))
        right.append(np.add(ndimage.center_of_mass(image[:, 140:]), (0, 140)))
    shift = np.subtract(middle, 100)
    arm = np.subtract(right, middle)
    degrees = np.degrees(np.arctan2(-arm[:, 0], arm[:, 1]))
    factors = np.hypot(*arm.T) / 80
    for amounts, largest in [
        (shift[:, 0], 0.05 * 201),
        (shift[:, 1], 0.05 * 201),
        (degrees, 5),
        (factors - 1, 0.05),
    ]:
        assert np.abs(amounts).max() <= largest * 1.02
        assert amounts.min() < -0.9 * largest
        assert amounts.max() > 0.9 * largest


def test_hidden_pixels_do_not_bleed_into_visible_ones():
    strips = np.full((1, 16, 72, 1), 200, np.float32)
    strips[0, 8:, 20:40] = 0
    warped = warp_strips(
        strips, np.float32([2.3]), np.float32([1.04]), np.float32([0.4]), 5.0
    ).numpy()
    assert set(np.round(np.unique(warped), 3)) == {0.0, 200.0}
    assert 0.05 < np.mean(warped == 0) < 0.2  # it was 0.14


@pytest.mark.parametrize("setting", ["sharpness", "degraded_share"])
def test_only_strips_are_sharpened_and_degraded(setting):
    strips = tf.constant(smooth_images(3, 64, 144))
    settings = AugmentationRecipe(0.0, 0.0, 0.0, **{setting: 0.9})
    changed = augment(strips, tf.constant([1, 2]), settings, "unrolled").numpy()
    assert np.abs(changed - strips).max() > 0.01
    same = augment(strips, tf.constant([1, 2]), settings, "algorithm1").numpy()
    np.testing.assert_array_equal(same, strips)
