import keras
import numpy as np
import pytest

from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.networks.head import embedding_head
from iris_tf.networks.roi_normalization import RoiNormalization
from iris_tf.networks.spatial_attention import SpatialAttention
from iris_tf.support.errors import ModelError


@pytest.fixture(scope="module")
def model():
    """All custom layers, on 16x16 crops."""
    roi = keras.Input((16, 16, 1), name="roi")
    features = keras.layers.Conv2D(8, 3, strides=2)(RoiNormalization()(roi))
    embedding = embedding_head(SpatialAttention(3)(features), 4, "average", 0.9, seed=0)
    return keras.Model(roi, embedding)


def test_a_saved_model_comes_back(model, tmp_path):
    path = tmp_path / "best.keras"
    model.save(path)
    rois = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    loaded = load_embedding_model(path)
    np.testing.assert_array_equal(embed_rois(loaded, rois), embed_rois(model, rois))


def test_crops_are_embedded_in_their_order_whatever_the_batch():
    grey = keras.Input((2, 3, 1))
    pixels = keras.Model(grey, keras.layers.Flatten()(grey))
    rois = np.random.default_rng(0).integers(0, 256, (130, 2, 3), dtype=np.uint8)
    embeddings = embed_rois(pixels, rois)
    assert embeddings.dtype == np.float32
    np.testing.assert_array_equal(embeddings, rois.reshape(130, 6).astype(np.float32))


def test_a_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"none\.keras: there is no such model"):
        load_embedding_model(tmp_path / "none.keras")


@pytest.mark.parametrize("share", (0.0, 0.4, 0.99))
def test_a_truncated_file(model, tmp_path, share):
    path = tmp_path / "cut.keras"
    model.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError, match=r"cut\.keras: this is not a \.keras file, or a damaged"):
        load_embedding_model(path)


def test_a_damaged_file(model, tmp_path):
    path = tmp_path / "damaged.keras"
    model.save(path)
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 1000] = bytes(1000)
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"damaged\.keras: Keras cannot load it"):
        load_embedding_model(path)


def _save(path, shape, *layers):
    inputs = outputs = keras.Input(shape)
    for layer in layers:
        outputs = layer(outputs)
    keras.Model(inputs, outputs).save(path)


def test_models_of_another_kind(tmp_path):
    path = tmp_path / "other.keras"
    flat, dense = keras.layers.Flatten(), keras.layers.Dense(2)
    for shape, layers in (
        ((4,), [dense]),
        ((8, 8, 2), [flat]),
        ((None, None, 1), [keras.layers.GlobalMaxPooling2D()]),
        ((8, 8, 1), [keras.layers.Conv2D(2, 3)]),
    ):
        _save(path, shape, *layers)
        with pytest.raises(ModelError, match=r"other\.keras: its model maps \(None, "):
            load_embedding_model(path)

    grey = keras.Input((8, 8, 1))
    keras.Model([grey, keras.Input((8, 8, 1))], flat(grey)).save(path)
    with pytest.raises(ModelError, match=r"other\.keras: its model maps \["):
        load_embedding_model(path)
