import numpy as np
import pytest
import tensorflow as tf

from iris_tf.config.training_recipe import AugmentationRecipe
from iris_tf.training.augmentation import augment
from iris_tf.training.photometric_augmentation import flip_crops, jitter_colours

SEED = tf.constant([3, 5], tf.int64)


def crops(channels=3, n=400):
    return np.random.default_rng(0).uniform(60, 120, (n, 4, 6, channels)).astype(np.float32)


def test_a_share_is_mirrored():
    images = crops()
    found = flip_crops(tf.constant(images), SEED, 0.1).numpy()
    flipped = [np.array_equal(a, b[:, ::-1]) for a, b in zip(found, images, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(found, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 20 <= sum(flipped) <= 65  # 40 expected, six standard deviations are 36
    assert np.array_equal(flip_crops(tf.constant(images), SEED, 1.0), images[:, :, ::-1])


def naive(image, brightness, contrast, saturation):
    weights = [0.299, 0.587, 0.114] if image.shape[2] == 3 else [1.0]
    image = image.astype(np.float64) * brightness
    mean = (image @ weights).mean()
    image = mean + (image - mean) * contrast
    for place in np.ndindex(image.shape[:2]):
        grey = image[place] @ weights
        image[place] = grey + (image[place] - grey) * saturation
    return np.clip(image, 0, 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_those_of_the_loop(channels):
    images = crops(channels, 5)
    factors = tf.random.stateless_uniform((3, 5, 1, 1, 1), SEED, 0.8, 1.2, alg="philox").numpy()
    found = jitter_colours(tf.constant(images), SEED, 0.2)
    for i, image in enumerate(images):
        expected = naive(image, *factors[:, i].ravel())
        np.testing.assert_allclose(found[i], expected, rtol=1e-4)
    assert factors.min() >= 0.8
    assert factors.max() <= 1.2


def test_a_recipe_turns_them_on():
    images = tf.constant(crops(3, 8))
    still = AugmentationRecipe(0.0, 0.0, 0.0)
    assert np.array_equal(augment(images, SEED, still, "whole"), images)
    moved = AugmentationRecipe(0.0, 0.0, 0.0, flip_share=1.0)
    assert np.array_equal(augment(images, SEED, moved, "whole"), images[:, :, ::-1])
    moved = AugmentationRecipe(0.0, 0.0, 0.0, colour_jitter=0.2)
    assert not np.allclose(augment(images, SEED, moved, "whole"), images)
