"""Where in an embedding its phase code lies, and by how much it is rotated to compare two."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft


@dataclass(frozen=True)
class PhaseCodeLayout:
    """Which entries of an embedding are its phase code, and how far the code is rotated.

    The code is that of `iris_tf.networks.phase_code`: the last `size` entries, column after
    column around the ring, so that tilting the head by one column shifts the code by the entries
    of one column.

    Attributes
    ----------
    size : int
        Number of entries.
    columns : int
        Columns around the ring; a divisor of `size`.
    turns : int
        Largest rotation at which two codes are compared, in columns in either direction.

    Raises
    ------
    ValueError
        When one is not an integer, `columns` does not divide `size`, or `turns` is negative or at
        least half a turn.
    """

    size: int
    columns: int
    turns: int

    def __post_init__(self) -> None:
        if any(type(value) is not int for value in (self.size, self.columns, self.turns)):
            raise ValueError("size, columns and turns are not all integers")
        if min(self.size, self.columns) < 1 or self.size % self.columns:
            raise ValueError(f"{self.size} entries do not divide into {self.columns} columns")
        if not 0 <= 2 * self.turns < self.columns:
            raise ValueError(
                f"{self.columns} columns cannot be rotated by {self.turns} in either direction"
            )

    @property
    def rotations(self) -> range:
        """Rotations at which two codes are compared, in columns."""
        return range(-self.turns, self.turns + 1)

    @property
    def wide_rotations(self) -> range:
        """All other rotations, in columns: as of images that are upside down."""
        return range(self.turns + 1, self.columns - self.turns)

    def waves(self, values: np.ndarray) -> np.ndarray:
        """Discrete Fourier transform along the ring.

        Parameters
        ----------
        values : ndarray of shape (n, m), float
            Phase codes, or other numbers of which each column has as many.

        Returns
        -------
        ndarray of shape (n, columns // 2 + 1, m / columns), complex
            Coefficients by frequency.
        """
        shape = len(values), self.columns, values.shape[1] // self.columns
        return rfft(values.reshape(shape), axis=1)

    def from_waves(self, waves: np.ndarray) -> np.ndarray:
        """Phase codes (n, size) of coefficients (n, columns // 2 + 1, size / columns)."""
        return np.fft.irfft(waves, self.columns, axis=1).reshape(len(waves), self.size)

    def rotate(self, embeddings: np.ndarray, columns: int) -> np.ndarray:
        """Embeddings (n, D) with their phase codes shifted to the right by some columns."""
        learned, codes = embeddings[:, : -self.size], embeddings[:, -self.size :]
        codes = np.roll(codes, columns * (self.size // self.columns), axis=1)
        return np.concatenate([learned, codes], axis=1)

    def rotated_codes(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Phase codes (n, size) at each of `rotations`: windows of one array, not copies."""
        twice = np.concatenate([codes, codes], axis=1)
        for columns in self.rotations:
            start = -columns % self.columns * (self.size // self.columns)
            yield twice[:, start : start + self.size]
