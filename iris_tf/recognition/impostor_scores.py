"""How impostors compare on a camera, after adaptation to it: scores, and thresholds from them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import brentq
from scipy.spatial.distance import squareform
from scipy.special import stdtrit

from iris_tf.config.names import FALSE_MATCH_RATES
from iris_tf.matching.calibration import ImpostorEstimate, adapt_learned
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import unit
from iris_tf.matching.whitening import second_moment, whitening_matrix
from iris_tf.metrics.figures import RULE_OF_30
from iris_tf.support.errors import DatasetError

MIN_EYES = 10  # fewer do not show how different eyes compare

_POWER = 0.25
_SHRINKAGE = 0.3
_FOLDS = 10
_MAX_COMPARED = 1500  # images compared with each other: over a million comparisons
_FITTED_AT = 0.95
# Mean similarity after adaptation above which two groups of images are taken to show one eye.
_SAME_EYE, _SAME_EYE_WITH_CODE = 0.5, 0.35
_DIMENSIONS = (1.5, 1e5)  # range of a fit
_MAX_COSINE = 1.0 - 1e-9  # for which u = c / sqrt(1 - c^2) is finite


def adaptation(embeddings: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Matrix that adapts the learned components of embeddings (n, D)."""
    learned, _ = matcher.split(embeddings)
    return whitening_matrix(second_moment(learned), _POWER, _SHRINKAGE)


def estimate_impostors(
    embeddings: np.ndarray,
    identities: Sequence[str] | None = None,
    matcher: Matcher = Matcher(),
) -> ImpostorEstimate:
    """Estimate the distribution of impostor comparisons after adaptation to the camera.

    With identities, a threshold is the least one at which at most the stated share of impostor
    comparisons is accepted, provided that this share amounts to at least 30 pairs of eyes.
    Otherwise, and always without identities, it is taken from the tail of a distribution that is
    fitted to the median and the 95 % quantile of the comparisons: that of random directions. For
    the cosine c of two of these in d dimensions and u = c / sqrt(1 - c^2), u sqrt(d - 1) has
    Student's t distribution with d - 1 degrees of freedom. (A normal tail of c would be too
    short: embeddings vary in far fewer dimensions than they have.)

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Unit vectors, not adapted. Of more than 1,500, an evenly spaced subset is compared.
    identities : sequence of str, optional
        Identity of each embedding; comparisons within an identity are left out. Without them,
        similar images are grouped into apparent identities.
    matcher : Matcher, optional
        Compares the model's embeddings.

    Raises
    ------
    DatasetError
        When the embeddings are all the same, or appear to show fewer than ten eyes.
    """
    compared, groups = eye_groups(embeddings, identities, matcher)
    eyes = int(groups.max()) + 1
    scores = adapted_scores(compared, groups, matcher)
    tail = _Tail.fitted(scores)
    thresholds: dict[str, float] = {}
    methods: dict[str, str] = {}
    highest_first = np.sort(scores)[::-1]
    for point, rate in FALSE_MATCH_RATES.items():
        # Counted in pairs of eyes: several comparisons of the same two eyes are hardly worth more
        # than one.
        enough = rate * math.comb(eyes, 2) >= RULE_OF_30
        allowed = int(rate * len(scores))
        if identities is not None and enough and allowed >= RULE_OF_30:
            # Just above the highest score that must be rejected.
            threshold = float(np.nextafter(highest_first[allowed], np.inf))
            methods[point] = "empirical"
        else:
            threshold = tail.threshold(rate)
            methods[point] = "fitted tail"
        # With different methods, the stricter point might get the lower threshold.
        thresholds[point] = max(threshold, *thresholds.values(), -1.0)
    median = float(np.median(scores))
    return ImpostorEstimate(len(scores), median, tail.dimensions, thresholds, methods)


