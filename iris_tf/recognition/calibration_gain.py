"""Scores of a calibrated model, and what its calibration gained on eyes that were held out."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES, SCORE_RATES
from iris_tf.exporting.card_scores import learned_from
from iris_tf.matching.calibration import adapt_learned
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import unit
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.metrics.metrics import RULE_OF_30
from iris_tf.metrics.scores import score_matrix
from iris_tf.metrics.verification import curve_of_counts, eer_of_curve
from iris_tf.recognition.impostor_scores import (
    MIN_EYES,
    adaptation,
    adapted_scores,
    estimate_impostors,
)
from iris_tf.tflite.score_model import ScoreModel


def calibrated_scores(
    embeddings: np.ndarray, groups: np.ndarray, matcher: Matcher
) -> ScoreModel | None:
    """Scores for embeddings whose learned components are adapted to a camera.

    The evidence of phase codes, which are not adapted, does not change. The cosine from which the
    learned component counts is that which hardly adds to the FMR on this camera.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Unit vectors, not adapted.
    groups : ndarray of shape (n,), int
        Eye on each image, numbered from 0 without gaps; at least three.
    matcher : Matcher
        Compares the model's embeddings.

    Returns
    -------
    ScoreModel or None
        None where the model has no scores.
    """
    model = matcher.score_model
    if model is None or not matcher.has_scores:
        return None
    learned = unit(matcher.split(embeddings)[0])
    cosines = adapted_scores(learned, groups)
    pairs = math.comb(int(groups.max()) + 1, 2)
    said = f"calibration: {len(cosines)} impostor comparisons of {pairs} pairs of eyes"
    return dataclasses.replace(
        model,
        learned_from=round(learned_from(cosines, pairs, model), 4),
        thresholds_from=model.thresholds_from | {"learned_from": said},
    )


@dataclasses.dataclass
class _Counted:
    """Values of comparisons that were held out, and errors at thresholds."""

    genuine: list[np.ndarray] = dataclasses.field(default_factory=list)
    impostor: list[np.ndarray] = dataclasses.field(default_factory=list)
    false_matches: dict[str, int] = dataclasses.field(default_factory=dict)
    false_non_matches: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(
        self, embeddings: np.ndarray, groups: np.ndarray, matcher: Matcher,
        thresholds: Mapping[str, float],
    ) -> None:  # fmt: skip
        """Compare all pairs of embeddings."""
        if matcher.has_scores:
            matrix = score_matrix(embeddings, matcher)
        else:
            matrix = matcher.similarities(embeddings, embeddings)
        first, second = np.triu_indices(len(groups), 1)
        values, same = matrix[first, second], groups[first] == groups[second]
        self.genuine.append(values[same])
        self.impostor.append(values[~same])
        for name, threshold in thresholds.items():
            accepted = int((values[~same] >= threshold).sum())
            rejected = int((values[same] < threshold).sum())
            self.false_matches[name] = self.false_matches.get(name, 0) + accepted
            self.false_non_matches[name] = self.false_non_matches.get(name, 0) + rejected

    def figures(self, labelled: bool) -> dict[str, Any]:
        """JSON values."""
        genuine, impostor = np.concatenate(self.genuine), np.concatenate(self.impostor)
        rates = SCORE_RATES | FALSE_MATCH_RATES
        figures: dict[str, Any] = {
            "fmr": {
                name: count / len(impostor)
                for name, count in self.false_matches.items()
                if rates[name] * len(impostor) >= RULE_OF_30
            }
        }
        if labelled and len(genuine):
            counts = ScoreCounts.of_scores(genuine, impostor)
            figures["eer"] = eer_of_curve(curve_of_counts(counts)).rate
            figures["fnmr"] = {
                name: count / len(genuine) for name, count in self.false_non_matches.items()
            }
        return figures


def held_out_gain(
    embeddings: np.ndarray,
    groups: np.ndarray,
    labelled: bool,
    matcher: Matcher,
    thresholds: Mapping[str, float],
) -> dict[str, Any]:
    """Errors before and after a calibration, on eyes that took no part in it.

    Eyes are divided into halves. Each half is compared as without a calibration, and as calibrated
    by the other half.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Unit vectors, not adapted.
    groups : ndarray of shape (n,), int
        Eye on each image, numbered from 0 without gaps.
    labelled : bool
        Whether these are identities. If they are apparent identities, genuine comparisons would
        be those that look genuine, so nothing is said about them.
    matcher : Matcher
        Compares the model's embeddings.
    thresholds : mapping of str to float
        Those without a calibration: of scores where the matcher has them, else of similarities.

    Returns
    -------
    dict
        JSON values: ``eyes``, ``impostor_comparisons``, and ``before`` and ``after``, each with
        ``fmr`` by operating point, where at least 30 false matches are expected; with labels also
        ``genuine_comparisons``, and in each ``eer`` and ``fnmr``. Empty with fewer than 20 eyes.
    """
    eyes = int(groups.max()) + 1
    if eyes < 2 * MIN_EYES:
        return {}
    before, after = _Counted(), _Counted()
    for half in (0, 1):
        held, others = embeddings[groups % 2 == half], embeddings[groups % 2 != half]
        eye, other_eye = groups[groups % 2 == half] // 2, groups[groups % 2 != half] // 2
        before.add(held, eye, matcher, thresholds)
        scores = calibrated_scores(others, other_eye, matcher)
        found = (
            estimate_impostors(others, other_eye.astype(str).tolist(), matcher).thresholds
            if scores is None
            else scores.thresholds
        )
        adapted = unit(adapt_learned(held, adaptation(others, matcher), matcher))
        after.add(adapted, eye, dataclasses.replace(matcher, score_model=scores), found)
    counted = {"eyes": eyes, "impostor_comparisons": sum(map(len, before.impostor))}
    if labelled:
        counted["genuine_comparisons"] = sum(map(len, before.genuine))
    return counted | {"before": before.figures(labelled), "after": after.figures(labelled)}
