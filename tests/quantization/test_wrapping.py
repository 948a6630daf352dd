import keras
import numpy as np
import pytest
import tensorflow as tf
from network_checks import SIZE, build, crops

from iris_tf.networks.registry import NETWORKS
from iris_tf.quantization.bit_masks import uniform_mask
from iris_tf.quantization.fake_quantizers import dorefa, fake_quantize
from iris_tf.quantization.quantized_layers import FixedPrecision, MixedPrecision
from iris_tf.quantization.wrapping import (
    WITH_KERNELS,
    fix_precision,
    kernels,
    mix_precision,
    without_quantizers,
)
from iris_tf.support.errors import ArgumentError

ROIS = np.random.default_rng(0).integers(0, 256, (4, *SIZE), dtype=np.uint8)
X = ROIS[..., None].astype(np.float32)


@pytest.fixture(scope="module")
def mobile():
    """Depthwise, squeeze-excite, h-swish, spatial attention, depthwise pooling, linear layer."""
    model = build("mobilenet_v3_small")
    for _ in range(3):
        model(X, training=True)
    return model


def cosines(first, second):
    first, second = np.asarray(first), np.asarray(second)
    return (first * second).sum(axis=1)


def test_fixed_8_bits_are_close_and_2_bits_are_not(mobile):
    expected = np.asarray(mobile(X))
    eight = fix_precision(mobile, 8, ROIS)
    two = fix_precision(mobile, 2, ROIS)
    assert cosines(eight(X), expected).min() > 0.95
    assert np.abs(two(X) - expected).max() > 5 * np.abs(eight(X) - expected).max()
    wrapped = {layer.name for layer in eight.layers if isinstance(layer, FixedPrecision)}
    assert wrapped == {layer.name for layer in mobile.layers if isinstance(layer, WITH_KERNELS)}
    assert [layer.name for layer in eight.layers] == [layer.name for layer in mobile.layers]


def test_ranges_are_those_of_calibration_and_stay(mobile):
    model = fix_precision(mobile, 6, ROIS)
    layer = model.get_layer("conv")  # sees the normalised crops, whatever the weights
    inputs = np.asarray(keras.Model(mobile.input, mobile.get_layer("conv").input)(X))
    assert float(layer.high) == pytest.approx(max(inputs.max(), 0.0), rel=1e-5)
    assert float(layer.low) == pytest.approx(min(inputs.min(), 0.0), rel=1e-5)
    before = float(layer.high)
    model(X * 5.0)
    assert float(layer.high) == before


@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense", "attention"])
def test_a_layer_computes_with_the_quantised_kernel(kind, mobile):
    name = {
        "conv": "expanded_conv_1_expand",
        "depthwise": "expanded_conv_1_depthwise",
        "dense": "head_dense",
        "attention": next(n for n in kernels(mobile) if n.startswith("spatial_attention")),
    }[kind]
    plain = mobile.get_layer(name)
    kernel = np.asarray(plain.kernel)
    wrapper = FixedPrecision(type(plain).from_config(plain.get_config()), 4, name="wrapped")
    values = np.random.default_rng(0).normal(size=(2, *plain.input.shape[1:]))
    values = values.astype(np.float32)
    wrapper(values)
    wrapper.layer.set_weights(plain.get_weights())
    wrapper.low.assign(values.min())
    wrapper.high.assign(values.max())
    # Channel by channel, as naively as possible.
    quantised = np.empty_like(kernel)
    places = np.ndindex(kernel.shape[2:]) if kind == "depthwise" else range(kernel.shape[-1])
    for place in places:
        index = (..., *place) if kind == "depthwise" else (..., place)
        low, high = min(kernel[index].min(), 0.0), max(kernel[index].max(), 0.0)
        quantised[index] = fake_quantize(tf.constant(kernel[index]), low, high, 4)
        assert len(np.unique(quantised[index])) <= 16
    other = type(plain).from_config(plain.get_config() | {"name": "other"})
    inputs = fake_quantize(tf.constant(values), values.min(), values.max(), 4)
    other(inputs)
    other.set_weights([quantised, *plain.get_weights()[1:]])
    np.testing.assert_allclose(wrapper(values), other(inputs), atol=1e-4)


def test_every_weight_has_its_own_bits(mobile):
    weights = kernels(mobile)
    rng = np.random.default_rng(0)
    mask = {name: rng.choice([2, 4, 8], part.shape).astype(np.uint8)
            for name, part in weights.items()}  # fmt: skip
    model = mix_precision(mobile, mask, ROIS)
    layer = model.get_layer("conv")
    scale = np.abs(weights["conv"]).max()
    found = np.asarray(layer.quantized_kernel())
    for bits in (2, 4, 8):
        expected = scale * np.asarray(dorefa(tf.constant(weights["conv"]), bits))
        chosen = mask["conv"] == bits
        np.testing.assert_allclose(found[chosen], expected[chosen], atol=1e-6)
    # ReLU's outputs are not negative, those of h-swish and of linear layers are.
    assert not model.get_layer("expanded_conv_project").signed
    assert model.get_layer("expanded_conv_1_expand").signed


