"""The segmentation network: shapes, seeds, invariance, size."""

import numpy as np
import pytest

from iris_tf.networks.segmentation_network import build_segmentation_network


@pytest.fixture(scope="module")
def network():
    return build_segmentation_network((48, 64), channels=4, seed=3)


def test_masks_have_the_size_of_the_image(network):
    logits = network(np.zeros((2, 48, 64, 1), np.float32))
    assert logits.shape == (2, 48, 64, 4)
    assert np.isfinite(logits).all()


def test_brightness_and_contrast_of_the_whole_image_do_not_matter(network):
    image = np.random.default_rng(0).uniform(0, 255, (1, 48, 64, 1)).astype(np.float32)
    expected = network(image)
    # Keras adds 0.001 to the variance, which is 0.013 for the image of lower contrast.
    np.testing.assert_allclose(network(0.4 * image + 30.0), expected, rtol=0.05, atol=0.05)


def test_flat_image_gives_numbers(network):
    assert np.isfinite(network(np.full((1, 48, 64, 1), 128.0, np.float32))).all()


def test_initial_weights_depend_on_the_seed_alone(network):
    same, other = (build_segmentation_network((48, 64), 4, seed) for seed in (3, 4))
    for one, two in zip(network.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(
        (one != two).any()
        for one, two in zip(network.get_weights(), other.get_weights(), strict=True)
    )


def test_released_size_fits_a_mebibyte_in_float16():
    assert 2 * build_segmentation_network((192, 256), 4).count_params() < 2**20


def test_every_place_sees_the_whole_image(network):
    image = np.random.default_rng(0).uniform(0, 255, (1, 48, 64, 1)).astype(np.float32)
    changed = image.copy()
    changed[0, -6:, -6:] = 255.0 - changed[0, -6:, -6:]
    difference = np.abs(network(image) - network(changed))
    assert difference[0, 0, 0].max() > 0


def test_sides_must_be_divisible():
    with pytest.raises(ValueError, match="multiples of 16"):
        build_segmentation_network((50, 64), 4)
