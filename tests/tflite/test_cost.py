"""Parameters and multiply-accumulates against hand counts and against Keras."""

import keras
import numpy as np
import pytest

from iris_tf.exporting.export_tflite import export_model
from iris_tf.tflite.cost import model_cost
from iris_tf.tflite.released_models import released_model

ROIS = np.random.default_rng(0).integers(0, 256, (2, 16, 24), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    keras.utils.set_random_seed(1)
    roi = keras.Input((16, 24, 1))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(roi)  # 8x12x8
    x = keras.layers.DepthwiseConv2D(5, padding="same")(x)
    x = keras.layers.Conv2DTranspose(4, 2, strides=2)(x)  # 16x24x4
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.UnitNormalization()(keras.layers.Dense(10)(x))
    model = keras.Model(roi, x)
    rng = np.random.default_rng(2)
    # Biases that are alike would be stored once.
    model.set_weights([w + 0.01 * rng.normal(size=w.shape) for w in model.get_weights()])
    folder = tmp_path_factory.mktemp("cost")
    exported = export_model(model, folder, "small", ["float32", "float16"], parity_rois=ROIS)
    return model, [file.path for file in exported]


def test_macs_by_hand(files):
    convolution = 8 * 12 * 8 * 9 * 1
    depthwise = 8 * 12 * 8 * 25
    transposed = 8 * 12 * 8 * 4 * 4  # every input value goes to 2x2 places of 4 channels
    dense = 4 * 10
    for path in files[1]:
        assert model_cost(path).macs == convolution + depthwise + transposed + dense


def test_parameters_are_those_of_keras_but_for_a_few_constants(files):
    model, paths = files
    for path in paths:
        cost = model_cost(path)
        assert model.count_params() <= cost.parameters <= model.count_params() + 8
        assert cost.bytes == path.stat().st_size


def test_released_segmenter():
    cost = model_cost(released_model("iris-segmenter", "float16"))
    # Of the larger of its two signatures. By hand for the layers at half of 288x384: 5x5 to 16
    # channels, 3x3 from 32 to 16 and from 16 to 16; the others work on less than a quarter.
    largest = 144 * 192 * (16 * 25 + 9 * 32 * 16 + 9 * 16 * 16)
    assert largest < cost.macs < 5 * largest
    # Two bytes a weight, once for both; the file describes two graphs beside.
    assert 2 * cost.parameters < cost.bytes < 2.25 * cost.parameters
