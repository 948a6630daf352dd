import numpy as np
import pytest

from iris_tf.evaluation.raw_pixels import raw_pixel_embeddings
from iris_tf.support.errors import EvaluationError


def test_raw_pixels_are_compared_by_correlation():
    rois = np.random.default_rng(0).integers(0, 256, (4, 9, 11), dtype=np.uint8)
    embeddings = raw_pixel_embeddings(rois)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(
        embeddings @ embeddings.T, np.corrcoef(rois.reshape(4, -1)), atol=1e-6
    )


def test_a_crop_without_contrast_has_no_direction():
    rois = np.full((3, 5, 5), 90, np.uint8)
    rois[:2, 0] = 10
    with pytest.raises(EvaluationError, match=r"crop 2 .* single grey level"):
        raw_pixel_embeddings(rois)
