import keras
import pytest
from network_checks import build, check_export, check_saving, check_shapes_and_gradients

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.registry import NETWORKS, network_spec
from iris_tf.support.errors import ModelError

NEW = ["mobilenet_v3_small", "efficientnet_v2_b0"]
PAPERS = ["mobilenet_v3_large", "resnet50"]  # saved and exported by other tests


@pytest.fixture(scope="module")
def network(request):
    return build(request.param)


def test_every_network_is_checked():
    assert {*NEW, *PAPERS} == NETWORKS.keys()


@pytest.mark.parametrize("network", [*PAPERS, *NEW], indirect=True)
def test_shapes_and_gradients(network):
    check_shapes_and_gradients(network)


@pytest.mark.parametrize("network", NEW, indirect=True)
def test_saving(network, tmp_path):
    check_saving(network, tmp_path)


@pytest.mark.parametrize("network", NEW, indirect=True)
def test_export(network, tmp_path):
    check_export(network, tmp_path)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # The published sizes less the classifiers: 1024 x 1000 and 1024 x 576 in two layers,
        # 1280 x 1000 in one, each with biases.
        ("mobilenet_v3_small", 2_554_968 - 1024 * 576 - 1024 - 1024 * 1000 - 1000),
        ("efficientnet_v2_b0", 7_200_312 - 1280 * 1000 - 1000),
    ],
)
def test_sizes_are_the_published_ones(name, parameters):
    head = build_embedding_model(name, (32, 32), embedding_size=16)
    channels = head.get_layer("head_pool").output.shape[-1]
    assert head.count_params() == parameters + 16 * channels + 4 * 16


@pytest.mark.parametrize(
    ("name", "application", "ending", "count"),
    [
        ("mobilenet_v3_large", keras.applications.MobileNetV3Large, "squeeze_excite_mul", 8),
        ("mobilenet_v3_small", keras.applications.MobileNetV3Small, "squeeze_excite_mul", 9),
        ("efficientnet_v2_b0", keras.applications.EfficientNetV2B0, "se_excite", 16),
    ],
)
def test_usual_places_of_attention_are_all_squeeze_excite_outputs(name, application, ending, count):
    base = application(input_shape=(32, 32, 3), include_top=False, weights=None)
    outputs = [layer.name for layer in base.layers if layer.name.endswith(ending)]
    assert len(outputs) == count
    assert list(NETWORKS[name].attention) == outputs


def test_unknown_network_names_those_there_are():
    with pytest.raises(ModelError, match="mobilenet_v3_large, resnet50"):
        network_spec("mobilenet")
