"""Layer rewrites for integer arithmetic leave the outputs of every kind of block as they were."""

import keras
import numpy as np
import pytest
from network_checks import SIZE, build

from iris_tf.networks.batch_norm_folding import fold_batch_normalization
from iris_tf.networks.bias_correction import correct_biases, round_kernel
from iris_tf.networks.channel_scaling import absorbers
from iris_tf.networks.equalization import equalize
from iris_tf.networks.hard_swish import SplitHardSwish, split_hard_swish
from iris_tf.networks.prelu import SplitPReLU, split_prelu
from iris_tf.networks.spatial_attention import SpatialAttention

X = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 1)).astype(np.float32)


def trained(name):
    """A network of the registry with statistics and affine parameters of some training."""
    model = build(name)
    for _ in range(2):
        model(X, training=True)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 2.0, layer.gamma.shape))
            layer.beta.assign(rng.normal(0.0, 0.3, layer.beta.shape))
    return model


@pytest.fixture(scope="module")
def mobile():
    """MobileNetV3: depthwise, squeeze-excite, h-swish, spatial attention."""
    return trained("mobilenet_v3_small")


@pytest.fixture(scope="module")
def folded(mobile):
    return fold_batch_normalization(mobile)


def kinds(model):
    return {type(layer) for layer in model.layers}


def test_batch_normalisation_is_folded(mobile, folded):
    np.testing.assert_allclose(folded(X), mobile(X), atol=1e-5)
    assert not any(issubclass(kind, keras.layers.BatchNormalization) for kind in kinds(folded))
    assert folded.get_layer("expanded_conv_project").use_bias


def test_folding_by_hand():
    image = keras.Input((1, 1, 1))
    x = keras.layers.Conv2D(1, 1, use_bias=False, name="conv")(image)
    norm = keras.layers.BatchNormalization(epsilon=0.0)
    model = keras.Model(image, norm(x))
    # gamma, beta, mean, variance: y = 3 (2 x - 1) / 2 + 4 = 3 x + 2.5
    model.set_weights([np.full((1, 1, 1, 1), 2.0), *([np.array([v])] for v in ())]
                      + [np.array([v]) for v in (3.0, 4.0, 1.0, 4.0)])  # fmt: skip
    kernel, bias = fold_batch_normalization(model).get_layer("conv").get_weights()
    assert (kernel.item(), bias.item()) == (pytest.approx(3.0), pytest.approx(2.5))


def test_h_swish_is_split(mobile, folded):
    split = split_hard_swish(folded)
    np.testing.assert_allclose(split(X), mobile(X), atol=1e-5)
    swishes = [layer for layer in split.layers if isinstance(layer, SplitHardSwish)]
    assert len(swishes) == sum(
        isinstance(layer, keras.layers.Activation)
        and layer.activation is keras.activations.hard_silu
        for layer in mobile.layers
    )
    # Through squeeze-excite and attention, the next kernels make up for the factor.
    assert {layer.factor for layer in swishes} == {6.0}


def test_an_h_swish_into_a_sum_is_divided_at_once():
    image = keras.Input((4, 4, 2))
    x = keras.layers.Activation("hard_silu", name="swish")(keras.layers.Conv2D(2, 1)(image))
    model = keras.Model(image, keras.layers.Add()([keras.layers.Conv2D(2, 1)(x), x]))
    split = split_hard_swish(model)
    assert split.get_layer("swish").factor == 1.0
    values = np.random.default_rng(0).normal(0, 4, (2, 4, 4, 2))
    np.testing.assert_allclose(split(values), model(values), atol=1e-5)


@pytest.mark.parametrize("value", [-4.0, -3.0, -1.0, 0.0, 2.9, 3.0, 5.0])
def test_split_h_swish_by_hand(value):
    expected = value * min(max(value + 3.0, 0.0), 6.0)
    found = SplitHardSwish(6.0)(np.array([[value]], np.float32))
    assert np.asarray(found).item() == pytest.approx(expected, abs=1e-6)
    found = SplitHardSwish(1.0)(np.array([[value]], np.float32))
    assert np.asarray(found).item() == pytest.approx(expected / 6.0, abs=1e-6)


