import keras
import numpy as np
import pytest

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.registry import NETWORKS
from iris_tf.support.errors import ModelError

NETWORK = "mobilenet_v3_large"


def rois(height, width, n=2):
    return np.random.default_rng(0).uniform(0, 255, (n, height, width, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("size", "pooling"), [((32, 32), "depthwise"), ((48, 256), "depthwise"), ((96, 90), "average")]
)
def test_any_size_gives_unit_vectors(size, pooling):
    model = build_embedding_model(NETWORK, size, embedding_size=24, pooling=pooling)
    assert model.input.name == "roi"
    assert (model.input_shape, model.output_shape) == ((None, *size, 1), (None, 24))
    embeddings = model(rois(*size))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)


def test_sizes_are_the_papers(student, teacher):
    # ResNet-50: 23,587,712 of keras.applications without top, 2048 x 128, 4 x 128.
    assert teacher.count_params() == 23_587_712 + 262_144 + 512
    assert teacher.count_params() * 4 / 2**20 == pytest.approx(90.98, abs=0.005)
    # MobileNetV3-Large: a float32 file has 11.75 MiB, 0.14 less, for three of the four
    # numbers that normalise each of 12,200 backbone channels are folded away.
    assert student.count_params() == 2_996_352 + 122_880 + 512
    folded = 3 * 12_200
    assert (student.count_params() - folded) * 4 / 2**20 == pytest.approx(11.76, abs=0.01)


def test_graph_is_flat_and_named_alike_in_every_build(student):
    again = build_embedding_model(NETWORK, (64, 64), seed=1)
    assert [layer.name for layer in again.layers] == [layer.name for layer in student.layers]
    assert [v.path for v in again.variables] == [v.path for v in student.variables]
    assert not any(isinstance(layer, keras.Model) for layer in again.layers)
    assert again.get_config() == student.get_config()


def test_seed_alone_determines_weights(student, attentive):
    keras.utils.set_random_seed(99)
    again = build_embedding_model(NETWORK, (64, 64), seed=1)
    other = build_embedding_model(NETWORK, (64, 64), seed=2)
    for layer in student.layers:
        for mine, same, attended in zip(
            layer.get_weights(),
            again.get_layer(layer.name).get_weights(),
            attentive.get_layer(layer.name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, same)
            np.testing.assert_array_equal(mine, attended)
    kernels = [model.get_layer("conv").get_weights()[0] for model in (student, other)]
    assert not np.allclose(*kernels)
    x = rois(64, 64)
    np.testing.assert_array_equal(student(x), again(x))


def test_attention_stands_between_squeeze_excite_and_projection(attentive):
    for place in NETWORKS[NETWORK].attention:
        attention = attentive.get_layer(f"spatial_attention_{place}")
        assert attention.kernel_size == 7
        assert attention.input is attentive.get_layer(place).output
        project = attentive.get_layer(place.replace("squeeze_excite_mul", "project"))
        assert project.input is attention.output


def test_attention_anywhere_with_any_kernel():
    places = ["activation", "expanded_conv_14_add"]
    model = build_embedding_model(NETWORK, (32, 32), attention=places, attention_kernel=3)
    layers = [layer for layer in model.layers if layer.name.startswith("spatial_attention_")]
    assert [layer.input.name for layer in layers] == [
        model.get_layer(p).output.name for p in places
    ]
    assert [layer.get_weights()[0].shape for layer in layers] == [(3, 3, 2, 1)] * 2


def test_every_batch_normalisation_gets_the_momentum():
    model = build_embedding_model(NETWORK, (32, 32), batchnorm_momentum=0.8)
    layers = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    assert len(layers) == 47  # 1 + 2 + 14 x 3 + 1 of the backbone, 1 of the head
    assert {layer.momentum for layer in layers} == {0.8}


def test_save_and_load(attentive, tmp_path):
    attentive.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert loaded.name == NETWORK
    x = rois(64, 64)
    np.testing.assert_allclose(loaded(x), attentive(x), atol=1e-6)


def test_mixed_float16_embeds_in_float32(student, mixed_float16):
    model = build_embedding_model(NETWORK, (64, 64), seed=1)
    assert model.get_layer("expanded_conv_14_project").compute_dtype == "float16"
    # As in training: with moving statistics that never moved, an untrained
    # network's features shrink to under what float16 can hold.
    x = rois(64, 64, n=16)
    embeddings = np.asarray(model(x, training=True))
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    expected = keras.models.clone_model(student)(x, training=True)
    assert (np.sum(embeddings * expected, axis=1) > 0.99).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "mobilenet"}, "mobilenet_v3_large, resnet50"),
        ({"input_size": (31, 64)}, "31x64; mobilenet_v3_large needs at least 32"),
        ({"embedding_size": 0}, "embedding_size"),
        ({"attention": ["expanded_conv_3_squeeze_excite"]}, "expanded_conv_3_squeeze_excite_mul"),
        ({"attention": ["roi"]}, "no layer 'roi'"),
        ({"attention_kernel": 4}, "odd"),
        ({"pooling": "max"}, "average, depthwise, placed"),
        ({"weights": "imagnet"}, "`none`, `imagenet`, `pretrained`, or the path"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ModelError, match=message):
        build_embedding_model(**{"name": NETWORK, "input_size": (32, 32), **settings})
