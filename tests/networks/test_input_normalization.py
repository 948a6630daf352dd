import pytest

from iris_tf.config.names import NORMALIZATIONS, POOLINGS
from iris_tf.networks.head import POOLING_LAYERS
from iris_tf.networks.input_normalization import NORMALIZATION_LAYER, input_normalization
from iris_tf.networks.roi_normalization import RoiNormalization
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.support.errors import ModelError


def test_every_name_of_a_recipe_has_its_layer():
    layers = [input_normalization(name, (64, 512), (1, 2)) for name in NORMALIZATIONS]
    assert [type(layer) for layer in layers] == [RoiNormalization, StripNormalization]
    assert {layer.name for layer in layers} == {NORMALIZATION_LAYER}
    assert tuple(POOLING_LAYERS) == POOLINGS


@pytest.mark.parametrize(
    ("name", "size", "reduction", "message"),
    [
        ("histogram", (64, 512), (1, 2), "imagenet, local_contrast"),
        ("local_contrast", (64, 512), (3, 2), "3x2, which does not divide .* 64x512"),
        # 16 + 49 - 1 columns after the reduction.
        ("local_contrast", (64, 126), (1, 2), "at least 128 columns"),
    ],
)
def test_what_cannot_be_normalised(name, size, reduction, message):
    with pytest.raises(ModelError, match=message):
        input_normalization(name, size, reduction)
