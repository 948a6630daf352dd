"""Errors of decisions by score, and how they are written as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class SearchErrors:
    """Errors of searches at an operating point whose threshold was raised by the gallery's size.

    Means over the galleries that were drawn, see `iris_tf.metrics.open_set`.

    Attributes
    ----------
    fpir : float
        Share of the non-mated probes for which a candidate is returned, 0..1. The operating
        point claims its FMR.
    fnir : float
        Share of the mated probes whose own eye is not among the candidates, 0..1.
    supported : bool
        Whether at least 30 false positives are expected in each draw (rule of 30).
    """

    fpir: float
    fnir: float
    supported: bool


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
    conclusive_fnmr : float or None
        False non-match rate of the conclusive genuine comparisons alone; None without any, and
        in files that do not state it.
    search : SearchErrors or None
        Errors of searches at this operating point; None where nobody is searched for, and in
        files that do not state them.
    """

    threshold: float
    claimed_fmr: float
    fmr: float
    fnmr: float
    false_matches: int
    supported: bool
    fmr_interval: list[float] | None
    fnmr_interval: list[float] | None
    conclusive_fnmr: float | None = None
    search: SearchErrors | None = None

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
        fields = {name: value for name, value in content.items() if name != "fmr_over_claim"}
        if fields.get("search") is not None:
            fields["search"] = SearchErrors(**fields["search"])
        return cls(**fields)


@dataclass(frozen=True)
class ScoreFigures:
    """Errors of decisions by score.

    Attributes
    ----------
    inconclusive_genuine, inconclusive_impostor : float
        Share of the comparisons of either kind that show too little to decide, 0..1. In all other
        figures of an evaluation by score they rank below all others, as non-matches.
    conclusive_eer : float or None
        Equal error rate of the conclusive comparisons alone, 0..1; None where they lack a kind.
    points : mapping of str to ScorePointErrors
        By `iris_tf.config.names.SCORE_RATES`.
    """

    inconclusive_genuine: float
    inconclusive_impostor: float
    conclusive_eer: float | None
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
