import hashlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from iris_tf.config.precision import PRECISIONS, Precision
from iris_tf.exporting import conversion
from iris_tf.exporting.export_tflite import export_model
from iris_tf.exporting.static_quantization import Quantization
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.support.errors import ExportError
from iris_tf.tflite.operators import foreign_operators, operator_names

ROIS = np.random.default_rng(0).integers(0, 256, (5, 24, 32), dtype=np.uint8)


def small_model(*extra, kernel=0.05, input_shape=(24, 32, 1)):
    """A small embedding network; `extra` layers come before its head."""
    keras.utils.set_random_seed(3)
    roi = keras.Input(input_shape, name="roi")
    x = keras.layers.Rescaling(1 / 255)(roi)
    x = keras.layers.Conv2D(
        16,
        3,
        strides=2,
        activation="hard_silu",
        kernel_initializer=keras.initializers.RandomNormal(0, kernel),
    )(x)
    for layer in extra:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.BatchNormalization()(keras.layers.Dense(12)(x))
    return keras.Model(roi, keras.layers.UnitNormalization(name="embedding", dtype="float32")(x))


@keras.saving.register_keras_serializable(package="test_tflite")
class Dilation(keras.layers.Layer):
    """Morphology, which TFLite has only through TensorFlow."""

    def call(self, x):
        return tf.nn.dilation2d(x, tf.zeros((3, 3, 16)), [1] * 4, "SAME", "NHWC", [1] * 4)


