import logging
import zipfile

import keras
import numpy as np
import pytest

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.weights import load_matching_weights
from iris_tf.support.errors import ModelError

NETWORK = "mobilenet_v3_large"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network whose weights no seed gives, and its two files."""
    folder = tmp_path_factory.mktemp("trained")
    model = build_embedding_model(NETWORK, (32, 32), embedding_size=16)
    for value, weight in enumerate(model.weights):
        weight.assign(np.full(weight.shape, 1 + value / 1000))
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    return model, folder


def assert_same(model, other, names):
    for name in names:
        for a, b in zip(
            model.get_layer(name).get_weights(), other.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def weighted(model):
    return [layer.name for layer in model.layers if layer.weights]


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_everything_is_taken_where_everything_fits(trained, file):
    source, folder = trained
    model = build_embedding_model(NETWORK, (64, 64), 16, weights=str(folder / file), seed=5)
    assert_same(model, source, weighted(source))


def test_attention_added_and_head_resized_start_fresh(trained, caplog):
    source, folder = trained
    places = ["expanded_conv_3_squeeze_excite_mul"]
    settings = dict(input_size=(32, 32), embedding_size=24, attention=places, seed=5)
    model = build_embedding_model(NETWORK, **settings)
    fresh = build_embedding_model(NETWORK, **settings)
    with caplog.at_level(logging.WARNING):
        kept = load_matching_weights(model, folder / "model.keras")
    assert kept == [f"spatial_attention_{places[0]}", "head_dense", "head_batchnorm"]
    assert all(name in caplog.text for name in kept)
    assert_same(model, fresh, kept)
    assert_same(model, source, set(weighted(model)) - set(kept))


def test_weights_for_crops_normalised_otherwise_are_refused(tmp_path):
    settings = dict(name=NETWORK, input_size=(32, 256), embedding_size=8)
    strips = build_embedding_model(**settings, normalization="local_contrast", reduction=(1, 1))
    strips.save(tmp_path / "strips.keras")
    grey = build_embedding_model(**settings)
    before = grey.get_weights()
    with pytest.raises(ModelError, match=r"by StripNormalization\(.* RoiNormalization\("):
        load_matching_weights(grey, tmp_path / "strips.keras")
    for one, other in zip(before, grey.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    coarser = build_embedding_model(**settings, normalization="local_contrast", reduction=(1, 2))
    with pytest.raises(ModelError, match=r"columns=1,.*columns=2,"):
        load_matching_weights(coarser, tmp_path / "strips.keras")
    load_matching_weights(strips, tmp_path / "strips.keras")


def test_model_within_a_model(trained, tmp_path):
    source, _ = trained

    class Trainer(keras.Model):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def call(self, rois):
            return self.network(rois)

    trainer = Trainer(source)
    trainer(np.zeros((1, 32, 32, 1), np.float32))
    trainer.save_weights(tmp_path / "trainer.weights.h5")
    model = build_embedding_model(NETWORK, (32, 32), embedding_size=16)
    assert load_matching_weights(model, tmp_path / "trainer.weights.h5") == []
    assert_same(model, source, weighted(source))


def test_another_network_is_refused_and_nothing_changed(trained, teacher):
    _, folder = trained
    before = teacher.get_layer("head_batchnorm").get_weights()
    with pytest.raises(
        ModelError, match=r"not of the network resnet50: conv1_conv is missing; .* more"
    ):
        load_matching_weights(teacher, folder / "model.keras")
    for a, b in zip(teacher.get_layer("head_batchnorm").get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["junk.keras", "junk.weights.h5"])
def test_junk_and_missing_files(tmp_path, student, name):
    with pytest.raises(ModelError, match="no weights file"):
        load_matching_weights(student, tmp_path / name)
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(ModelError, match="not a readable Keras weights file"):
        load_matching_weights(student, tmp_path / name)


def test_an_archive_without_a_configuration(student, tmp_path):
    student.save(tmp_path / "whole.keras")
    with (
        zipfile.ZipFile(tmp_path / "whole.keras") as whole,
        zipfile.ZipFile(tmp_path / "part.keras", "w") as part,
    ):
        part.writestr("model.weights.h5", whole.read("model.weights.h5"))
    with pytest.raises(ModelError, match="not a readable Keras weights file"):
        load_matching_weights(student, tmp_path / "part.keras")


def test_damaged_structures_of_hdf5(trained, student, tmp_path):
    content = (trained[1] / "model.weights.h5").read_bytes()
    assert b"SNOD" in content
    (tmp_path / "damaged.weights.h5").write_bytes(content.replace(b"SNOD", b"SNOW"))
    with pytest.raises(ModelError, match="not a readable Keras weights file"):
        load_matching_weights(student, tmp_path / "damaged.weights.h5")
