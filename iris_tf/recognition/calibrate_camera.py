"""Calibrating a model to a camera from unlabelled images: `iris-tf calibrate`."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES
from iris_tf.data.layouts import AUTO, PUBLISHED
from iris_tf.matching.calibration import (
    Calibration,
    ImpostorEstimate,
    adapt_learned,
)
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import unit
from iris_tf.matching.whitening import second_moment, whitening_matrix
from iris_tf.recognition.embed_folder import FLAT, embed_folder
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import DatasetError, ModelError

MIN_IMAGES = 50

_POWER = 0.25
_SHRINKAGE = 0.3
_FOLDS = 10
_MIN_EYES = 10  # fewer say little of how different eyes compare
_MAX_COMPARED = 1500  # images that are compared with each other: over a million pairs
# "Rule of 30" (Doddington et al. 2000): with 30 errors, an error rate is known
# to within 30 % at a confidence of 90 %.
_MIN_FALSE_MATCHES = 30
_FITTED_AT = 0.95
# Mean similarity, adapted, above which images are taken to be of one eye.
_SAME_EYE, _SAME_EYE_WITH_CODE = 0.5, 0.35
_DIMENSIONS = (1.5, 1e5)  # that a fit may find
_MOST_ALIKE = 1.0 - 1e-9  # cosine that still has a u


def calibrate(
    recognizer: IrisRecognizer, images: str | Path, name: str, layout: str = AUTO
) -> Calibration:
    """Calibrate a model for the camera of a folder of images.

    The more eyes, the better: one or two images of each of some hundred eyes. Where
    the layout tells who is who, pairs of images of one eye are left out. Where it
    does not, pairs are that look like one eye's.

    Parameters
    ----------
    recognizer : IrisRecognizer
        With no calibration yet.
    images : str or Path
        Folder of eye images, as for `embed_folder`.
    name : str
        What the calibration is called.
    layout : str
        One of `LAYOUTS`. With ``"auto"``, subfolders of no published layout may be
        anything, a day's images say, and their names are not taken for identities.

    Raises
    ------
    DatasetError
        When fewer than `MIN_IMAGES` images can be used, or they show too few eyes.
    ModelError
        When the recogniser is calibrated already.
    """
    if recognizer.calibration is not None:
        raise ModelError(
            f"The recogniser is calibrated already ({recognizer.calibration.name}); calibrate one "
            "without."
        )
    found = embed_folder(recognizer, images, layout, "Calibrating")
    if len(found.images) < MIN_IMAGES:
        raise DatasetError(
            f"{images}: {len(found.images)} images can be used, but a calibration takes at least "
            f"{MIN_IMAGES}, better some hundred; add images."
        )
    labelled = found.layout in PUBLISHED if layout == AUTO else found.layout != FLAT
    eyes = len(set(found.identities)) if labelled else None
    if eyes is not None and eyes < _MIN_EYES:
        raise DatasetError(
            f"{images}: its images show {eyes} eyes, but a calibration takes at least "
            f"{_MIN_EYES}; add images of other eyes."
        )
    return Calibration(
        name,
        recognizer.origin.model,
        recognizer.origin.model_sha256,
        _adaptation(found.embeddings, recognizer.matcher).astype(np.float32),
        len(found.images),
        eyes,
        found.failures,
        estimate_impostors(
            found.embeddings, found.identities if labelled else None, recognizer.matcher
        ),
        recognizer.matcher,
    )


def _adaptation(embeddings: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Matrix for the learned part of embeddings (n, D)."""
    learned, _ = matcher.split(embeddings)
    return whitening_matrix(second_moment(learned), _POWER, _SHRINKAGE)


def estimate_impostors(
    embeddings: np.ndarray,
    identities: Sequence[str] | None = None,
    matcher: Matcher = Matcher(),
) -> ImpostorEstimate:
    """Estimate how different eyes compare once they are adapted to the camera.

    With identities, a threshold is the least one that the stated share of impostor
    pairs reaches at most, if that share is of at least 30 pairs of eyes. Otherwise, and
    always without identities, it lies in the tail of a distribution that is fitted to
    median and 95 % quantile of the pairs. It is that of random directions: in d
    dimensions, with u = c / sqrt(1 - c^2) of their cosine c, u sqrt(d - 1) has
    Student's distribution of d - 1 degrees of freedom. (A normal tail of c would be too
    short: embeddings vary in far fewer dimensions than they have.)

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Unit vectors, not adapted. Of more than 1,500, evenly chosen ones are compared.
    identities : sequence of str, optional
        Whose each is; pairs of one identity are left out. Without, images that look
        alike take the place of an identity.
    matcher : Matcher, optional
        How the model's embeddings are compared.

    Raises
    ------
    DatasetError
        When the images are all alike, or look like fewer than ten eyes.
    """
    chosen = np.unique(np.linspace(0, len(embeddings) - 1, _MAX_COMPARED).astype(int))
    compared = embeddings[chosen]
    if identities is None:
        groups = _look_alikes(compared, matcher)
    else:
        groups = np.unique(np.array(identities)[chosen], return_inverse=True)[1]
    eyes = int(groups.max()) + 1
    scores = adapted_scores(compared, groups, matcher)
    tail = _Tail.fitted(scores)
    thresholds: dict[str, float] = {}
    methods: dict[str, str] = {}
    highest_first = np.sort(scores)[::-1]
    for point, rate in FALSE_MATCH_RATES.items():
        # Pairs of images of the same two eyes say little more than one of them.
        enough = rate * math.comb(eyes, 2) >= _MIN_FALSE_MATCHES
        allowed = int(rate * len(scores))
        if identities is not None and enough and allowed >= _MIN_FALSE_MATCHES:
            # Above the first score that must not pass.
            threshold = float(np.nextafter(highest_first[allowed], np.inf))
            methods[point] = "empirical"
        else:
            threshold = tail.threshold(rate)
            methods[point] = "fitted tail"
        # Two methods could put the stricter point below the other.
        thresholds[point] = max(threshold, *thresholds.values(), -1.0)
    median = float(np.median(scores))
    return ImpostorEstimate(len(scores), median, tail.dimensions, thresholds, methods)


