import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from iris_tf.imaging.images import resize_roi
from iris_tf.support.errors import ModelError
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

HEIGHT, WIDTH, SIZE = 12, 20, 6


def unit(x):
    return x / tf.norm(x, axis=-1, keepdims=True)


def convert(function, shape, dtype=tf.float32, input_name="roi", custom_ops=False, constants=()):
    """TFLite bytes of `function`, which maps a tensor to a dict of outputs."""
    signature = [tf.TensorSpec(shape, dtype, name=input_name)]
    module = tf.Module()
    module.constants = constants  # what `function` reads and the file must hold
    module.call = tf.function(function, input_signature=signature, autograph=False)
    concrete = module.call.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.allow_custom_ops = custom_ops
    return converter.convert()


def flat(roi):
    return tf.reshape(tf.cast(roi, tf.float32), (1, -1))[:, :SIZE]


@pytest.fixture(scope="module")
def keras_model():
    keras.utils.set_random_seed(5)
    roi = keras.Input((HEIGHT, WIDTH, 1), name="roi")
    x = keras.layers.Rescaling(1 / 255)(roi)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="tanh")(x)
    x = keras.layers.Dense(SIZE)(keras.layers.Flatten()(x))
    return keras.Model(roi, keras.layers.UnitNormalization()(x))


@pytest.fixture(scope="module")
def model_file(keras_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny.tflite"
    path.write_bytes(
        convert(
            lambda roi: {"embedding": keras_model(roi)},
            (1, HEIGHT, WIDTH, 1),
            constants=[v.value for v in keras_model.variables],
        )
    )
    return path


@pytest.fixture
def crops():
    rng = np.random.default_rng(1)
    shapes = [(HEIGHT, WIDTH), (40, 61), (7, 9)]
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]


@pytest.mark.parametrize("threads", [1, 2])
def test_embeddings_are_those_of_keras(model_file, keras_model, crops, threads):
    embedder = TFLiteEmbedder(model_file, threads=threads)
    found = embedder.embed(iter(crops))
    resized = np.stack([resize_roi(crop, (HEIGHT, WIDTH)) for crop in crops])
    expected = keras_model(resized[..., None].astype(np.float32)).numpy()
    assert embedder.input_size == (HEIGHT, WIDTH)
    assert embedder.embedding_size == SIZE
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_crops_give_no_embeddings(model_file):
    assert TFLiteEmbedder(model_file).embed([]).shape == (0, SIZE)


def test_results_do_not_change_with_later_calls(model_file, crops):
    embedder = TFLiteEmbedder(model_file)
    first = embedder.embed(crops[:1])
    kept = first.copy()
    embedder.embed(crops[1:])
    np.testing.assert_array_equal(first, kept)


def test_litert_says_nothing(model_file, crops, capfd):
    TFLiteEmbedder(model_file).embed(crops)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_tensorflow_is_not_imported():
    code = (
        "import sys, iris_tf.tflite.tflite_embedder, iris_tf.tflite.model_card, "
        "iris_tf.metrics.evaluate_embeddings, iris_tf.report.report_page; "
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.tflite: there is no such model file"):
        TFLiteEmbedder(tmp_path / "nowhere.tflite")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        TFLiteEmbedder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"TFL", b"PK\x03\x04 a zip file, say"])
def test_not_tflite(tmp_path, content):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a TFLite file"):
        TFLiteEmbedder(path)


def test_truncated_file(tmp_path, model_file):
    path = tmp_path / "half.tflite"
    path.write_bytes(model_file.read_bytes()[:700])
    with pytest.raises(ModelError, match="LiteRT cannot load it"):
        TFLiteEmbedder(path)


def test_a_tensor_s_name_that_is_no_text(tmp_path, model_file):
    path, content = tmp_path / "named.tflite", model_file.read_bytes()
    assert content.count(b"StatefulPartitionedCall") > 0
    path.write_bytes(content.replace(b"StatefulPartitionedCall", b"Stateful\xff\xfertitionedCall"))
    with pytest.raises(ModelError, match=r"LiteRT cannot load it .*decode byte 0xff"):
        TFLiteEmbedder(path)


