"""Thresholds of decisions, by the names of operating points."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from iris_tf.config.names import (
    FALSE_MATCH_RATES,
    LENIENT_POINT,
    SCORE_POINT,
    SCORE_RATES,
    STRICT_POINT,
)
from iris_tf.matching.calibration import Calibration
from iris_tf.metrics.metrics import RULE_OF_30
from iris_tf.support.errors import ArgumentError, ModelError
from iris_tf.tflite.model_card import ModelCard, is_cosine


@dataclass(frozen=True)
class OperatingPoints:
    """Thresholds of a model card, or of a calibration of its model.

    Attributes
    ----------
    thresholds : dict of str to float
        By operating point: of scores for those in `SCORE_RATES`, of similarities for the others.
    source : str
        Name of the card or calibration.
    has_scores : bool
        Whether there are scores.
    similarity_point : str
        The strictest operating point of similarities that the comparisons behind it support.
    """

    thresholds: dict[str, float]
    source: str
    has_scores: bool
    similarity_point: str

    @classmethod
    def of_card(cls, card: ModelCard) -> "OperatingPoints":
        """Those of a model without calibration."""
        thresholds = dict(card.thresholds)
        if card.score is not None:
            thresholds |= card.score.thresholds
        pairs = card.thresholds_from.get("impostor_comparisons")
        strict = FALSE_MATCH_RATES[STRICT_POINT]
        supported = isinstance(pairs, int) and pairs * strict >= RULE_OF_30
        point = STRICT_POINT if supported else LENIENT_POINT
        return cls(thresholds, card.name, card.score is not None, point)

    @classmethod
    def of_calibration(cls, calibration: Calibration) -> "OperatingPoints":
        """Those of a calibration, which come from counts or, where these do not suffice, a tail."""
        thresholds = dict(calibration.impostors.thresholds)
        if calibration.score is not None:
            thresholds |= calibration.score.thresholds
        return cls(thresholds, calibration.name, calibration.score is not None, STRICT_POINT)

    @property
    def default_for_verification(self) -> str:
        """Operating point of a verification that names none."""
        return SCORE_POINT if self.has_scores else self.similarity_point

    @property
    def default_for_search(self) -> str:
        """Operating point of a search that names none."""
        return SCORE_POINT if self.has_scores else STRICT_POINT

    def threshold(self, operating_point: str | float) -> float:
        """See `iris_tf.recognition.recognizer.IrisRecognizer.threshold`."""
        if not isinstance(operating_point, str):
            number = _python_number(operating_point)
            if not is_cosine(number):
                raise ArgumentError(
                    f"The threshold is {operating_point}, but similarities lie between -1 and 1; "
                    f"give a number in this range, or one of {self._known}."
                )
            return float(number)
        if operating_point not in self.thresholds:
            raise ModelError(
                f"{self.source}: there is no threshold for the operating point "
                f"{operating_point!r}; choose one of {self._known}."
            )
        return self.thresholds[operating_point]

    def threshold_of_decision(self, operating_point: str | float) -> float:
        """The `threshold` of a decision; warns of one that is rather a false match rate."""
        threshold = self.threshold(operating_point)
        lenient = self.thresholds.get(LENIENT_POINT, -1.0)
        if not isinstance(operating_point, str) and threshold < lenient:
            strict = self.default_for_search
            rate = (SCORE_RATES | FALSE_MATCH_RATES)[strict]
            warnings.warn(
                f"The threshold {threshold:g} is a least similarity, below the {lenient:.4f} of "
                f"{LENIENT_POINT}, which 1 in 100 pairs of strangers reaches; for a false match "
                f"rate of 1 in {1 / rate:,.0f} give the operating point {strict} "
                f"(`--operating-point {strict}`).",
                stacklevel=3,
            )
        return threshold

    @property
    def _known(self) -> str:
        return ", ".join(sorted(self.thresholds))


def _python_number(value: Any) -> Any:
    """A number of NumPy as one of Python; anything else unchanged."""
    return value.item() if isinstance(value, np.number) else value
