"""Plausibility checks and confidence, shared by all segmenters."""

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.errors import ExtractionError, FailureReason

_RATIO = (0.12, 0.77)  # pupil radius over iris radius
_MAX_DECENTRING = 0.3  # distance between the centres, in iris radii
_MIN_ASPECT = 0.65
_MIN_VISIBLE = 0.2  # share of the ring between the ellipses
_MIN_CONFIDENCE = 0.75


def check_geometry(pupil: Ellipse, iris: Ellipse, shape: tuple[int, int]) -> None:
    """Reject anatomically implausible outlines.

    Parameters
    ----------
    pupil, iris : Ellipse
    shape : tuple of int
        Height and width of the image.

    Raises
    ------
    ExtractionError
    """
    ratio = pupil.radius / iris.radius
    decentring = np.hypot(pupil.x - iris.x, pupil.y - iris.y) / iris.radius
    aspects = [min(e.a, e.b) / max(e.a, e.b) for e in (pupil, iris)]
    if not _RATIO[0] <= ratio <= _RATIO[1]:
        problem = f"the pupil has {ratio:.2f} of the iris's radius"
    elif decentring > _MAX_DECENTRING:
        problem = f"the pupil lies {decentring:.2f} iris radii off the iris's centre"
    elif min(aspects) < _MIN_ASPECT:
        problem = f"an outline is {min(aspects):.2f} times as wide as long"
    elif not (0 <= iris.x < shape[1] and 0 <= iris.y < shape[0]):
        problem = "the iris's centre lies outside the image"
    else:
        return
    raise ExtractionError(FailureReason.IMPLAUSIBLE_GEOMETRY, f"No eye looks like this: {problem}.")


def check_visible(pupil: Ellipse, iris: Ellipse, visible: np.ndarray) -> None:
    """Reject an eye with too little visible iris.

    Parameters
    ----------
    pupil, iris : Ellipse
    visible : ndarray of shape (height, width), bool

    Raises
    ------
    ExtractionError
    """
    share = np.count_nonzero(visible) / (np.pi * (iris.radius**2 - pupil.radius**2))
    if share < _MIN_VISIBLE:
        raise ExtractionError(
            FailureReason.OCCLUDED,
            f"Only {share:.0%} of the iris can be seen (at least {_MIN_VISIBLE:.0%} are needed).",
        )


def check_confidence(confidence: float) -> None:
    """Reject a result of low confidence: a wrong crop is worse than none.

    Parameters
    ----------
    confidence : float
        0..1; see `expected_overlap`.

    Raises
    ------
    ExtractionError
    """
    if confidence < _MIN_CONFIDENCE:
        raise ExtractionError(
            FailureReason.LOW_CONFIDENCE,
            f"The network is unsure where the iris is (confidence {confidence:.2f}, at least "
            f"{_MIN_CONFIDENCE:.2f} is needed).",
        )


def expected_overlap(probabilities: np.ndarray, region: np.ndarray) -> float:
    """Expected intersection over union with the ground truth, from predicted probabilities.

    Assuming independent pixels: the sum of the probabilities inside the region, divided by
    the number of its pixels plus the sum of the probabilities outside.

    Parameters
    ----------
    probabilities : ndarray of shape (height, width), float
        Predicted probability that a pixel belongs to the true region, 0..1.
    region : ndarray of shape (height, width), bool
        The predicted region.

    Returns
    -------
    float
        0..1; 0 if the region is empty and all probabilities are 0.
    """
    # OpenCV sums in double precision, and several times as fast as NumPy indexes by a mask.
    inside = cv2.sumElems(probabilities * region)[0]
    outside = cv2.sumElems(probabilities)[0] - inside
    either = np.count_nonzero(region) + outside
    return inside / either if either else 0.0