def test_threads_must_be_positive(model_file):
    with pytest.raises(ModelError, match="threads is 0"):
        TFLiteEmbedder(model_file, threads=0)


BAD_INTERFACES = {
    "input name": (
        dict(function=lambda x: {"embedding": unit(flat(x))}, shape=(1, 4, 4, 1), input_name="x"),
        r"serving_default\(x\) -> embedding",
    ),
    "output name": (
        dict(function=lambda roi: {"logits": unit(flat(roi))}, shape=(1, 4, 4, 1)),
        r"serving_default\(roi\) -> logits",
    ),
    "two outputs": (
        dict(
            function=lambda roi: {"embedding": unit(flat(roi)), "score": flat(roi)},
            shape=(1, 4, 4, 1),
        ),
        "score",
    ),
    "two channels": (
        dict(function=lambda roi: {"embedding": unit(flat(roi))}, shape=(1, 4, 4, 2)),
        r"float32 \(1, 4, 4, 2\)",
    ),
    "batch of two": (
        dict(function=lambda roi: {"embedding": unit(flat(roi[:1]))}, shape=(2, 4, 4, 1)),
        r"float32 \(2, 4, 4, 1\)",
    ),
    "vector input": (
        dict(function=lambda roi: {"embedding": unit(flat(roi))}, shape=(1, 16)),
        r"float32 \(1, 16\)",
    ),
    "integer input": (
        dict(
            function=lambda roi: {"embedding": unit(flat(roi))}, shape=(1, 4, 4, 1), dtype=tf.int32
        ),
        r"int32 \(1, 4, 4, 1\)",
    ),
    "map as output": (
        dict(function=lambda roi: {"embedding": roi * 2.0}, shape=(1, 4, 4, 1)),
        r"its output is float32 \(1, 4, 4, 1\)",
    ),
    "operation that is not built in": (
        dict(
            function=lambda roi: {"embedding": unit(tf.math.igamma(flat(roi), 1.0))},
            shape=(1, 4, 4, 1),
            custom_ops=True,
        ),
        "LiteRT cannot load it",
    ),
}


@pytest.mark.parametrize(("model", "message"), BAD_INTERFACES.values(), ids=BAD_INTERFACES)
def test_other_interface_is_refused(tmp_path, model, message):
    path = tmp_path / "other.tflite"
    path.write_bytes(convert(**model))
    with pytest.raises(ModelError, match=message):
        TFLiteEmbedder(path)


@pytest.mark.parametrize(
    ("function", "length"),
    [
        (lambda roi: {"embedding": flat(roi) * 0.0 / (flat(roi) * 0.0)}, "nan"),
        (lambda roi: {"embedding": flat(roi) * 0.0}, "length 0 "),
        (lambda roi: {"embedding": unit(flat(roi)) * 2.0}, "length 2 "),
    ],
    ids=["NaN", "zero", "not unit"],
)
def test_broken_output_is_refused_with_the_crop_s_number(tmp_path, function, length):
    path = tmp_path / "broken.tflite"
    path.write_bytes(convert(function, (1, 4, 4, 1)))
    with pytest.raises(ModelError, match=f"crop 0 .*{length}"):
        TFLiteEmbedder(path).embed([np.full((4, 4), 100, np.uint8)])


def test_number_of_the_crop_that_broke(tmp_path):
    path = tmp_path / "black.tflite"
    path.write_bytes(convert(lambda roi: {"embedding": unit(flat(roi))}, (1, 4, 4, 1)))
    white, black = np.full((4, 4), 255, np.uint8), np.zeros((4, 4), np.uint8)
    with pytest.raises(ModelError, match="crop 1 "):
        TFLiteEmbedder(path).embed([white, black])