def _look_alikes(embeddings: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Group images that seem to be of one eye; numbers from 0 without gaps.

    Were each taken for an eye of its own, other images of it would take part in its
    adaptation, and strangers would seem less alike than they are: with four images of
    each of 40 eyes of the development set, the threshold for 0.1 % let 1.2 % pass.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    adapted = unit(adapt_learned(embeddings, _adaptation(embeddings, matcher), matcher))
    distances = 1.0 - matcher.similarities(adapted, adapted)
    # By the mean of two groups, because a chain of strangers who are a little alike is long.
    tree = linkage(squareform(distances, checks=False), method="average")
    same = _SAME_EYE_WITH_CODE if matcher.code_size else _SAME_EYE
    groups = fcluster(tree, 1.0 - same, criterion="distance") - 1
    eyes = int(groups.max()) + 1
    if eyes < _MIN_EYES:
        raise DatasetError(
            f"The images are so alike that they seem to be of {eyes} eye{'s' if eyes > 1 else ''}, "
            f"but a calibration takes at least {_MIN_EYES}; add images of other eyes, or say whose "
            "they are in a layout that tells."
        )
    return groups


@dataclass(frozen=True)
class _Tail:
    """Distribution of u of random directions, moved to the median that was observed."""

    median: float
    dimensions: float

    @classmethod
    def fitted(cls, scores: np.ndarray) -> "_Tail":
        from scipy.optimize import brentq  # here, because only calibrating needs it

        scores = np.clip(scores, -_MOST_ALIKE, _MOST_ALIKE)
        median, upper = np.quantile(scores / np.sqrt(1.0 - scores**2), [0.5, _FITTED_AT])

        def excess(dimensions: float) -> float:
            return _random_direction(dimensions, 1.0 - _FITTED_AT) - float(upper - median)

        least, most = _DIMENSIONS
        if excess(least) <= 0.0:
            dimensions = least
        elif excess(most) >= 0.0:
            dimensions = most
        else:
            dimensions = float(brentq(excess, least, most))
        return cls(float(median), dimensions)

    def threshold(self, rate: float) -> float:
        """Cosine that a share `rate` reaches."""
        u = self.median + _random_direction(self.dimensions, rate)
        return u / math.sqrt(1.0 + u * u)


def _random_direction(dimensions: float, rate: float) -> float:
    """What u of two random directions reaches at a rate."""
    from scipy.special import stdtrit

    freedom = dimensions - 1.0
    return float(stdtrit(freedom, 1.0 - rate)) / math.sqrt(freedom)


def adapted_scores(
    embeddings: np.ndarray, groups: np.ndarray, matcher: Matcher = Matcher()
) -> np.ndarray:
    """Similarities of all pairs of different groups, adapted by images of other groups alone.

    Adapted by what they take part in, eyes seem less alike than strangers will be (with 50
    images, a similarity that 1 % of the pairs reach is 0.31 and not 0.39). So the groups are
    dealt into ten folds, and a pair is adapted by the folds of which it is not.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Unit vectors.
    groups : ndarray of shape (n,), int
        Numbers from 0 without gaps; at least three.
    matcher : Matcher, optional
        How the embeddings are compared.

    Returns
    -------
    ndarray of shape (pairs,), float64

    Raises
    ------
    DatasetError
        When the embeddings are all alike.
    """
    folds = groups % _FOLDS
    scores = []
    for one, other in itertools.combinations_with_replacement(range(folds.max() + 1), 2):
        left_out = (folds == one) | (folds == other)
        matrix = _adaptation(embeddings[~left_out], matcher)
        first, second = (
            adapt_learned(embeddings[folds == fold], matrix, matcher) for fold in (one, other)
        )
        different = groups[folds == one][:, None] != groups[folds == other][None]
        if one == other:
            different = np.triu(different)
        scores.append(matcher.similarities(first, second)[different])
    scores = np.clip(np.concatenate(scores), -1.0, 1.0)
    if scores.min() > _MOST_ALIKE:
        raise DatasetError(
            "The embeddings of the images are all alike; give images of different eyes."
        )
    return scores
