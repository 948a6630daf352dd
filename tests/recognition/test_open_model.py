import shutil

import numpy as np
import pytest

from iris_tf.data.manifest import read_manifest
from iris_tf.imaging.images import read_image, resize_roi
from iris_tf.matching.matcher import Matcher
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.recognition.open_model import (
    ExportedEmbedder,
    KerasEmbedder,
    crop_settings,
    open_model,
)
from iris_tf.support.errors import ModelError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.released_models import released_folder, released_model


@pytest.fixture(scope="module")
def crops(small_dataset):
    rows = read_manifest(small_dataset / "manifest.csv")[:5]
    return [read_image(small_dataset / row.roi).pixels for row in rows]


def test_each_kind_of_model_is_opened(trained_run, exported):
    best = trained_run / "checkpoints" / "best.keras"
    for path, kind, file in (
        (trained_run, KerasEmbedder, best),
        (best, KerasEmbedder, best),
        (str(best), KerasEmbedder, best),
        (exported / "mobile_float16.tflite", ExportedEmbedder, exported / "mobile_float16.tflite"),
    ):
        model = open_model(path)
        assert type(model) is kind
        assert (model.path, model.input_size, model.embedding_size) == (file, (32, 32), 16)


def test_keras_and_tflite_embed_crops_of_any_size_alike(trained_run, exported, crops):
    keras_model = load_embedding_model(trained_run / "checkpoints" / "best.keras")
    expected = [
        np.asarray(keras_model(resize_roi(crop, (32, 32))[None, :, :, None].astype(np.float32)))[0]
        for crop in crops
    ]
    for path in (trained_run, exported / "mobile_float32.tflite"):
        embeddings = open_model(path).embed(iter(crops))  # a generator will do
        assert embeddings.dtype == np.float32
        np.testing.assert_allclose(embeddings, expected, atol=1e-4)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no run"):
        open_model(tmp_path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ModelError, match="not a TFLite file"):
        open_model(tmp_path / "model.h5")


def test_the_released_model_is_known_by_its_content(exported, tmp_path):
    card = ModelCard.read(released_folder("mobiiris") / "model_card.json")
    alone = shutil.copy(released_model("mobiiris"), tmp_path / "alone.tflite")
    beside = tmp_path / "beside"
    beside.mkdir()
    shutil.copy(exported / "model_card.json", beside)  # of another model
    for path in (alone, shutil.copy(alone, beside / "mobile_float16.tflite")):
        assert open_model(path).matcher.layout == card.phase is not None
        wanted = {"roi_mode": "unrolled", "segmenter": "network", "channels": 1}
        assert crop_settings(path) == wanted


def test_a_renamed_file_has_its_card_still(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "models")
    path = tmp_path / "models" / "mobile_float16.tflite"
    renamed = path.rename(path.with_name("mine.tflite"))
    assert crop_settings(renamed) == crop_settings(exported / "mobile_float16.tflite") is not None


def test_a_file_of_which_no_card_knows_is_opened_with_a_warning(exported, tmp_path, caplog):
    path = shutil.copy(exported / "mobile_float16.tflite", tmp_path)
    assert open_model(path).matcher == Matcher()
    assert crop_settings(path) is None
    [message] = caplog.messages
    assert str(path) in message and "no model card describes this file" in message
    assert "\n" not in message
