"""One comparison of two pictures, decided as the model card says."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.datasets.images import read_eye, read_image
from iris_tf.errors import ExtractionError, FailureReason
from iris_tf.inference.embedder import TFLiteEmbedder
from iris_tf.inference.model_card import ModelCard
from iris_tf.segmentation.roi import crop_roi
from iris_tf.segmentation.segmenter import segmenter_by_name

# A masked crop is black outside the iris, in the pupil, and so in its corners;
# a photograph of an eye has little that is exactly 0.
_LEAST_BLACK_SHARE_OF_CROP = 0.15
# No camera's picture is so wide, and an unrolled strip always is.
_LEAST_ASPECT_OF_STRIP = 4.0
_LEAST_SIDE_OF_CROP = 16  # pixels


@dataclass(frozen=True)
class Verification:
    """Outcome of one comparison.

    Attributes
    ----------
    similarity : float
        Cosine of the two embeddings, -1..1.
    threshold : float
        Least similarity that counts as the same eye.
    operating_point : str
        Key of the card's thresholds.
    same_eye : bool
        The decision.
    """

    similarity: float
    threshold: float
    operating_point: str
    same_eye: bool


def looks_like_roi(image: np.ndarray) -> bool:
    """Whether a picture is a masked crop of this project rather than a photograph of an eye.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    """
    height, width = image.shape
    if width >= _LEAST_ASPECT_OF_STRIP * height:
        return True
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool((corners == 0).all() and np.mean(image == 0) >= _LEAST_BLACK_SHARE_OF_CROP)


def read_roi(path: str | Path, card: ModelCard, kind: str = "auto") -> np.ndarray:
    """Read a picture as the crop that a model wants.

    Parameters
    ----------
    path : str or Path
        An eye image, or a crop made by `iris-tf prepare`.
    card : ModelCard
        Says how to segment and crop an eye image.
    kind : {"auto", "eye", "roi"}
        What the picture is; ``"auto"`` tells by `looks_like_roi`.

    Returns
    -------
    ndarray of shape (height, width), uint8

    Raises
    ------
    ExtractionError
        When the picture cannot be read or no iris is found in it; names the file.
    """
    try:
        pixels = read_image(path).pixels
        if min(pixels.shape) < _LEAST_SIDE_OF_CROP:
            raise ExtractionError(
                FailureReason.TOO_SMALL,
                f"The picture has {pixels.shape[1]}x{pixels.shape[0]} pixels, too few for a crop.",
            )
        if kind == "roi" or (kind == "auto" and looks_like_roi(pixels)):
            return pixels
        pixels = read_eye(path).pixels
        return crop_roi(pixels, segmenter_by_name(card.segmenter)(pixels), card.roi_mode)
    except ExtractionError as error:
        raise ExtractionError(error.reason, f"{path}: {error}") from None


def verify(
    model: str | Path,
    first: str | Path,
    second: str | Path,
    operating_point: str = "far_1e-2",
    kind: str = "auto",
) -> Verification:
    """Compare two pictures with a ``.tflite`` model.

    Parameters
    ----------
    model : str or Path
        Model file with its card beside it.
    first, second : str or Path
        Eye images or crops, see `read_roi`.
    operating_point : str
        Key of the card's thresholds.
    kind : {"auto", "eye", "roi"}
        See `read_roi`.

    Raises
    ------
    ModelError, ExtractionError
        When model, card or a picture cannot be used.
    """
    embedder = TFLiteEmbedder(model)
    card = ModelCard.beside(model)
    a, b = embedder.embed(read_roi(path, card, kind) for path in (first, second))
    similarity = float(np.clip(np.dot(a, b), -1.0, 1.0))
    return Verification(
        similarity,
        card.thresholds[operating_point],
        operating_point,
        card.decision(similarity, operating_point),
    )
