import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from iris_tf.exporting.activation_ranges import best_range
from iris_tf.exporting.export_tflite import export_model
from iris_tf.exporting.static_quantization import (
    Quantization,
    in_graph,
    layer_of_tensor,
    prepare_for_integers,
    quantized_name,
)
from iris_tf.networks.batch_norm_folding import fold_batch_normalization
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.equalization import equalize
from iris_tf.networks.hard_swish import split_hard_swish
from iris_tf.support.errors import ExportError
from iris_tf.tflite.operators import operator_names

ROIS = np.random.default_rng(0).integers(0, 256, (24, 64, 96), dtype=np.uint8)


def mean_squared_error(values, low, high, bits):
    """By a loop over values and levels."""
    size = (high - low) / (2**bits - 1)
    zero = round(-low / size)
    levels = [(level - zero) * size for level in range(2**bits)]
    return float(np.mean([min(abs(value - level) for level in levels) ** 2 for value in values]))


def test_best_range_clips_an_outlier_but_keeps_zero():
    rng = np.random.default_rng(0)
    values = np.append(rng.uniform(0.0, 1.0, 2000), [30.0]).astype(np.float32)
    low, high = best_range(values, 4)
    assert low == 0.0
    assert mean_squared_error(values, low, high, 4) < mean_squared_error(values, 0.0, 30.0, 4)
    # Nothing to gain from clipping where all values are equally far out.
    ends = np.array([-1.0, 1.0] * 50, np.float32)
    assert best_range(ends, 8) == pytest.approx((-1.0, 1.0), rel=0.02)


def test_best_range_of_constants():
    assert best_range(np.zeros(5, np.float32), 8) == (0.0, 0.0)
    low, high = best_range(np.full(5, 2.0, np.float32), 8)
    assert low == 0.0 and high == pytest.approx(2.0, rel=0.01)


def test_layers_are_found_in_names_of_tensors():
    import re

    name = "iris_1/conv_1-_2/Relu;iris_1/conv_1-_2/BiasAdd"
    assert re.search(in_graph("conv_1"), name) and not re.search(in_graph("conv"), name)
    assert not re.search(in_graph("conv_1"), "iris_1/conv-_1/BiasAdd")
    assert layer_of_tensor(name) == "conv_1"
    assert layer_of_tensor("iris_1/Mul_3") is None


@pytest.fixture(scope="module")
def model():
    model = build_embedding_model(
        "mobilenet_v3_small",
        ROIS.shape[1:],
        embedding_size=16,
        weights="none",
        attention=("expanded_conv_3_squeeze_excite_mul",),
        batchnorm_momentum=0.1,
        seed=1,
    )
    for _ in range(3):  # statistics of some data
        model(ROIS[..., None].astype(np.float32), training=True)
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    return export_model(
        model,
        folder,
        "small",
        ["float32", "int8"],
        parity_rois=ROIS[:4],
        quantization=Quantization(ROIS, ("expanded_conv_1_.*",), report=True),
        min_cosine=0.5,  # an untrained network amplifies rounding
    )


def test_int8_is_small_and_close(exported):
    float32, int8 = exported
    assert int8.bytes < 0.35 * float32.bytes
    assert int8.parity_min_cosine > 0.9
    assert float32.layers == ()


def test_what_computes_in_integers(exported):
    _, int8 = exported
    assert "HARD_SWISH" not in operator_names(int8.path)
    interpreter = Interpreter(model_path=str(int8.path))
    runner = interpreter.get_signature_runner("serving_default")
    ends = [*runner.get_input_details().values(), *runner.get_output_details().values()]
    assert {detail["dtype"] for detail in ends} == {np.float32}
    types = {}
    for detail in interpreter.get_tensor_details():
        layer = layer_of_tensor(detail["name"])
        if layer is not None and len(detail["shape"]) and detail["dtype"] != np.int32:
            types.setdefault(layer, set()).add(detail["dtype"])
    assert types["expanded_conv_2_depthwise"] == {np.int8}
    for kept in ("expanded_conv_1_depthwise", "head_unit_norm", "roi_normalization"):
        assert np.float32 in types[kept]
    assert np.float32 in types["spatial_attention_expanded_conv_3_squeeze_excite_mul"]