class Forgetful(keras.layers.Layer):
    """Adds something in its first calls only: what Keras gave is not what is converted."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x * keras.ops.cast(keras.ops.arange(16) > (9 if self.calls <= 2 else 3), x.dtype)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def run(path, roi):
    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    return runner(roi=roi[None, :, :, None].astype(np.float32))


def test_files_have_the_signature_and_the_numbers_of_the_model(tmp_path, capfd):
    model = small_model()
    files = export_model(model, tmp_path / "models", "small", parity_rois=ROIS)
    assert [file.precision for file in files] == ["float32", "float16"]
    assert names(tmp_path / "models") == ["small_float16.tflite", "small_float32.tflite"]
    out, err = capfd.readouterr()  # the converter's log stays off the terminal
    assert out == "" and re.fullmatch(r"Exporting small: 2/2 in \d+ s\n", err)
    expected = model.predict(ROIS[..., None], verbose=0)
    for file in files:
        content = file.path.read_bytes()
        assert file.bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        interpreter = Interpreter(model_path=str(file.path))
        assert interpreter.get_signature_list() == {
            "serving_default": {"inputs": ["roi"], "outputs": ["embedding"]}
        }
        runner = interpreter.get_signature_runner("serving_default")
        assert runner.get_input_details()["roi"]["shape"].tolist() == [1, 24, 32, 1]
        assert runner.get_input_details()["roi"]["dtype"] == np.float32
        assert runner.get_output_details()["embedding"]["shape"].tolist() == [1, 12]
        assert foreign_operators(file.path) == []
        found = np.concatenate([run(file.path, roi)["embedding"] for roi in ROIS])
        np.testing.assert_allclose(found, expected, atol=1e-5 if "32" in file.precision else 5e-3)
        cosine = min(a @ b for a, b in zip(found, expected, strict=True))
        assert file.parity_min_cosine == pytest.approx(min(cosine, 1), abs=1e-6)
        assert file.parity_min_cosine >= 0.9999


def test_float16_halves_the_weights(tmp_path):
    wide = keras.layers.Conv2D(64, 3, activation="relu")  # 16 x 64 x 9 weights
    single, half = export_model(small_model(wide), tmp_path, "wide", parity_rois=ROIS)
    assert single.bytes - half.bytes == pytest.approx(2 * 16 * 64 * 9, rel=0.25)


def test_a_model_of_mixed_precision_becomes_a_float32_graph(tmp_path):
    reference = small_model()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small_model()
        model.set_weights(reference.get_weights())
        [file] = export_model(model, tmp_path, "mixed", ["float32"], parity_rois=ROIS)
        assert keras.config.dtype_policy().name == "mixed_float16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.layers[2].compute_dtype == "float16"
    details = Interpreter(model_path=str(file.path)).get_tensor_details()
    assert np.float16 not in {tensor["dtype"] for tensor in details}
    assert "CAST" not in operator_names(file.path)
    expected = reference.predict(ROIS[..., None], verbose=0)
    np.testing.assert_allclose(run(file.path, ROIS[0])["embedding"], expected[:1], atol=1e-5)


def test_weights_that_float16_cannot_hold_are_refused(tmp_path):
    # Harmless in float32, because the head normalises; under 3e-8 a float16 is zero.
    model = small_model(kernel=1e-9)
    with pytest.raises(ExportError, match=r"faint_float16.tflite: .*length (0|nan) instead of 1"):
        export_model(model, tmp_path, "faint", parity_rois=ROIS)
    assert names(tmp_path) == ["faint_float32.tflite"]


def test_other_numbers_than_the_models_are_refused_with_the_figure(tmp_path):
    with pytest.raises(ExportError, match=r"odd_float32.tflite: .*least cosine .* is 0\.\d{6}"):
        export_model(small_model(Forgetful()), tmp_path, "odd", parity_rois=ROIS)
    assert names(tmp_path) == []


def test_the_earlier_file_survives_a_failed_export(tmp_path):
    (tmp_path / "small_float32.tflite").write_bytes(b"earlier")
    with pytest.raises(ExportError, match="least cosine"):
        export_model(small_model(), tmp_path, "small", parity_rois=ROIS, min_cosine=1.1)
    assert (tmp_path / "small_float32.tflite").read_bytes() == b"earlier"
    assert names(tmp_path) == ["small_float32.tflite"]


def test_operations_that_need_tensorflow_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"flex_float32.tflite: .*needs Dilation2D"):
        export_model(small_model(Dilation()), tmp_path, "flex", parity_rois=ROIS)
    assert names(tmp_path) == []


def test_operator_names_tell_built_in_from_foreign(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((1, 4, 4, 1), tf.float32)])
    def function(x):
        x = tf.nn.relu(tf.nn.conv2d(x, tf.ones((3, 3, 1, 2)), 1, "SAME"))
        return tf.nn.dilation2d(x, tf.ones((3, 3, 2)), [1] * 4, "SAME", "NHWC", [1] * 4)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], function
    )
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS,
        tf.lite.OpsSet.SELECT_TF_OPS,
    ]
    path = tmp_path / "flex.tflite"
    path.write_bytes(converter.convert())
    assert operator_names(path) == ["CONV_2D", "custom FlexDilation2D"]
    assert foreign_operators(path) == ["custom FlexDilation2D"]
    path.write_bytes(path.read_bytes().replace(b"FlexDilation2D", b"FlexDilation\xff\xfe"))
    assert foreign_operators(path) == ["custom FlexDilation\ufffd\ufffd"]


def test_what_cannot_be_exported_is_said(tmp_path):
    with pytest.raises(ExportError, match=r"'int4'.*float32, float16"):
        export_model(small_model(), tmp_path, "small", ["int4"], parity_rois=ROIS)
    with pytest.raises(ExportError, match=r"\(None, 24, 32, 2\)"):
        two_channels = small_model(input_shape=(24, 32, 2))
        export_model(two_channels, tmp_path, "two", parity_rois=ROIS)
    with pytest.raises(ExportError, match="24x32 pixels in colour"):
        export_model(small_model(input_shape=(24, 32, 3)), tmp_path, "colour", parity_rois=ROIS)
    for rois in (ROIS[:0], ROIS[:, :20]):
        with pytest.raises(ExportError, match="24x32 pixels"):
            export_model(small_model(), tmp_path, "small", parity_rois=rois)
    assert names(tmp_path) == []


def test_mobilenet_with_attention_exports(tmp_path):
    model = build_embedding_model(
        "mobilenet_v3_large",
        (64, 64),
        attention=["expanded_conv_3_squeeze_excite_mul"],
        batchnorm_momentum=0.1,
        seed=1,
    )
    rois = np.random.default_rng(1).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    # Without statistics of some data the features of fifteen blocks fade to nothing.
    for _ in range(3):
        model(rois[..., None].astype(np.float32), training=True)
    [file] = export_model(model, tmp_path, "mobiiris", ["float16"], parity_rois=rois)
    assert file.parity_min_cosine >= 0.9999
    assert foreign_operators(file.path) == []


def test_8_bit_weights_are_within_half_a_step_of_the_float_ones(tmp_path):
    # Wide enough that the quantiser finds it worth its while.
    model = small_model(keras.layers.Conv2D(64, 3, name="wide"))
    rois = np.random.default_rng(1).integers(0, 256, (8, 24, 32), dtype=np.uint8)
    float32, dynamic8 = export_model(
        model, tmp_path, "small", ["float32", "dynamic8"], parity_rois=rois
    )
    assert dynamic8.bytes < 0.6 * float32.bytes
    assert 0.95 <= dynamic8.parity_min_cosine <= 1.0
    expected = model.get_layer("wide").kernel.numpy().transpose(3, 0, 1, 2)
    interpreter = Interpreter(model_path=str(dynamic8.path))
    interpreter.allocate_tensors()
    stored = [
        detail
        for detail in interpreter.get_tensor_details()
        if detail["dtype"] == np.int8 and tuple(detail["shape"]) == expected.shape
    ]
    assert len(stored) == 1
    scales = stored[0]["quantization_parameters"]["scales"]
    assert len(scales) == 64, "one scale a channel"
    weights = interpreter.get_tensor(stored[0]["index"]) * scales[:, None, None, None]
    assert (np.abs(weights - expected) <= 0.51 * scales[:, None, None, None]).all()
    # Input, output and norm stay float32.
    embedding = run(dynamic8.path, rois[0])["embedding"]
    assert embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-4)


def test_every_precision_can_be_exported(tmp_path):
    rois = np.random.default_rng(1).integers(0, 256, (20, 24, 32), dtype=np.uint8)
    files = export_model(
        small_model(),
        tmp_path,
        "small",
        list(PRECISIONS),
        parity_rois=rois[:2],
        quantization=Quantization(rois),
    )
    assert [file.precision for file in files] == list(PRECISIONS)
    assert all(
        file.parity_min_cosine >= PRECISIONS[file.precision].min_cosine and file.path.is_file()
        for file in files
    )


def test_new_precision_is_a_registry_line_and_a_function(tmp_path, monkeypatch):
    monkeypatch.setitem(
        PRECISIONS, "plain", Precision("plain", "as float32", 32, 32, 0.9999, (9, 9), "long-dashed")
    )
    monkeypatch.setattr(conversion, "_CONVERSIONS", dict(conversion._CONVERSIONS))
    conversion.converts("plain")(lambda converter: converter.convert())
    rois = np.random.default_rng(1).integers(0, 256, (2, 24, 32), dtype=np.uint8)
    plain, float32 = export_model(
        small_model(), tmp_path, "small", ["plain", "float32"], parity_rois=rois
    )
    assert plain.path.name == "small_plain.tflite"
    assert plain.bytes == float32.bytes


def test_conversion_of_a_precision_that_is_not_registered():
    with pytest.raises(KeyError, match="int3 is not a precision"):
        conversion.converts("int3")
