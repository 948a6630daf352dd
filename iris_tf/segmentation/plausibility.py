"""How far results can be trusted, and what no eye looks like: what segmenters share."""

import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.errors import ExtractionError, FailureReason

_RATIO = (0.12, 0.77)  # of the pupil's radius to the iris's
_MAX_DECENTRING = 0.3  # of the pupil's centre, in iris radii
_MIN_ASPECT = 0.65
_MIN_VISIBLE = 0.2  # of the ring between the ellipses
_MIN_CONFIDENCE = 0.75


def check_geometry(pupil: Ellipse, iris: Ellipse, shape: tuple[int, int]) -> None:
    """Refuse outlines that no eye has.

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
    """Refuse an eye of which too little iris can be seen.

    Parameters
    ----------
    pupil, iris : Ellipse
    visible : ndarray of shape (height, width), bool

    Raises
    ------
    ExtractionError
    """
    share = visible.sum() / (np.pi * (iris.radius**2 - pupil.radius**2))
    if share < _MIN_VISIBLE:
        raise ExtractionError(
            FailureReason.OCCLUDED,
            f"Only {share:.0%} of the iris can be seen (at least {_MIN_VISIBLE:.0%} are needed).",
        )


def check_confidence(confidence: float) -> None:
    """Refuse a result that a network does not trust itself: a wrong crop is worse than none.

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
    """Intersection over union with the truth that a network's own probabilities promise.

    Were pixels independent: the sum of probabilities in the region over the
    region's pixels plus the sum of probabilities outside.

    Parameters
    ----------
    probabilities : ndarray of shape (height, width), float
        Of each pixel to belong to the truth, 0..1.
    region : ndarray of shape (height, width), bool
        The pixels that were taken.

    Returns
    -------
    float
        0..1; 0 where nothing was taken and nothing is likely.
    """
    inside = float(probabilities[region].sum(dtype=np.float64))
    outside = float(probabilities[~region].sum(dtype=np.float64))
    either = float(region.sum()) + outside
    return inside / either if either else 0.0