def test_report_has_every_layer_from_input_to_output(exported):
    layers = exported[1].layers
    names = [layer.layer for layer in layers]
    assert names.index("conv") < names.index("expanded_conv_5_project") < names.index("head_dense")
    first = layers[names.index("conv")]
    assert first.signal_to_noise > 25 and first.cosine > 0.99
    assert len(set(names)) == len(names) > 50


@keras.saving.register_keras_serializable("tests")
class Sine(keras.layers.Layer):
    """An operation of TFLite that has no kernel for integers."""

    def call(self, inputs):
        return keras.ops.sin(inputs)


def test_an_operation_without_integers_computes_in_float32_and_is_named(tmp_path):
    keras.utils.set_random_seed(0)
    roi = keras.Input((64, 96, 1), name="roi")
    x = keras.layers.Rescaling(1.0 / 255.0)(roi)
    x = keras.layers.Conv2D(8, 3, strides=4, name="before")(x)
    x = Sine(name="odd")(x)
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="after")(x)
    x = keras.layers.Dense(16, name="head")(keras.layers.Flatten()(x))
    model = keras.Model(roi, keras.layers.UnitNormalization(name="norm")(x))
    with pytest.warns(UserWarning, match=r"odd_int8.tflite: operations of 1 layers .*\(odd: SIN\)"):
        [int8] = export_model(
            model,
            tmp_path,
            "odd",
            ["int8"],
            parity_rois=ROIS[:4],
            quantization=Quantization(ROIS, report=True),
        )
    operations = {layer.layer: set(layer.float_operations) for layer in int8.layers}
    assert operations["odd"] == {"SIN"}
    assert operations["before"] == operations["after"] == operations["head"] == set()
    assert "SQUARE" in operations["norm"]  # one of the layers that stay float


def test_failed_parity_names_the_layers_that_hurt(model, tmp_path):
    with pytest.raises(ExportError, match=r"signal-to-noise ratio are \w+ \(.*dB\).*--keep-float"):
        export_model(
            model,
            tmp_path,
            "small",
            ["int8"],
            parity_rois=ROIS[:2],
            quantization=Quantization(ROIS),
            min_cosine=1.1,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        (None, "needs crops of the training split to be exported in int8"),
        (Quantization(ROIS[:15]), "there are 15 crops to calibrate with, 15 of them distinct"),
        (Quantization(np.repeat(ROIS[:1], 30, axis=0)), "30 crops to calibrate with, 1 of them"),
        (Quantization(ROIS[:, :32]), "takes crops of 64x96 pixels, but those for calibration"),
        (Quantization(ROIS, ("con",)), "'con', which matches no layer"),
        (Quantization(ROIS, ("con(",)), r"'con\(', of layers to keep .* is no regular expression"),
        (
            Quantization(ROIS, ("expanded_conv_project_bn",)),
            "expanded_conv_project_bn is folded into expanded_conv_project; match that layer",
        ),
    ],
)
def test_bad_input(model, tmp_path, quantization, message):
    with pytest.raises(ExportError, match=message):
        export_model(
            model, tmp_path, "small", ["int8"], parity_rois=ROIS[:1], quantization=quantization
        )


def test_a_model_of_two_layers_is_named_in_a_message():
    roi = keras.Input((64, 96, 1), name="roi")
    model = keras.Model(roi, keras.layers.Flatten(name="flatten")(roi))
    with pytest.raises(ExportError, match="layers are named flatten and so on"):
        Quantization(ROIS, ("con",)).check("small", model)


def test_layers_kept_in_float_keep_their_biases(model):
    kept = ["expanded_conv_1_depthwise", "head_dense"]
    plain = prepare_for_integers(model, ROIS, [])
    some = prepare_for_integers(model, ROIS, kept)
    exact = split_hard_swish(equalize(fold_batch_normalization(model)))
    for name in kept:
        bias = np.asarray(exact.get_layer(name).bias)
        np.testing.assert_array_equal(some.get_layer(quantized_name(name)).bias, bias)
        assert not np.array_equal(plain.get_layer(quantized_name(name)).bias, bias)
    other = quantized_name("expanded_conv_2_depthwise")
    assert not np.array_equal(
        some.get_layer(other).bias, exact.get_layer("expanded_conv_2_depthwise").bias
    )
