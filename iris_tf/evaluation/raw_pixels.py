"""Raw pixels as embeddings: an untrained baseline."""

import numpy as np

from iris_tf.support.errors import EvaluationError


def raw_pixel_embeddings(rois: np.ndarray) -> np.ndarray:
    """Use the pixels of crops as embeddings.

    The mean grey level of each whole crop, including masked black pixels, is subtracted and the
    vector is normalised, so the cosine of two is the correlation of their pixels. The outline of
    the mask therefore counts too.

    Parameters
    ----------
    rois : ndarray of shape (n, height, width), uint8
        Crops, resized to one size.

    Returns
    -------
    ndarray of shape (n, height * width), float32
        Unit vectors.

    Raises
    ------
    EvaluationError
        If a crop has a single grey level, and so no direction.
    """
    vectors = np.empty((len(rois), rois[0].size), np.float32)
    for number, (vector, roi) in enumerate(zip(vectors, rois, strict=True)):
        pixels = roi.ravel().astype(np.float64)
        pixels -= pixels.mean()
        length = np.linalg.norm(pixels)
        if length == 0:
            raise EvaluationError(
                f"crop {number} (counted from 0) has a single grey level, so its pixels cannot be "
                "compared; prepare the dataset again."
            )
        vector[:] = pixels / length
    return vectors
