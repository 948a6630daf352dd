import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.networks.batch_normalization import FusedBatchNormalization

SHAPE = (6, 5, 7, 4)
MOMENTUM, EPSILON = 0.9, 1e-3


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return (rng.normal(size=SHAPE) * [1, 3, 0.2, 5] + [0, 10, -4, 1]).astype(np.float32)


@pytest.fixture
def layer():
    layer = FusedBatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)
    layer.build(SHAPE)
    rng = np.random.default_rng(1)
    layer.set_weights([*rng.normal(size=(3, 4)), rng.uniform(1, 2, 4)])
    return layer


def test_training_is_numpy_s_in_float64(layer, features):
    gamma, beta, mean, variance = layer.get_weights()
    outputs = layer(features, training=True)
    x = features.astype(np.float64).reshape(-1, 4)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + EPSILON) * gamma + beta
    np.testing.assert_allclose(outputs, expected.reshape(SHAPE), rtol=1e-4, atol=1e-4)
    _, _, moved_mean, moved_variance = layer.get_weights()
    np.testing.assert_allclose(moved_mean, 0.9 * mean + 0.1 * x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moved_variance, 0.9 * variance + 0.1 * x.var(0), rtol=1e-5)


def test_gradients_are_those_of_keras_s_layer(layer, features):
    other = keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)
    other.build(SHAPE)
    other.set_weights(layer.get_weights())
    weights = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)

    def gradients(layer):
        x = tf.constant(features)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)) * weights)
        return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    for own, expected in zip(gradients(layer), gradients(other), strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("training", [False, None, "frozen"])
def test_outside_training_moving_statistics_count_and_stay(layer, features, training):
    if training == "frozen":
        layer.trainable, training = False, True
    gamma, beta, mean, variance = before = layer.get_weights()
    expected = (features - mean) / np.sqrt(variance + EPSILON) * gamma + beta
    np.testing.assert_allclose(layer(features, training=training), expected, atol=1e-4)
    for after, weight in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, weight)


def test_half_precision_keeps_statistics_in_full(features):
    layer = FusedBatchNormalization(momentum=MOMENTUM, dtype="mixed_float16")
    outputs = layer(features.astype(np.float16) * 100, training=True)
    assert outputs.dtype == tf.float16
    x = (features.astype(np.float16) * np.float16(100)).astype(np.float64).reshape(-1, 4)
    expected = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(outputs, expected.reshape(SHAPE), atol=0.01)
    # A variance of 250,000 is more than float16 can hold.
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * x.var(0), rtol=1e-3)


def test_survives_saving(layer, features, tmp_path):
    model = keras.Sequential([keras.Input(SHAPE[1:]), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is FusedBatchNormalization
    np.testing.assert_array_equal(loaded(features), model(features))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({"axis": 1}, SHAPE), ({}, SHAPE[:2]), ({"scale": False}, SHAPE), ({"renorm": True}, SHAPE)],
)
def test_what_the_kernel_does_not_compute_is_refused(settings, shape):
    with pytest.raises(ValueError, match="FusedBatchNormalization"):
        FusedBatchNormalization(**settings).build(shape)
