"""Every figure of one model on one set of images, and how it is written as JSON.

The JSON form is that of ``evaluation`` in ``metrics.json`` and of ``references.json``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

from iris_tf.metrics.scales import SCORES, SIMILARITIES, Scale
from iris_tf.metrics.score_figures import ScoreFigures, ScorePointErrors

RULE_OF_30 = 30
"""Errors needed for 90 % confidence that the true rate is within 30 % of the measured one."""

_CHANCE = 0.4
"""EER from which scores hardly tell eyes apart; half of all decisions are wrong by chance."""

_METHOD = "percentiles of a bootstrap over persons"  # as files of all versions say


@dataclass(frozen=True)
class ComparisonCounts:
    """How much was compared.

    Attributes
    ----------
    images, identities, subjects : int
        What the comparisons are of.
    genuine_comparisons, impostor_comparisons : int
        Comparisons within an identity, and between two.
    probes : int
        Images that were identified; 0 without identification.
    """

    images: int
    identities: int
    subjects: int
    genuine_comparisons: int
    impostor_comparisons: int
    probes: int = 0

    def to_json(self) -> dict[str, int]:
        """JSON object, in which subjects are called persons."""
        content = asdict(self)
        content["persons"] = content.pop("subjects")
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, int]) -> Self:
        """Inverse of `to_json`."""
        counts = dict(content)
        return cls(subjects=counts.pop("persons"), **counts)


@dataclass(frozen=True)
class ThresholdErrors:
    """Errors counted at a threshold.

    Attributes
    ----------
    threshold : float
        Least accepted score.
    fmr, fnmr : float
        False match rate and false non-match rate, 0..1.
    false_matches : int
        Accepted impostor comparisons.
    """

    threshold: float
    fmr: float
    fnmr: float
    false_matches: int


@dataclass(frozen=True)
class OperatingPointErrors(ThresholdErrors):
    """Errors at the most lenient threshold whose FMR is at most the one requested.

    Attributes
    ----------
    supported : bool
        Whether at least 30 false matches are expected at the requested FMR (rule of 30, ISO/IEC
        19795-1): for independent comparisons the true rate is then, with 90 % confidence, within
        30 % of the measured one. Comparisons that share a subject are not independent, so the
        intervals of the bootstrap are wider.
    """

    supported: bool


@dataclass(frozen=True)
class DetCurve:
    """Detection error trade-off: FMR and FNMR at falling thresholds, 0..1."""

    fmr: list[float]
    fnmr: list[float]


@dataclass(frozen=True)
class ScoreHistogram:
    """Shares of the genuine and of the impostor scores between neighbouring edges."""

    edges: list[float]
    genuine: list[float]
    impostor: list[float]


@dataclass(frozen=True)
class Curves:
    """What is drawn.

    Attributes
    ----------
    det : DetCurve
        Error trade-off.
    histogram : ScoreHistogram
        Distribution of the scores.
    cmc : list of float
        Identification rate by rank, from 1; empty without identification.
    """

    det: DetCurve
    histogram: ScoreHistogram
    cmc: list[float]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read from a JSON object, as `dataclasses.asdict` gives it."""
        return cls(
            DetCurve(**content["det"]), ScoreHistogram(**content["histogram"]), content["cmc"]
        )


@dataclass(frozen=True)
class OpenSetMetrics:
    """Open-set identification (see `iris_tf.metrics.open_set`).

    Attributes
    ----------
    draws : int
        Number of galleries drawn.
    enrolled, mated_probes, non_mated_probes : float
        Numbers of images, means over the draws.
    fnir : mapping of str to float or None
        FNIR by the name of its FPIR, mean over the draws; None where a draw has no probe of
        either kind or fewer non-mated probes than ``1 / FPIR``.
    rule_of_30 : mapping of str to bool
        By the same names, whether 30 false positives are expected in each draw.
    """

    draws: int
    enrolled: float
    mated_probes: float
    non_mated_probes: float
    fnir: Mapping[str, float | None]
    rule_of_30: Mapping[str, bool]


@dataclass(frozen=True)
class Intervals:
    """Confidence intervals from the percentiles of a bootstrap over subjects.

    Attributes
    ----------
    level : float
        Confidence, 0..1.
    resamples, seed : int
        Of the bootstrap.
    exact : bool
        See `iris_tf.metrics.bootstrap.Resampled`.
    bounds : mapping of str to list of two float, or None
        Lower and upper bound of each of `Metrics.values`; None where the images do not allow an
        interval, for instance with a single subject. Those of ``fnir_*`` are conditional on the
        galleries drawn.
    """

    level: float
    resamples: int
    seed: int
    bounds: Mapping[str, list[float] | None]
    exact: bool = True

    def to_json(self) -> dict[str, Any]:
        """JSON object."""
        return asdict(self) | {"method": _METHOD}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        return cls(**{name: value for name, value in content.items() if name != "method"})


class ScoredPair(NamedTuple):
    """Two images, by name, and their score or similarity."""

    first: str
    second: str
    score: float


@dataclass(frozen=True)
class WorstComparisons:
    """The lowest genuine and the highest impostor scores, worst first."""

    genuine: list[ScoredPair]
    impostor: list[ScoredPair]

    def to_json(self) -> dict[str, list[list[Any]]]:
        """JSON object: of each comparison ``[image, image, score]``."""
        return {kind: [list(pair) for pair in pairs] for kind, pairs in vars(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, list[list[Any]]]) -> Self:
        """Inverse of `to_json`."""
        return cls(*(list(map(ScoredPair._make, content.get(kind, ()))) for kind in _KINDS))


