"""Errors of decisions by score, and how they are written as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class ScorePointErrors:
    """Errors counted at the threshold of a card's operating point.

    Unlike the operating points of `iris_tf.metrics.metrics.Metrics`, whose thresholds are those of
    the evaluated images, the threshold was fixed before, and its FMR is to be checked.

    Attributes
    ----------
    threshold : float
        Least score that is accepted as the same eye.
    claimed_fmr : float
        FMR that the operating point stands for.
    fmr : float
        Measured false match rate, of all impostor comparisons.
    fnmr : float
        False non-match rate, of all genuine comparisons; inconclusive ones are not matched.
    false_matches : int
        Accepted impostor comparisons.
    supported : bool
        Whether at least 30 false matches are expected at the claimed FMR (rule of 30).
    fmr_interval, fnmr_interval : list of two float, or None
        Confidence intervals as those of `iris_tf.metrics.metrics.Intervals`; None without
        resamples, and of the FMR also where it is not supported.
    """

    threshold: float
    claimed_fmr: float
    fmr: float
    fnmr: float
    false_matches: int
    supported: bool
    fmr_interval: list[float] | None
    fnmr_interval: list[float] | None

    @property
    def interval_over_claim(self) -> list[float] | None:
        """Confidence interval of `fmr_over_claim`."""
        found = self.fmr_interval
        return None if found is None else [bound / self.claimed_fmr for bound in found]

    @property
    def fmr_over_claim(self) -> float | None:
        """Measured over claimed FMR; None where the comparisons do not support it."""
        return self.fmr / self.claimed_fmr if self.supported else None

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        return asdict(self) | {"fmr_over_claim": self.fmr_over_claim}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(**{name: value for name, value in content.items() if name != "fmr_over_claim"})


@dataclass(frozen=True)
class ScoreFigures:
    """Errors of decisions by score.

    Attributes
    ----------
    eer : float
        Equal error rate of the scores, rounded to multiples of 2**-10, 0..1; inconclusive
        comparisons rank below all others.
    inconclusive_genuine, inconclusive_impostor : float
        Share of the comparisons of either kind that show too little to decide, 0..1.
    points : mapping of str to ScorePointErrors
        By `iris_tf.config.names.SCORE_RATES`.
    """

    eer: float
    inconclusive_genuine: float
    inconclusive_impostor: float
    points: Mapping[str, ScorePointErrors]

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        points = {name: point.to_json() for name, point in self.points.items()}
        return dict(vars(self)) | {"points": points}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        points = {
            name: ScorePointErrors.from_json(point) for name, point in content["points"].items()
        }
        return cls(**{**content, "points": points})