def eye_groups(
    embeddings: np.ndarray, identities: Sequence[str] | None, matcher: Matcher
) -> tuple[np.ndarray, np.ndarray]:
    """Choose at most 1,500 embeddings, evenly spaced, and number the eyes that they show.

    Returns
    -------
    compared : ndarray of shape (n, D)
    groups : ndarray of shape (n,), int
        From 0 without gaps: identities, or apparent identities where these are unknown.
    """
    chosen = np.unique(np.linspace(0, len(embeddings) - 1, _MAX_COMPARED).astype(int))
    compared = embeddings[chosen]
    if identities is None:
        return compared, _apparent_identities(compared, matcher)
    return compared, np.unique(np.array(identities)[chosen], return_inverse=True)[1]


def _apparent_identities(embeddings: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Group images that appear to show one eye; numbers from 0 without gaps.

    If each image were taken for an eye of its own, other images of that eye would contribute to
    its adaptation, and impostors would seem less similar than they are: with four images of each
    of 40 eyes of the development set, the FMR at the threshold for 0.1 % was 1.2 %.
    """
    adapted = unit(adapt_learned(embeddings, adaptation(embeddings, matcher), matcher))
    # By rounding, similarities of copies exceed 1.
    distances = np.maximum(1.0 - matcher.similarities(adapted, adapted), 0.0)
    # Average linkage: single linkage would chain moderately similar impostors together.
    tree = linkage(squareform(distances, checks=False), method="average")
    same = _SAME_EYE_WITH_CODE if matcher.code_size else _SAME_EYE
    groups = fcluster(tree, 1.0 - same, criterion="distance") - 1
    eyes = int(groups.max()) + 1
    if eyes < MIN_EYES:
        raise DatasetError(
            f"The images are so similar that they appear to show {eyes} eye"
            f"{'s' if eyes > 1 else ''}, but a calibration takes at least {MIN_EYES}; add images "
            "of other eyes, or give the identities by a layout."
        )
    return groups


@dataclass(frozen=True)
class _Tail:
    """Distribution of u of random directions, shifted to the observed median."""

    median: float
    dimensions: float

    @classmethod
    def fitted(cls, scores: np.ndarray) -> "_Tail":
        scores = np.clip(scores, -_MAX_COSINE, _MAX_COSINE)
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
        """Cosine that a share `rate` of comparisons reaches."""
        u = self.median + _random_direction(self.dimensions, rate)
        return u / math.sqrt(1.0 + u * u)


def _random_direction(dimensions: float, rate: float) -> float:
    """The u that a share `rate` of pairs of random directions reaches."""
    freedom = dimensions - 1.0
    return float(stdtrit(freedom, 1.0 - rate)) / math.sqrt(freedom)


def adapted_scores(
    embeddings: np.ndarray, groups: np.ndarray, matcher: Matcher = Matcher()
) -> np.ndarray:
    """Similarities of all pairs from different groups, adapted by images of other groups only.

    Eyes that contributed to their own adaptation seem less similar than impostors will be (with 50
    images, the similarity that 1 % of the pairs reach is 0.31 instead of 0.39). Therefore the
    groups are dealt into ten folds, and a pair is adapted by the folds that neither is in.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Unit vectors.
    groups : ndarray of shape (n,), int
        Numbers from 0 without gaps; at least three groups.
    matcher : Matcher, optional
        Compares the embeddings.

    Returns
    -------
    ndarray of shape (pairs,), float64
        Cosine similarities, -1..1.

    Raises
    ------
    DatasetError
        When the embeddings are all the same.
    """
    folds = groups % _FOLDS
    scores = []
    for one, other in itertools.combinations_with_replacement(range(folds.max() + 1), 2):
        left_out = (folds == one) | (folds == other)
        matrix = adaptation(embeddings[~left_out], matcher)
        first, second = (
            adapt_learned(embeddings[folds == fold], matrix, matcher) for fold in (one, other)
        )
        different = groups[folds == one][:, None] != groups[folds == other][None]
        if one == other:
            different = np.triu(different)
        scores.append(matcher.similarities(first, second)[different])
    scores = np.clip(np.concatenate(scores), -1.0, 1.0)
    if scores.min() > _MAX_COSINE:
        raise DatasetError(
            "The embeddings of all images are the same; give images of different eyes."
        )
    return scores
