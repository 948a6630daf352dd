"""Scores for the card of an exported model with a phase code, from the released ones.

The evidence of phase codes needs no fit, and which pairs a threshold of scores accepts depends on
neither slope nor offset. So these, and the thresholds with what supports them, are those of the
released model, fitted on more eyes than most users have. The learned component is the model's own:
the cosine from which it counts is raised until it hardly adds to the FMR on the validation split.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm

from iris_tf.config.names import CARD_NAME
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.matcher import DescribedTemplates
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.released_models import RECOGNITION, released_folder
from iris_tf.tflite.score_model import ScoreModel

_MOST_FACTOR = 1.1  # by which learned components may multiply the FMR
_CONFIDENCE = 0.95  # of the bounds of the cosines' mean and standard deviation


def card_scores(
    embeddings: np.ndarray, rows: Sequence[ManifestRow], layout: PhaseCodeLayout
) -> ScoreModel | None:
    """Scores for the card of a model.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Of images that the model was not trained on.
    rows : sequence of n ManifestRow
        Who is on each image, of at least two identities.
    layout : PhaseCodeLayout
        Of the model's phase code.

    Returns
    -------
    ScoreModel or None
        None for codes of another size than the released ones, on which nothing was measured.
    """
    released = ModelCard.read(released_folder(RECOGNITION) / CARD_NAME)
    if released.score is None or released.phase is None:
        return None
    if (layout.size, layout.columns) != (released.phase.size, released.phase.columns):
        return None
    learned = DescribedTemplates.of(embeddings, layout).learned
    identity = np.unique([row.identity for row in rows], return_inverse=True)[1]
    first, second = np.nonzero(np.triu(identity[:, None] != identity[None], 1))
    cosines = np.einsum("ij,ij->i", learned[first], learned[second])
    pairs = math.comb(int(identity.max()) + 1, 2)
    return dataclasses.replace(
        released.score,
        learned_from=round(learned_from(cosines, pairs, released.score), 4),
        thresholds_from=released.score.thresholds_from
        | {
            "model": released.name,
            "learned_from": f"validation split: {len(cosines)} impostor comparisons of {pairs} "
            "pairs of eyes",
        },
    )


def learned_from(cosines: np.ndarray, pairs: int, released: ScoreModel) -> float:
    """Cosine from which learned components count without adding much to the FMR.

    Strangers' evidence is exponentially distributed, so an addition of e multiplies the FMR by the
    mean of exp(e). For cosines c that are normally distributed, the mean of
    exp(weight max(c - from, 0)) follows from their mean and standard deviation. Both are taken at
    their upper confidence bounds, as if comparisons of the same two eyes counted once, so that few
    eyes lead to a high value, at which only the phase codes decide.

    Parameters
    ----------
    cosines : ndarray of shape (n,)
        Of the learned components of strangers.
    pairs : int
        Number of pairs of eyes.
    released : ScoreModel
        Gives the weight, and the least value.

    Returns
    -------
    float
        `released.learned_from` to 1.

    References
    ----------
    Mean of an exponential of a truncated normal variable: N. L. Johnson, S. Kotz and
    N. Balakrishnan, Continuous Univariate Distributions 1, 1994, chapter 13.
    """
    if pairs < 2:
        return 1.0
    freedom = pairs - 1
    spread = float(np.std(cosines)) * math.sqrt(freedom / chi2.ppf(1 - _CONFIDENCE, freedom))
    mean = float(np.mean(cosines)) + norm.ppf(_CONFIDENCE) * spread / math.sqrt(pairs)
    weight, least = released.learned_weight, released.learned_from

    def excess(start: float) -> float:
        below = norm.cdf((start - mean) / spread)
        shifted = mean + weight * spread**2
        grown = math.exp(weight * (mean - start) + 0.5 * (weight * spread) ** 2)
        return below + grown * norm.cdf((shifted - start) / spread) - _MOST_FACTOR

    if spread == 0.0:
        return 1.0
    if excess(1.0) >= 0.0:
        return 1.0
    return least if excess(least) <= 0.0 else float(brentq(excess, least, 1.0))
