"""Where in an embedding its phase code lies, and by how much it is rotated to compare two."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PhaseCodeLayout:
    """Which part of an embedding is a phase code, and how far it is turned to compare two.

    The code is that of `iris_tf.networks.phase_code`: the last `size` entries, column after
    column around the ring, so that a tilt of the head by one column moves it around by the
    entries of one column.

    Attributes
    ----------
    size : int
        Entries.
    columns : int
        Columns around the ring; a divisor of `size`.
    turns : int
        Columns by which one of two codes is turned at most, either way.
    """

    size: int
    columns: int
    turns: int

    def __post_init__(self):
        if min(self.size, self.columns) < 1 or self.size % self.columns:
            raise ValueError(f"{self.size} entries are not {self.columns} columns")
        if not 0 <= 2 * self.turns < self.columns:
            raise ValueError(f"{self.columns} columns cannot be turned by {self.turns} either way")

    def turned(self, embeddings: np.ndarray, columns: int) -> np.ndarray:
        """Embeddings (n, D) with their phase code turned to the right by some columns."""
        learned, codes = self.split(embeddings)
        codes = np.roll(codes, columns * (self.size // self.columns), axis=1)
        return np.concatenate([learned, codes], axis=1)

    def code_turns(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Phase codes (n, size) alone at each of `all_turns`: windows of one array, no copies."""
        twice = np.concatenate([codes, codes], axis=1)
        for turn in self.all_turns:
            start = -turn % self.columns * (self.size // self.columns)
            yield twice[:, start : start + self.size]

    def split(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is learnt of embeddings (n, D), and their phase codes (n, size)."""
        return embeddings[:, : -self.size], embeddings[:, -self.size :]

    def aligned(self, embedding: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """An embedding (D,), turned so that it is most like a reference (D,)."""
        turns = (self.turned(embedding[None], t)[0] for t in self.all_turns)
        return max(turns, key=lambda turn: float(turn @ reference))

    @property
    def all_turns(self) -> range:
        """Turns at which two codes are compared, in columns."""
        return range(-self.turns, self.turns + 1)
