import numpy as np
import pytest

from iris_tf.datasets.images import read_image, resize_roi
from iris_tf.datasets.manifest import read_manifest
from iris_tf.errors import ModelError
from iris_tf.inference.embedder import TFLiteEmbedder
from iris_tf.inference.models import KerasEmbedder, open_model
from iris_tf.networks.embed import load_embedding_model


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
        (exported / "mobile_float16.tflite", TFLiteEmbedder, exported / "mobile_float16.tflite"),
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
