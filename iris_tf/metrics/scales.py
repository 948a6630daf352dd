"""The values of comparisons, rounded to the integer keys by which they are counted."""

from dataclasses import dataclass

import numpy as np

from iris_tf.matching.matcher import Matcher

KEYS = (1 << 23) + 1
"""Number of different values; keys are 0...2**23."""


@dataclass(frozen=True)
class Scale:
    """Range and resolution of the values of comparisons.

    Attributes
    ----------
    name : str
        What comparisons are made by.
    lowest : float
        Value of key 0: a multiple of `step`.
    step : float
        Difference of neighbouring keys: a power of two.
    """

    name: str
    lowest: float
    step: float

    def keys(self, values: np.ndarray) -> np.ndarray:
        """Key of each value.

        Parameters
        ----------
        values : ndarray of float32
            Within the scale, see `clipped`.

        Returns
        -------
        ndarray of the same shape, int32
        """
        scaled = values * np.float32(1.0 / self.step)  # exact: a power of two
        np.rint(scaled, out=scaled)
        keys = scaled.astype(np.int32)
        keys -= round(self.lowest / self.step)
        return keys

    def key(self, value: float) -> int:
        """Key of the nearest value."""
        return round((value - self.lowest) / self.step)

    def values(self, keys: np.ndarray) -> np.ndarray:
        """Values of keys, float64; exact."""
        return keys * self.step + self.lowest

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Values as they are counted, float64."""
        return self.values(self.keys(np.asarray(values, np.float32)))

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Values within the scale, float32.

        Minus infinity, an inconclusive comparison, becomes the lowest value, which no other
        comparison has.
        """
        highest = self.lowest + (KEYS - 1) * self.step
        within = np.clip(values, self.lowest + self.step, highest)
        return np.where(np.isneginf(values), self.lowest, within).astype(np.float32)


SIMILARITIES = Scale("similarity", -1.0, 2.0**-22)
"""Cosines, -1..1, to a few rounding errors of float32."""

SCORES = Scale("score", -16.0, 2.0**-13)
"""Natural logarithms of likelihood ratios, below those of all strangers to 1,008."""


def scale_of(matcher: Matcher) -> Scale:
    """What the comparisons of a matcher are made by: its scores where it has them."""
    return SCORES if matcher.has_scores else SIMILARITIES
