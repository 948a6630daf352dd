import dataclasses

import keras
import numpy as np
import pytest

from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.pretrained import fold_input_normalization
from iris_tf.networks.registry import NETWORKS
from iris_tf.networks.roi_normalization import RoiNormalization
from iris_tf.support.errors import ModelError

SIDE = 32
GREY = np.random.default_rng(0).uniform(0, 255, (2, SIDE, SIDE, 1)).astype(np.float32)


def stem(use_bias):
    """Convolution and normalisation with moving statistics of a trained network."""
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=use_bias)(image)
    model = keras.Model(image, keras.layers.BatchNormalization()(x))
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("network", "preprocess"),
    [
        ("mobilenet_v3_large", lambda rgb: rgb / 127.5 - 1),  # its include_preprocessing=True
        ("resnet50", keras.applications.resnet50.preprocess_input),
    ],
)
def test_folding_keeps_what_the_first_layers_see(network, preprocess, use_bias):
    model = stem(use_bias)
    expected = model(preprocess(np.repeat(GREY, 3, axis=-1)))
    fold_input_normalization(model, NETWORKS[network].pretrained_input)
    found = model(RoiNormalization()(GREY))
    # The padded last row and column may differ.
    np.testing.assert_allclose(
        found[:, :-1, :-1], np.asarray(expected)[:, :-1, :-1], rtol=1e-4, atol=1e-3
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file as keras.applications publishes them, and its network."""
    base = keras.applications.MobileNetV3Large(
        (SIDE, SIDE, 3), include_top=False, weights=None, include_preprocessing=True
    )
    path = tmp_path_factory.mktemp("published") / "no_top.h5"
    base.save(path)
    return path, base


def test_published_weights_are_kept_under_attention(published):
    path, base = published
    places = NETWORKS["mobilenet_v3_large"].attention
    model = build_embedding_model(
        "mobilenet_v3_large", (64, 32), weights=str(path), attention=places
    )
    folded = {"conv", "conv_bn"}
    for layer in base.layers:
        if layer.weights and layer.name not in folded:
            for mine, theirs in zip(
                model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
            ):
                np.testing.assert_array_equal(mine, theirs)
    assert not np.allclose(model.get_layer("conv").get_weights()[0], base.layers[2].get_weights())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_published_file_is_converted(published, tmp_path, run_cli, channels):
    path, base = published
    out = tmp_path / "net.keras"
    status, _, error = run_cli(
        "convert", "mobilenet_v3_large", path, out, "--input-size", SIDE, SIDE,
        "--embedding-size", 16, "--channels", channels,
    )  # fmt: skip
    assert status == 0, error
    model = load_embedding_model(out)
    assert model.input_shape == (None, SIDE, SIDE, channels)
    name = "expanded_conv_14_project"
    for mine, theirs in zip(
        model.get_layer(name).get_weights(), base.get_layer(name).get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_published_weights_of_another_network(published):
    path, _ = published
    with pytest.raises(ModelError, match=r"no_top\.h5 does not fit"):
        build_embedding_model("resnet50", (SIDE, SIDE), weights=str(path))


def test_published_weights_in_keras_3_s_file_are_not_taken_for_ours(published, tmp_path):
    """They would be loaded without folding the normalisation of their input."""
    _, base = published
    path = tmp_path / "no_top.weights.h5"
    base.save_weights(path)
    with pytest.raises(ModelError, match=r"no_top\.weights\.h5: has no weights of a head"):
        build_embedding_model("mobilenet_v3_large", (SIDE, SIDE), weights=str(path))


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"no weights file .*missing\.h5"):
        build_embedding_model("mobilenet_v3_large", (32, 32), weights=str(tmp_path / "missing.h5"))


def test_imagenet_offline_names_the_alternatives(monkeypatch):
    def offline(input_tensor, weights):
        assert weights == "imagenet"
        raise Exception("URL fetch failure: None -- [Errno -2] Name or service not known")

    spec = dataclasses.replace(NETWORKS["mobilenet_v3_large"], build=offline)
    monkeypatch.setitem(NETWORKS, "mobilenet_v3_large", spec)
    with pytest.raises(ModelError, match="`none` or to the path"):
        build_embedding_model("mobilenet_v3_large", (32, 32), weights="imagenet")


def test_network_without_published_weights(monkeypatch, published):
    path, _ = published
    spec = dataclasses.replace(NETWORKS["mobilenet_v3_large"], pretrained_input=None)
    monkeypatch.setitem(NETWORKS, "mobilenet_v3_large", spec)
    for weights in ("imagenet", str(path)):
        with pytest.raises(ModelError, match="mobilenet_v3_large has no published weights"):
            build_embedding_model("mobilenet_v3_large", (32, 32), weights=weights)
