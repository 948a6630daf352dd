"""The numbers by which two templates are scored, as a model card carries them."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from iris_tf.config.names import SCORE_RATES

# Compared with a sharp image, even a very blurred one leaves enough for few false matches, but it
# would hardly ever match its own eye.
_OWN_SHARE = 0.75
# Coarseness of an image's phase code. Beyond it, similarities of strangers exceed thresholds more
# often than these claim; the coarsest of 2,700 real images of two cameras has 1.35.
MOST_COARSENESS = 1.6


@dataclass(frozen=True)
class Levelling:
    """How phase codes are made alike before they are compared: see `iris_tf.matching.levelling`.

    Attributes
    ----------
    spectrum : tuple of float
        Root mean power that a levelled code has at each frequency along the ring, from 0 to half a
        cycle per column; 0 or more, relative to each other.
    exponent : float
        Power to which magnitudes of responses are raised, above 0 up to 1.

    Raises
    ------
    ValueError
        When a number is out of range, or all of the spectrum is 0.
    """

    spectrum: tuple[float, ...]
    exponent: float

    def __post_init__(self) -> None:
        if not all(_is_number(number) for number in (*self.spectrum, self.exponent)):
            raise ValueError("a number of the levelling is missing or not finite")
        if not any(self.spectrum) or min(self.spectrum) < 0:
            raise ValueError("the spectrum of the levelling is out of range")
        if not 0 < self.exponent <= 1:
            raise ValueError("the exponent of the levelling is out of range")

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read the block of a model card.

        Raises
        ------
        TypeError, ValueError
            When it is not such a block.
        """
        values = dict(values)
        return cls(tuple(values.pop("spectrum")), **values)


@dataclass(frozen=True)
class ScoreModel:
    """Turns the evidence of a pair of templates into a log-likelihood ratio, and into decisions.

    The score of a pair is ``offset + slope * (u + learned_weight * max(c - learned_from, 0))``
    with `c` the cosine of the learned components and `u` the evidence of the phase codes (see
    `iris_tf.matching.phase_evidence`), the negative natural logarithm of the share of strangers
    on the same camera that are as similar. By its definition `u` is exponentially distributed
    among strangers, hence thresholds lie on a line over the logarithm of the FMR.

    Attributes
    ----------
    offset, slope : float
        Make a natural logarithm of the likelihood ratio same eye : different eyes.
    learned_weight : float
        Evidence per unit of the learned components' cosine, 0 or more.
    learned_from : float
        Cosine above which the learned components count, -1..1. Below it they say more about the
        camera than about the eye.
    least_freedom : float
        Degrees of freedom of a comparison, below which there is no decision.
    thresholds : dict of str to float
        Least score that is accepted as the same eye, by operating point (`SCORE_RATES`).
    thresholds_from : dict
        What supports the thresholds: numbers of cameras and of impostor comparisons, and by how
        much the FMR differs between cameras.
    wide_share : float
        Share of the false matches, 0 to less than 1, that may come of rotations beyond those of
        the phase code's layout: above 0, images rotated by any angle are found. Cards without it
        have 0.
    levelling : Levelling or None
        How phase codes are levelled before they are compared. Cards without it compare them as
        they are.

    Raises
    ------
    ValueError
        When a number is out of range, or a lower FMR has a lower threshold.
    """

    offset: float
    slope: float
    learned_weight: float
    learned_from: float
    least_freedom: float
    thresholds: dict[str, float]
    thresholds_from: dict[str, Any] = field(default_factory=dict)
    wide_share: float = 0.0
    levelling: Levelling | None = None

    def __post_init__(self) -> None:
        numbers = dataclasses.astuple(self)[:5]
        numbers += (self.wide_share, *self.thresholds.values())
        if not all(_is_number(number) for number in numbers):
            raise ValueError("a number is missing or not finite")
        if self.slope <= 0 or self.learned_weight < 0 or self.least_freedom <= 0:
            raise ValueError("slope, learned_weight or least_freedom is out of range")
        if not 0 <= self.wide_share < 1:
            raise ValueError("wide_share is out of range")
        if abs(self.learned_from) > 1:
            raise ValueError("learned_from is not a cosine")
        if list(self.thresholds) != list(SCORE_RATES):
            raise ValueError(f"thresholds are not those of {', '.join(SCORE_RATES)}")
        values = list(self.thresholds.values())
        if sorted(set(values)) != values:
            raise ValueError("a lower FMR does not have a higher threshold")

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read the block of a model card.

        Raises
        ------
        TypeError, ValueError
            When it is not such a block.
        """
        values = dict(values)
        found = values.pop("thresholds")
        if not isinstance(found, dict) or not isinstance(values.get("thresholds_from", {}), dict):
            raise TypeError("thresholds are not an object")
        try:
            json.dumps(values.get("thresholds_from"), allow_nan=False)
        except ValueError:
            raise ValueError("thresholds_from holds a number that is not finite") from None
        if values.get("levelling") is not None:
            values["levelling"] = Levelling.from_json(values["levelling"])
        # JSON objects are written in alphabetical order.
        thresholds = {point: found.pop(point) for point in SCORE_RATES if point in found} | found
        return cls(thresholds=thresholds, **values)

    def least_own_freedom(self, coarseness: float | np.ndarray) -> np.ndarray:
        """Degrees of freedom that each of some templates needs by itself, before levelling.

        Those of a comparison of levelled codes do not tell blur, so coarse codes need as many as a
        comparison.

        Parameters
        ----------
        coarseness : float or ndarray of shape (n,)
            Of the phase codes, see `iris_tf.matching.phase_evidence.CodeSet`.

        Returns
        -------
        ndarray of the same shape
        """
        blurred = (np.asarray(coarseness) > MOST_COARSENESS) & (self.levelling is not None)
        return np.where(blurred, 1.0, _OWN_SHARE) * self.least_freedom

    def shows_enough(self, freedom: np.ndarray, coarseness: np.ndarray) -> np.ndarray:
        """Whether each of some images shows enough to make a template of it.

        Parameters
        ----------
        freedom, coarseness : ndarray of shape (n,)
            Of the images' phase codes, see `iris_tf.matching.phase_evidence.CodeSet`.

        Returns
        -------
        ndarray of shape (n,), bool
        """
        return (freedom >= self.least_own_freedom(coarseness)) & (coarseness <= MOST_COARSENESS)

    def threshold(self, point: str, chances: int = 1) -> float:
        """Least score that is accepted as the same eye.

        Parameters
        ----------
        point : str
            One of `SCORE_RATES`.
        chances : int, optional
            Number of comparisons that share the FMR, for instance the images of a gallery.
        """
        return self.thresholds[point] + self.slope * math.log(chances)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