@pytest.mark.parametrize("scheme", ["fixed", "mixed"])
def test_all_weights_can_be_trained(mobile, scheme):
    if scheme == "fixed":
        model = fix_precision(mobile, 4, ROIS)
    else:
        model = mix_precision(mobile, uniform_mask(kernels(mobile), 4), ROIS)
    target = np.random.default_rng(1).normal(size=(len(X), 16)).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(X, training=True) * target)
    trained = model.trainable_variables
    found = tape.gradient(loss, [variable.value for variable in trained])
    for variable, gradient in zip(trained, found, strict=True):
        assert gradient is not None and np.isfinite(gradient).all(), variable.path
        # A limit has a gradient only where it clips inputs.
        assert np.any(gradient) or variable.name == "alpha", variable.path
    limits = [np.any(g) for v, g in zip(trained, found, strict=True) if v.name == "alpha"]
    assert sum(limits) >= len(limits) / 2
    missing = {v.path for v in mobile.trainable_variables} - {
        v.path.replace(f"/{v.path.split('/')[1]}/", "/", 1) for v in trained
    }
    assert len(trained) >= len(mobile.trainable_variables), missing


def test_training_keeps_the_limit_of_inputs_above_0(mobile):
    model = mix_precision(mobile, uniform_mask(kernels(mobile), 8), ROIS)
    alpha = model.get_layer("head_dense").alpha
    before = float(alpha)
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build([alpha])
    optimizer.apply([tf.constant(before - 0.5)], [alpha])
    assert float(alpha) == pytest.approx(0.5)
    optimizer.apply([tf.constant(7.0)], [alpha])  # to -6.5
    assert float(alpha) == pytest.approx(1e-3)


@pytest.mark.parametrize("scheme", ["fixed", "mixed"])
def test_saving(mobile, scheme, tmp_path):
    if scheme == "fixed":
        model = fix_precision(mobile, 6, ROIS)
    else:
        model = mix_precision(mobile, uniform_mask(kernels(mobile), 4), ROIS)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded(X), model(X))
    kind = FixedPrecision if scheme == "fixed" else MixedPrecision
    assert any(isinstance(layer, kind) for layer in loaded.layers)


@pytest.mark.parametrize("scheme", ["fixed", "mixed"])
def test_plain_layers_with_the_rounded_weights(mobile, scheme):
    if scheme == "fixed":
        quantized = fix_precision(mobile, 4, ROIS)
    else:
        quantized = mix_precision(mobile, uniform_mask(kernels(mobile), 4), ROIS)
    plain = without_quantizers(quantized)
    assert not any(isinstance(layer, FixedPrecision | MixedPrecision) for layer in plain.layers)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in mobile.layers]
    exact = kernels(mobile)
    for name, kernel in kernels(plain).items():
        np.testing.assert_array_equal(kernel, quantized.get_layer(name).quantized_kernel())
        depthwise = isinstance(mobile.get_layer(name), keras.layers.DepthwiseConv2D)
        for channel in np.ndindex(kernel.shape[2:] if depthwise else kernel.shape[-1:]):
            levels = np.unique(kernel[(..., *channel)])
            assert len(levels) <= 16
            if scheme == "fixed":  # of the channel's own range, which contains 0
                wanted = exact[name][(..., *channel)]
                step = (max(wanted.max(), 0.0) - min(wanted.min(), 0.0)) / 15.0
                assert np.abs(kernel[(..., *channel)] - wanted).max() <= 1.001 * step
                assert np.allclose(levels / step, np.round(levels / step), atol=1e-3)
            else:  # of tanh, at odd fifteenths of the kernel's largest weight
                scaled = 15.0 * levels / np.abs(exact[name]).max()
                assert np.allclose((scaled - 1.0) / 2.0, np.round((scaled - 1.0) / 2.0), atol=1e-3)
    np.testing.assert_array_equal(
        plain.get_layer("head_dense").bias, mobile.get_layer("head_dense").bias
    )
    assert without_quantizers(mobile) is mobile


@pytest.mark.parametrize("scheme", ["fixed", "mixed"])
def test_no_crops_and_quantised_models_are_refused(mobile, scheme):
    def quantised(model, rois):
        if scheme == "fixed":
            return fix_precision(model, 8, rois)
        return mix_precision(model, uniform_mask(kernels(mobile), 8), rois)

    with pytest.raises(ArgumentError, match="there are no crops to calibrate with"):
        quantised(mobile, ROIS[:0])
    with pytest.raises(ArgumentError, match="is quantised already; give the float one"):
        quantised(quantised(mobile, ROIS), ROIS)


@pytest.mark.parametrize(
    "quantised",
    [
        lambda model, rois: fix_precision(model, 8, rois),
        lambda model, rois: mix_precision(model, uniform_mask(kernels(model), 8), rois),
    ],
)
def test_kernels_of_unknown_layers_do_not_silently_stay_float(quantised):
    roi = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3, name="conv")(roi)
    model = keras.Model(roi, keras.layers.SeparableConv2D(2, 3, name="two_kernels")(x))
    with pytest.raises(ArgumentError, match=r"two_kernels \(SeparableConv2D\); known are Conv2D, "):
        quantised(model, np.zeros((1, 8, 8), np.uint8))


def test_a_mask_of_another_network(mobile):
    other = uniform_mask({"conv": np.zeros((3, 3, 3, 16))}, 8)
    with pytest.raises(ValueError, match="the mask is of another network"):
        mix_precision(mobile, other, ROIS)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"resnet50"}))
def test_any_network_of_the_registry(name):
    model = build(name)
    rois = crops(model, 1)
    copy = fix_precision(model, 8, rois)
    assert np.isfinite(np.asarray(copy(rois[..., None].astype(np.float32)))).all()
    assert len(kernels(copy)) == sum(isinstance(layer, WITH_KERNELS) for layer in model.layers)
