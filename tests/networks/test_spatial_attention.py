import math

import keras
import numpy as np
import pytest
from layer_checks import check_layer

from iris_tf.networks.spatial_attention import SpatialAttention


def numpy_attention(features, kernel):
    """Eq. 1 for one image, position by position."""
    height, width, _ = features.shape
    half = kernel.shape[0] // 2
    out = np.empty_like(features)
    for y in range(height):
        for x in range(width):
            total = 0.0
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    v, u = y + i - half, x + j - half
                    if 0 <= v < height and 0 <= u < width:
                        total += kernel[i, j, 0, 0] * features[v, u].mean()
                        total += kernel[i, j, 1, 0] * features[v, u].max()
            out[y, x] = features[y, x] / (1 + math.exp(-total))
    return out


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_equals_numpy(kernel_size, tmp_path):
    rng = np.random.default_rng(kernel_size)
    features = rng.normal(size=(2, 5, 9, 6)).astype(np.float32)
    layer = SpatialAttention(kernel_size, name=f"attention_{kernel_size}")
    outputs = check_layer(layer, features, features.shape, tmp_path)
    (kernel,) = layer.get_weights()
    assert kernel.shape == (kernel_size, kernel_size, 2, 1)
    for image, output in zip(features, outputs, strict=True):
        np.testing.assert_allclose(output, numpy_attention(image, kernel), rtol=1e-5, atol=1e-6)


def test_keeps_its_initializer_when_copied():
    layer = SpatialAttention(3, keras.initializers.Constant(0.25))
    copy = SpatialAttention.from_config(layer.get_config())
    copy.build((None, 8, 8, 4))
    assert (copy.get_weights()[0] == 0.25).all()


def test_float16_mean_does_not_overflow():
    # 960 channels of 100 sum to 96,000, beyond float16's 65,504.
    layer = SpatialAttention(1, "zeros", dtype="mixed_float16")
    outputs = layer(np.full((1, 2, 2, 960), 100.0, np.float32))
    np.testing.assert_allclose(outputs, 50.0)


@pytest.mark.parametrize("kernel_size", [0, 4])
def test_even_kernel(kernel_size):
    with pytest.raises(ValueError, match="odd"):
        SpatialAttention(kernel_size)