@pytest.mark.parametrize("slopes", [(0.25, 0.0, 2.0), (0.25, -0.5, 1.0)])
def test_split_prelu_by_hand(slopes):
    image = keras.Input((2, 1, 3))
    model = keras.Model(image, keras.layers.PReLU(shared_axes=[1, 2], name="prelu")(image))
    model.set_weights([np.reshape(slopes, (1, 1, 3)).astype(np.float32)])
    split = split_prelu(model)
    assert isinstance(split.get_layer("prelu"), SplitPReLU)
    values = np.array([[-4.0, 2.0, -1.0], [3.0, -6.0, 0.0]], np.float32)
    expected = [[v if v > 0 else a * v for v, a in zip(row, slopes, strict=True)] for row in values]
    found = np.asarray(split(values.reshape(1, 2, 1, 3)))[0, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    again = keras.models.model_from_json(split.to_json())
    again.set_weights(split.get_weights())
    np.testing.assert_array_equal(again(values.reshape(1, 2, 1, 3)), split(values[None, :, None]))


def test_prelu_of_a_network_is_split():
    model = trained("mobilefacenet")
    slopes = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.PReLU):
            layer.alpha.assign(slopes.uniform(-0.1, 0.5, layer.alpha.shape))
    split = split_prelu(model)
    assert not kinds(split) & {keras.layers.PReLU}
    np.testing.assert_allclose(split(X), model(X), atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet50", "mobilefacenet"])
def test_equalisation_leaves_float_outputs_as_they_were(name, mobile):
    model = mobile if name == mobile.name else trained(name)
    plain = fold_batch_normalization(model)
    equal = equalize(plain)
    np.testing.assert_allclose(equal(X), model(X), atol=1e-5)
    changed = [
        layer.name
        for layer in plain.layers
        if layer.weights
        and not np.allclose(layer.get_weights()[0], equal.get_layer(layer.name).get_weights()[0])
    ]
    assert len(changed) > 10


def test_equalisation_by_hand():
    image = keras.Input((1, 1, 1))
    x = keras.layers.Conv2D(2, 1, name="first")(image)
    x = keras.layers.ReLU()(x)
    model = keras.Model(image, keras.layers.Conv2D(1, 1, use_bias=False, name="second")(x))
    model.get_layer("first").set_weights([np.array([[[[8.0, 0.5]]]]), np.array([4.0, 1.0])])
    model.get_layer("second").set_weights([np.array([[[[0.5], [2.0]]]])])
    equal = equalize(model)
    # s = sqrt(8 / 0.5) = 4 and sqrt(0.5 / 2) = 0.5; both ranges are then 2 and 1.
    kernel, bias = equal.get_layer("first").get_weights()
    np.testing.assert_allclose(kernel.ravel(), [2.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(bias, [1.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(equal.get_layer("second").kernel.numpy().ravel(), [2.0, 1.0])


def test_scales_stop_where_they_do_not_commute():
    image = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(2, 1, name="conv")(image)
    limited = keras.layers.Conv2D(1, 1)(keras.layers.ReLU(6.0)(x))
    model = keras.Model(image, limited)
    assert absorbers(model, model.get_layer("conv"), np.array([2.0, 2.0])) is None
    attended = SpatialAttention(3, name="attention")(x)
    model = keras.Model(image, keras.layers.Conv2D(1, 1, name="next")(attended))
    conv = model.get_layer("conv")
    assert absorbers(model, conv, np.array([2.0, 3.0])) is None
    assert set(absorbers(model, conv, np.array([2.0, 2.0]))) == {"attention", "next"}
    squared = keras.Model(image, keras.layers.Conv2D(1, 1)(keras.layers.Multiply()([x, x])))
    assert absorbers(squared, squared.get_layer("conv"), np.array([2.0, 2.0])) is None
    assert absorbers(keras.Model(image, x), conv, np.array([2.0, 2.0])) is None


def test_kernels_are_rounded_to_127ths_of_each_channels_largest():
    layer = keras.layers.Conv2D(2, 1)
    kernel = np.array([[[[127.0, 0.0], [-63.4, 1.27], [0.5, -0.006]]]])
    rounded = round_kernel(layer, kernel)[0, 0]
    np.testing.assert_allclose(rounded[:, 0], [127.0, -63.0, 0.0])  # a tie goes to the even one
    np.testing.assert_allclose(rounded[:, 1], [0.0, 1.27, -0.01], atol=1e-9)


def test_bias_correction_removes_the_mean_error_of_rounding():
    roi = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(roi)
    x = keras.layers.Conv2D(3, 3, padding="same", name="conv")(x)
    model = keras.Model(roi, keras.layers.GlobalAveragePooling2D()(x))
    rois = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    corrected = correct_biases(model, rois)
    untouched = correct_biases(model, rois, ["conv"])
    before = model.get_layer("conv").bias
    np.testing.assert_array_equal(untouched.get_layer("conv").bias, before)
    layer = corrected.get_layer("conv")
    kernel, bias = layer.get_weights()
    layer.set_weights([round_kernel(layer, kernel), bias])
    batch = rois[..., None].astype(np.float32)
    np.testing.assert_allclose(
        np.mean(corrected(batch), axis=0), np.mean(model(batch), axis=0), atol=1e-6
    )
