import keras
import numpy as np
import pytest
from network_checks import (
    build,
    check_export,
    check_integers,
    check_saving,
    check_shapes_and_gradients,
)

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.registry import NETWORKS, network_spec
from iris_tf.support.errors import ModelError

NEW = [
    "mobilenet_v3_small", "efficientnet_v2_b0", "mobilefacenet", "resnet18", "inception_resnet_v1",
]  # fmt: skip
RELEASED = "mobilenet_v3_large"  # saved and exported by other tests
PAPERS = [RELEASED, "resnet50"]


@pytest.fixture(scope="module")
def network(request):
    return build(request.param)


def test_every_network_is_checked():
    assert {*NEW, *PAPERS} == NETWORKS.keys()


@pytest.mark.parametrize("network", [*PAPERS, *NEW], indirect=True)
def test_shapes_and_gradients(network):
    check_shapes_and_gradients(network)


@pytest.mark.parametrize("network", ["resnet50", *NEW], indirect=True)
def test_saving(network, tmp_path):
    check_saving(network, tmp_path)


@pytest.mark.parametrize("network", ["resnet50", *NEW], indirect=True)
def test_export(network, tmp_path):
    check_export(network, tmp_path)
    # Sums of many channels, and PReLU; h-swish is MobileNetV3's, whose integers other tests check.
    if network.name in ("resnet50", "mobilefacenet"):
        check_integers(network, tmp_path)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # The published sizes less the classifiers: 1024 x 1000 and 1024 x 576 in two layers,
        # 1280 x 1000 in one, each with biases.
        ("mobilenet_v3_small", 2_554_968 - 1024 * 576 - 1024 - 1024 * 1000 - 1000),
        ("efficientnet_v2_b0", 7_200_312 - 1280 * 1000 - 1000),
        # torchvision counts trainable parameters only: each of the 4800 normalised channels has
        # two statistics more.
        ("resnet18", 11_689_512 - 512 * 1000 - 1000 + 2 * 4800),
        # nyoki-mtl/keras-facenet of 128 dimensions, less Bottleneck and its normalisation (which
        # has three values per channel there), and plus the 14288 scales that it lacks.
        ("inception_resnet_v1", 22_808_144 - 128 * 1792 - 3 * 128 + 14_288),
    ],
)
def test_sizes_are_the_published_ones(name, parameters):
    side = NETWORKS[name].minimum_side
    head = build_embedding_model(name, (side, side), embedding_size=16)
    channels = head.get_layer("head_pool").output.shape[-1]
    assert head.count_params() == parameters + 16 * channels + 4 * 16


def test_mobilefacenet_has_the_papers_0_99_million():
    model = build_embedding_model("mobilefacenet", (112, 112), 128, pooling="gdconv")
    # Row by row of Table 1: kernels, and per normalised channel a scale and a shift.
    rows = [(3 * 9, 64), (9, 64)]
    for repeats, inside, expanded, outside in (
        (1, 64, 128, 64), (4, 64, 128, 64), (1, 64, 256, 128), (6, 128, 256, 128),
        (1, 128, 512, 128), (2, 128, 256, 128),
    ):  # fmt: skip
        rows += repeats * [(inside, expanded), (9, expanded), (expanded, outside)]
    rows += [(128, 512), (49, 512), (512, 128)]
    kernels = sum(inputs * outputs for inputs, outputs in rows)
    channels = sum(outputs for _, outputs in rows)
    # All but the projections, the global convolution and the embedding have PReLU.
    slopes = channels - 5 * 64 - 10 * 128 - 512 - 128
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trainable == kernels + 2 * channels + slopes == 1_003_136
    # Folded into its convolution, a normalisation leaves a bias per channel.
    assert 985_000 <= kernels + channels + slopes < 995_000


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
