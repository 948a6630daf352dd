import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.networks.head import embedding_head


def build(pooling, shape=(4, 6, 10)):
    features = keras.Input(shape)
    embedding = embedding_head(features, 5, pooling, batchnorm_momentum=0.9, seed=3)
    return keras.Model(features, embedding)


def features(shape=(3, 4, 6, 10)):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("pooling", ["average", "depthwise", "placed"])
def test_equals_numpy(pooling):
    model, x = build(pooling), features()
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    positions = np.full((4, 6, 10), 1 / 24)
    if pooling != "average":
        positions = model.get_layer("head_pool").get_weights()[0][..., 0]
    gamma, beta, mean, variance = model.get_layer("head_batchnorm").get_weights()
    pooled = np.einsum("bhwc,hwc->bc", x, positions)
    linear = pooled @ model.get_layer("head_dense").get_weights()[0]
    normal = gamma * (linear - mean) / np.sqrt(variance + 1e-3) + beta
    expected = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


def test_depthwise_pooling_begins_as_the_average_and_can_leave_it():
    average, depthwise, x = build("average"), build("depthwise"), features()
    np.testing.assert_allclose(depthwise(x), average(x), atol=1e-5)

    kernel = depthwise.get_layer("head_pool").trainable_variables[0]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(depthwise(x)[:, 0])
    gradient = tape.gradient(loss, kernel.value).numpy()
    spread = gradient.reshape(24, -1).std(axis=0)
    assert (spread > 0.1 * np.abs(gradient).mean()).all()


def test_placed_pooling_forgets_the_mean_over_the_angle_step_by_step():
    models = {pooling: build(pooling) for pooling in ("depthwise", "placed")}
    rng = np.random.default_rng(5)
    x = rng.normal(size=(8, 4, 6, 10)).astype(np.float32)
    kernel = rng.normal(size=(4, 6, 10, 1)).astype(np.float32)
    kernels = {}
    for pooling, model in models.items():
        model.get_layer("head_pool").set_weights([kernel])
        variables = model.trainable_variables
        # As the trainer's: through one optimiser of several.
        only = keras.optimizers.SGD(0.1)
        optimizer = keras.optimizers.MultiOptimizer(lambda _, only=only: only)
        optimizer.build(variables)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x) * np.arange(5.0))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        kernels[pooling] = model.get_layer("head_pool").get_weights()[0]
    assert np.abs(kernels["depthwise"] - kernel).max() > 0
    stepped = kernels["depthwise"]
    expected = stepped - 0.03 * stepped.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(kernels["placed"], expected, atol=1e-5)


def test_depthwise_pooling_tells_positions_apart():
    x = np.zeros((2, 4, 6, 10), np.float32)
    x[0, 0, 0], x[1, 3, 5] = 1.0, 1.0
    average, depthwise = build("average"), build("depthwise")
    kernel = depthwise.get_layer("head_pool").weights[0]
    kernel.assign(np.random.default_rng(4).normal(size=kernel.shape))
    np.testing.assert_array_equal(average(x)[0], average(x)[1])
    assert float(tf.reduce_sum(depthwise(x)[0] * depthwise(x)[1])) < 0.9


@pytest.mark.parametrize("pooling", ["average", "depthwise", "placed"])
def test_unit_length_in_float32_under_mixed_float16(pooling, mixed_float16):
    outputs = build(pooling)(features())
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), 1.0, atol=1e-5)


def test_all_zero_features_give_no_nan():
    assert np.isfinite(build("average")(np.zeros((1, 4, 6, 10), np.float32))).all()
