import keras
import pytest

from iris_tf.networks.registry import NETWORKS, network_spec
from iris_tf.support.errors import ModelError


def test_usual_places_of_attention_are_all_squeeze_excite_outputs():
    base = keras.applications.MobileNetV3Large((32, 32, 3), include_top=False, weights=None)
    outputs = [layer.name for layer in base.layers if layer.name.endswith("squeeze_excite_mul")]
    assert len(outputs) == 8
    assert list(NETWORKS["mobilenet_v3_large"].attention) == outputs


def test_unknown_network_names_those_there_are():
    with pytest.raises(ModelError, match="mobilenet_v3_large, resnet50"):
        network_spec("mobilenet")
