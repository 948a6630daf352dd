import numpy as np
import pytest
from layer_checks import check_layer

from iris_tf.networks.roi_normalization import RoiNormalization


def test_replicates_scales_and_normalises(tmp_path):
    rois = np.random.default_rng(0).uniform(0, 255, (2, 4, 6, 1)).astype(np.float32)
    # float32 even under mixed_float16: 0..255 loses its last bits in float16.
    outputs = check_layer(RoiNormalization(), rois, (2, 4, 6, 3), tmp_path, "float32")
    # torchvision's documented ImageNet normalisation, channel by channel.
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (rois[..., 0].astype(float) / 255 - mean) / std
        np.testing.assert_allclose(outputs[..., channel], expected, atol=1e-5)


def test_colour_is_scaled_and_normalised_channel_by_channel():
    rois = np.random.default_rng(0).uniform(0, 255, (2, 4, 6, 3)).astype(np.float32)
    outputs = np.asarray(RoiNormalization()(rois))
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (rois[..., channel].astype(float) / 255 - mean) / std
        np.testing.assert_allclose(outputs[..., channel], expected, atol=1e-5)


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        RoiNormalization()(np.zeros((1, 4, 4, 4), np.float32))
