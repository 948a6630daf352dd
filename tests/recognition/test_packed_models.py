"""``.irq`` files run wherever ``.tflite`` files do."""

import keras
import numpy as np
import pytest

from iris_tf import IrisRecognizer
from iris_tf.quantization.packed_model import pack_model
from iris_tf.quantization.wrapping import fix_precision
from iris_tf.recognition.open_model import KerasEmbedder, crop_settings, open_model
from iris_tf.support.errors import ModelError
from iris_tf.support.files import sha256
from iris_tf.tflite.model_card import ModelCard, ModelFile

ROIS = np.random.default_rng(0).integers(0, 256, (4, 32, 48), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    roi = keras.Input((32, 48, 1), name="roi")
    x = keras.layers.Rescaling(1 / 255)(roi)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="hard_silu", name="conv")(x)
    x = keras.layers.Dense(6, name="dense")(keras.layers.GlobalAveragePooling2D()(x))
    embedding = keras.layers.UnitNormalization(name="norm")(x)
    return fix_precision(keras.Model(roi, embedding, name="small"), 4, ROIS)


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "small_fixed4.irq"
    pack_model(model, path)
    ModelCard(
        name="small",
        network="small",
        roi_mode="aligned",
        segmenter="opencv",
        input_size=(32, 48),
        embedding_size=6,
        thresholds={"eer": 0.25, "far_1e-2": 0.5, "far_1e-3": 0.75},
        thresholds_from={"dataset": "none", "split": "val"},
        files={path.name: ModelFile("fixed4", sha256(path), path.stat().st_size)},
        training_data="None.",
    ).write(tmp_path / "model_card.json")
    return path


def test_embeddings_are_those_of_the_model(model, path):
    expected = np.asarray(model(ROIS[..., None].astype(np.float32)))
    opened = open_model(path)
    assert isinstance(opened, KerasEmbedder)
    assert (opened.input_size, opened.channels, opened.embedding_size) == ((32, 48), 1, 6)
    np.testing.assert_allclose(opened.embed(ROIS), expected, atol=1e-6)
    np.testing.assert_allclose(IrisRecognizer(path).embed(list(ROIS), "roi"), expected, atol=1e-6)
    assert crop_settings(path) == {"roi_mode": "aligned", "segmenter": "opencv", "channels": 1}


def test_a_damaged_file_is_one_sentence(path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="truncated or changed"):
        open_model(path)
    with pytest.raises(ModelError, match="SHA-256 is not the one"):
        IrisRecognizer(path)