_KINDS = ("genuine", "impostor")


@dataclass(frozen=True)
class Metrics:
    """Every figure of one model on one set of images. Rates are shares, 0..1.

    Attributes
    ----------
    protocol : str
        Which comparisons were made, one of `iris_tf.config.names.PROTOCOLS` or `PAIR_LISTS`.
    counts : ComparisonCounts
        Numbers of images and comparisons.
    values : mapping of str to float or None
        ``eer``, ``vr_far_1e-2``, ``vr_far_1e-3``, ``fnmr_fmr_1e-2``...``fnmr_fmr_1e-5`` (None
        where the rule of 30 does not support it), ``cmc_1``, ``cmc_5``, ``cmc_10``,
        ``fnir_fpir_1e-1``, ``fnir_fpir_1e-2`` (None with too few probes), ``auc``, and
        ``d_prime`` (None if all scores are equal). What belongs to identification is None where
        nothing was identified.
    thresholds : mapping of str to float
        Least accepted score, or similarity, at ``eer``, ``far_1e-2`` and ``far_1e-3`` of these
        images.
    eer_point : ThresholdErrors or None
        Errors counted at the EER's threshold; the EER itself lies between two thresholds. None
        in files that do not state it.
    operating_points : mapping of str to OperatingPointErrors
        By ``fmr_1e-2``...``fmr_1e-5``.
    curves : Curves
        DET, histogram and CMC.
    open_set : OpenSetMetrics or None
        None where nothing was identified.
    intervals : Intervals or None
        None without resamples.
    worst : WorstComparisons
        Ten of each kind, or as many as there are.
    scores : ScoreFigures or None
        Errors of decisions by score at the operating points of the model's card; None where
        comparisons are by similarity. All other figures are of scores, too.
    """

    protocol: str
    counts: ComparisonCounts
    values: Mapping[str, float | None]
    thresholds: Mapping[str, float]
    eer_point: ThresholdErrors | None
    operating_points: Mapping[str, OperatingPointErrors]
    curves: Curves
    open_set: OpenSetMetrics | None
    intervals: Intervals | None
    worst: WorstComparisons
    scores: ScoreFigures | None = None

    @property
    def eer(self) -> float:
        """Equal error rate."""
        eer = self.values["eer"]
        assert eer is not None  # every set of comparisons has one
        return eer

    @property
    def scale(self) -> Scale:
        """What the comparisons were made by."""
        return SIMILARITIES if self.scores is None else SCORES

    @property
    def card_points(self) -> Mapping[str, ScorePointErrors]:
        """Errors of decisions by score at the card's operating points; none by similarity."""
        return {} if self.scores is None else self.scores.points

    @property
    def collapsed(self) -> bool:
        """Whether the embeddings have collapsed onto one point.

        All scores are then the same, or at least 0.98 without telling eyes apart, because rounding
        differs from image to image.
        """
        genuine, impostor = self.curves.histogram.genuine, self.curves.histogram.impostor
        same = self.values["d_prime"] is None or genuine[-1] == impostor[-1] == 1.0
        return same and self.eer >= _CHANCE

    def bounds(self, name: str) -> list[float] | None:
        """Confidence interval of one of `values`, None without one."""
        return None if self.intervals is None else self.intervals.bounds.get(name)

    def supported(self) -> dict[str, OperatingPointErrors]:
        """Operating points that the comparisons support, by the rule of 30."""
        return {name: point for name, point in self.operating_points.items() if point.supported}

    def to_json(self) -> dict[str, Any]:
        """JSON object, as in ``metrics.json``."""
        return {
            "protocol": self.protocol,
            "counts": self.counts.to_json(),
            "metrics": dict(self.values),
            "thresholds": dict(self.thresholds),
            "eer_point": None if self.eer_point is None else asdict(self.eer_point),
            "operating_points": {
                name: asdict(point) for name, point in self.operating_points.items()
            },
            "curves": asdict(self.curves),
            "open_set": None if self.open_set is None else asdict(self.open_set),
            "intervals": None if self.intervals is None else self.intervals.to_json(),
            "worst": self.worst.to_json(),
        } | self._of_scores()

    def _of_scores(self) -> dict[str, Any]:
        if self.scores is None:
            return {}
        return {"compared_by": self.scale.name, "scores": self.scores.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; what files of earlier versions lack is left empty."""
        eer_point, open_set = content.get("eer_point"), content.get("open_set")
        intervals, by_score = content["intervals"], content.get("compared_by") == SCORES.name
        return cls(
            protocol=content["protocol"],
            counts=ComparisonCounts.from_json(content["counts"]),
            values=content["metrics"],
            thresholds=content["thresholds"],
            eer_point=None if eer_point is None else ThresholdErrors(**eer_point),
            operating_points={
                name: OperatingPointErrors(**point)
                for name, point in content.get("operating_points", {}).items()
            },
            curves=Curves.from_json(content["curves"]),
            open_set=None if open_set is None else OpenSetMetrics(**open_set),
            intervals=None if intervals is None else Intervals.from_json(intervals),
            worst=WorstComparisons.from_json(content.get("worst", {})),
            scores=ScoreFigures.from_json(content["scores"]) if by_score else None,
        )
