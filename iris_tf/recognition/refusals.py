"""Refusals of images and pairs that show too little for a decision, each with its reason."""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_evidence import CodeSet
from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import MOST_COARSENESS, ScoreModel


def require_texture(
    model: ScoreModel, codes: np.ndarray, layout: PhaseCodeLayout, names: Sequence[str]
) -> None:
    """Refuse images that show too little texture: those of strangers may be similar.

    Parameters
    ----------
    model : ScoreModel
        States how much is needed.
    codes : ndarray of shape (n, size), float32
        Phase codes of the images.
    layout : PhaseCodeLayout
        Of the codes.
    names : sequence of str
        What each image is called.

    Raises
    ------
    ExtractionError
        With the reason ``low_quality``, for the first such image.
    """
    described = CodeSet.of(codes, layout, levelling=model.levelling)
    for name, freedom, coarseness in zip(
        names, described.freedom, described.coarseness, strict=True
    ):
        problem = _lack_of_texture(model, freedom, coarseness) or _blur(coarseness)
        if problem:
            raise ExtractionError(FailureReason.LOW_QUALITY, f"{name}: The image {problem}.")


def why_inconclusive(
    model: ScoreModel, own: Mapping[str, tuple[float, float]], common: float
) -> str:
    """Why two templates do not show enough to decide, or ``""``.

    Templates of several images are not judged by their coarseness alone: the mean of codes has
    less of what differs between the images, thus of the fine texture.

    Parameters
    ----------
    model : ScoreModel
        States how many degrees of freedom are needed.
    own : mapping of str to tuple of float
        Degrees of freedom and coarseness of each template's phase code, by what it is called.
    common : float
        Degrees of freedom of what both show.
    """
    for what, (freedom, coarseness) in own.items():
        if problem := _lack_of_texture(model, freedom, coarseness):
            return f"the {what} {problem}"
    if common >= model.least_freedom:
        return ""
    return (
        f"the two show too little in common ({math.floor(common)} degrees of freedom, at least "
        f"{model.least_freedom:.0f} are needed); use images that show the same parts of the iris"
    )


def warn_of_strangers(
    matcher: Matcher, embeddings: np.ndarray, names: Sequence[str], least: float
) -> None:
    """Warn of images that are like none of the others of the same eye.

    Parameters
    ----------
    matcher : Matcher
        Gives scores.
    embeddings : ndarray of shape (n, D), float32
        Of the images of one eye.
    names : sequence of str
        What each image is called.
    least : float
        Score that two images of an eye hardly ever fall below.

    Warns
    -----
    UserWarning
        For each image whose scores are all below `least`. Inconclusive comparisons say nothing.
    """
    described = matcher.describe(embeddings)
    scores = matcher.scores(described, described).values
    np.fill_diagonal(scores, -np.inf)
    for name, best in zip(names, scores.max(axis=1, initial=-np.inf), strict=True):
        if -np.inf < best < least:
            warnings.warn(
                f"{name}: The image is like none of the others of this eye (its best score is "
                f"{best:.1f}, at least {least:.1f} is expected); leave it out if it shows another "
                "eye.",
                stacklevel=3,
            )


def _lack_of_texture(model: ScoreModel, freedom: float, coarseness: float) -> str:
    least = float(model.least_own_freedom(coarseness))
    if freedom >= least:
        return ""
    return (
        f"shows too little texture ({math.floor(freedom)} degrees of freedom, at least "
        f"{least:.0f} are needed); use an image in focus that shows more of the "
        "iris"
    )


def _blur(coarseness: float) -> str:
    if coarseness <= MOST_COARSENESS:
        return ""
    shown = math.ceil(10 * coarseness) / 10  # never the limit itself
    return (
        f"is blurred (its coarse texture is {shown:.1f} times as strong as its fine texture, "
        f"at most {MOST_COARSENESS} times is accepted); use an image in focus"
    )
