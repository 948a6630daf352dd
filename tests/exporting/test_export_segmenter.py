"""The exported segmenter computes what its Keras model does."""

import keras
import numpy as np
import pytest

from iris_tf.exporting.export_segmenter import TransposedConvolution, export_segmenter
from iris_tf.networks.segmentation_network import build_segmentation_network
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.operators import operator_names
from iris_tf.tflite.signatures import MASKS, MASKS_OF_WHOLE


def transposed_by_hand(image, kernel, bias):
    """Every input pixel adds its kernel to the output, which is cut by one pixel on each side."""
    height, width, _ = image.shape
    output = np.zeros((2 * height + 2, 2 * width + 2, kernel.shape[2]))
    for row in range(height):
        for column in range(width):
            part = kernel @ image[row, column]
            output[2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += part
    return output[1:-1, 1:-1] + bias


@pytest.mark.parametrize(("shape", "channels"), [((3, 5, 4), 2), ((6, 8, 16), 4), ((1, 1, 2), 1)])
def test_transposed_convolution_is_that_of_a_loop(shape, channels):
    rng = np.random.default_rng(0)
    layer = keras.layers.Conv2DTranspose(channels, 4, 2, "same")
    layer.build((None, *shape))
    kernel = rng.normal(size=(4, 4, channels, shape[-1])).astype(np.float32)
    bias = rng.normal(size=channels).astype(np.float32)
    layer.set_weights([kernel, bias])
    image = rng.normal(size=shape).astype(np.float32)
    found = np.asarray(TransposedConvolution(layer)(image[None]))[0]
    np.testing.assert_allclose(found, transposed_by_hand(image, kernel, bias), atol=1e-5)


def test_file_gives_the_probabilities_of_the_model(tmp_path):
    model = build_segmentation_network((240, 320), 4, seed=3)
    rng = np.random.default_rng(1)
    logits = model.get_layer("logits")
    logits.set_weights([logits.get_weights()[0], rng.normal(size=4)])
    images = rng.integers(0, 256, (2, 240, 320), np.uint8)
    file = export_segmenter(model, tmp_path, images, "float32")
    assert "TRANSPOSE_CONV" not in operator_names(file)
    found = LiteRTModel(file, MASKS)(images[0])
    expected = 1 / (1 + np.exp(-np.asarray(model(images[:1, ..., None].astype(np.float32)))[0]))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert LiteRTModel(file, MASKS_OF_WHOLE).output_shape == (192, 256, 4)
