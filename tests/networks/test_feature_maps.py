import numpy as np
import pytest

from iris_tf.networks.feature_maps import with_feature_maps
from iris_tf.support.errors import ModelError


def test_maps_stand_beside_the_embedding_of_the_same_layers(student):
    both = with_feature_maps(student, ["stride8", "stride32"])
    crops = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 1)).astype(np.float32)
    outputs = both(crops)
    assert list(outputs) == ["embedding", "stride8", "stride32"]
    np.testing.assert_array_equal(outputs["embedding"], student(crops))
    # MobileNetV3-Large has 40 channels at an eighth of the size, 160 at the end.
    assert outputs["stride8"].shape == (2, 8, 8, 40)
    assert outputs["stride32"].shape == (2, 2, 2, 160)
    assert both.get_layer("conv") is student.get_layer("conv")


def test_unknown_map_names_those_there_are(student):
    with pytest.raises(
        ModelError, match="no feature map 'last'; choose from stride4, stride8, stride16, stride32"
    ):
        with_feature_maps(student, ["stride8", "last"])
