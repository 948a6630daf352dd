"""How often each score occurs, which is all that error rates need, in constant memory.

Scores are rounded to a `Scale` of at most 8,388,609 different ones, each with a bin of its own.
Rates and thresholds computed from the counts are exactly those of the rounded scores, including
the tails, however many comparisons there are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.metrics.scales import KEYS, SIMILARITIES, Scale
from iris_tf.metrics.scores import ImageLabels, label_images
from iris_tf.support.errors import EvaluationError

_FEW = KEYS // 16  # so few scores are sorted faster than counted in all bins


@dataclass(frozen=True)
class ScoreCounts:
    """Distinct scores, and how often each occurs.

    Attributes
    ----------
    levels : ndarray of shape (n,), float64
        Distinct scores, rising.
    genuine, impostor : ndarray of shape (n,), int64
        Comparisons with that score.
    """

    levels: np.ndarray
    genuine: np.ndarray
    impostor: np.ndarray

    @classmethod
    def of_scores(cls, genuine: np.ndarray, impostor: np.ndarray) -> "ScoreCounts":
        """Count scores without rounding.

        Parameters
        ----------
        genuine, impostor : ndarray of shape (n_genuine,), (n_impostor,)
            Scores of any range; higher means more similar.

        Raises
        ------
        EvaluationError
            If they contain NaN.
        """
        genuine, impostor = np.ravel(genuine), np.ravel(impostor)
        if np.isnan(genuine).any() or np.isnan(impostor).any():
            raise EvaluationError(
                "the scores contain NaN; check the model that made the embeddings."
            )
        levels, place = np.unique(np.concatenate([genuine, impostor]), return_inverse=True)
        place = place.ravel()  # NumPy 2.0 gave it the shape of the input
        counts = (
            np.bincount(part, minlength=len(levels))
            for part in (place[: len(genuine)], place[len(genuine) :])
        )
        return cls(levels.astype(np.float64), *counts)

    def accepted(self, threshold: float) -> tuple[int, int]:
        """Number of genuine and of impostor comparisons that score at least the threshold."""
        accepted = self.levels >= threshold
        return int(self.genuine[accepted].sum()), int(self.impostor[accepted].sum())

    def conclusive(self, scale: Scale) -> "ScoreCounts":
        """The counts without inconclusive comparisons, which have the lowest value of a scale."""
        if scale is SIMILARITIES:
            return self
        kept = self.levels > scale.lowest
        return ScoreCounts(self.levels[kept], self.genuine[kept], self.impostor[kept])

    @property
    def n_genuine(self) -> int:
        """Number of genuine comparisons."""
        return int(self.genuine.sum())

    @property
    def n_impostor(self) -> int:
        """Number of impostor comparisons."""
        return int(self.impostor.sum())


@dataclass(frozen=True)
class Pairs:
    """Individual comparisons.

    Attributes
    ----------
    keys : ndarray of shape (n,), int32
        Rounded scores, as `Scale.keys` gives them.
    first, second : ndarray of shape (n,), int32
        The two images, the smaller index first.
    scale : Scale
        Of the keys.
    """

    keys: np.ndarray
    first: np.ndarray
    second: np.ndarray
    scale: Scale = SIMILARITIES

    @property
    def scores(self) -> np.ndarray:
        """Rounded scores, float64."""
        return self.scale.values(self.keys)

    def __getitem__(self, chosen: np.ndarray) -> "Pairs":
        return Pairs(self.keys[chosen], self.first[chosen], self.second[chosen], self.scale)

    @staticmethod
    def joined(parts: Iterable["Pairs"], scale: Scale = SIMILARITIES) -> "Pairs":
        """Concatenate several of one scale."""
        parts = [*parts, Pairs(*np.empty((3, 0), np.int32))]
        keys, first, second = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("keys", "first", "second")
        )
        return Pairs(keys, first, second, scale)


def pairs_above(
    start: int, block: np.ndarray, labels: ImageLabels, least: int, scale: Scale = SIMILARITIES
) -> Pairs:
    """Comparisons in a block of rows of the matrix of all scores that reach a key.

    Parameters
    ----------
    start : int
        Index of the block's first row.
    block : ndarray of shape (rows, n), float32
        Scores of images ``start...start + rows`` with all.
    labels : ImageLabels
        Which images are compared.
    least : int
        Lowest key wanted.
    scale : Scale, optional
        Of the scores.

    Returns
    -------
    Pairs
        Genuine and impostor comparisons.
    """
    keys = scale.keys(block[:, start:])
    first, second = np.divmod(np.flatnonzero(keys.ravel() >= least), keys.shape[1])
    keys = keys[first, second]
    first, second = (first + start).astype(np.int32), (second + start).astype(np.int32)
    compared = (first < second) & (labels.group[first] == labels.group[second])
    return Pairs(keys, first, second, scale)[compared]


@dataclass(frozen=True)
class Comparisons:
    """All comparisons of a set of images: one for each unordered pair.

    Attributes
    ----------
    counts : ScoreCounts
        How often each score occurs.
    genuine : Pairs
        All comparisons within an identity.
    highest_impostor : Pairs
        The impostor comparisons that score highest, at most as many as requested. Left and
        right eye of one subject are an impostor comparison, as in the MobiIris paper.
    """

    counts: ScoreCounts
    genuine: Pairs
    highest_impostor: Pairs


class ScoreCounter:
    """Count the scores of a matrix that is given block by block.

    Parameters
    ----------
    labels : ImageLabels
        Identity of each image, and which images are compared.
    highest : int
        Number of highest impostor comparisons to keep.
    scale : Scale
        Of the scores.

    Raises
    ------
    EvaluationError
        If the images give no genuine or no impostor comparison.
    """

    def __init__(self, labels: ImageLabels, highest: int = 0, scale: Scale = SIMILARITIES):
        check_both_kinds(labels)
        self._labels, self._highest, self._scale = labels, highest, scale
        self._every = _KeyCounts()
        self._genuine: list[Pairs] = []
        self._top = Pairs.joined([], scale)

    def add(self, start: int, block: np.ndarray) -> None:
        """Count the comparisons of images ``start...start + rows`` with all later images.

        Parameters
        ----------
        start : int
            Index of the block's first row.
        block : ndarray of shape (rows, n), float32
            Scores on the counter's scale.
        """
        labels, rows = self._labels, len(block)
        keys = self._scale.keys(block[:, start:])
        triangle = np.triu(np.ones((rows, rows), bool), 1)
        same = labels.identity[start : start + rows, None] == labels.identity[None, start:]
        same[:, :rows] &= triangle
        if labels.one_group:
            self._every.add(keys[:, :rows][triangle])
            self._every.add(keys[:, rows:].ravel())
        else:
            compared = labels.group[start : start + rows, None] == labels.group[None, start:]
            compared[:, :rows] &= triangle
            same &= compared
            self._every.add(keys[compared])
        first, second = (places.astype(np.int32) for places in np.nonzero(same))
        self._genuine.append(Pairs(keys[same], first + start, second + start))
        if self._highest:
            self._keep_highest(start, block)

    def _keep_highest(self, start: int, block: np.ndarray) -> None:
        full = len(self._top.keys) == self._highest
        least = self._top.keys[-1] + 1 if full else 0
        found = pairs_above(start, block, self._labels, least, self._scale)
        identity = self._labels.identity
        found = found[identity[found.first] != identity[found.second]]
        if len(found.keys) > self._highest:
            found = found[np.argpartition(-found.keys, self._highest - 1)[: self._highest]]
        every = Pairs.joined([self._top, found], self._scale)
        order = np.lexsort([every.second, every.first, -every.keys])
        self._top = every[order[: self._highest]]

    def comparisons(self) -> Comparisons:
        """Everything counted so far."""
        genuine = Pairs.joined(self._genuine, self._scale)
        genuine_counts = _KeyCounts()
        genuine_counts.add(genuine.keys)
        levels, every = self._every.found()
        found, times = genuine_counts.found()
        counted = np.zeros(len(levels), np.int64)
        counted[np.searchsorted(levels, found)] = times
        counts = ScoreCounts(self._scale.values(levels), counted, every - counted)
        return Comparisons(counts, genuine, self._top)


def count_scores(
    blocks: Iterable[tuple[int, np.ndarray]], labels: ImageLabels, scale: Scale = SIMILARITIES
) -> Comparisons:
    """Count all scores of a matrix.

    Parameters
    ----------
    blocks : iterable of (int, ndarray of shape (rows, n), float32)
        The matrix in blocks of rows, as `similarity_blocks` yields them; of each pair, the
        value in the row of the smaller index counts.
    labels : ImageLabels
        Who is on each image, and which images are compared.
    scale : Scale, optional
        Of the scores.

    Raises
    ------
    EvaluationError
        If the images give no genuine or no impostor comparison.
    """
    counter = ScoreCounter(labels, scale=scale)
    for start, block in blocks:
        counter.add(start, block)
    return counter.comparisons()


def number_of_comparisons(labels: ImageLabels) -> tuple[int, int]:
    """Number of genuine and of impostor comparisons of labelled images."""

    def pairs(members: np.ndarray) -> int:
        return int((members.astype(np.int64) * (members - 1) // 2).sum())

    eyes = labels.identity.astype(np.int64) * (labels.group.max() + 1) + labels.group
    genuine = pairs(np.unique(eyes, return_counts=True)[1])
    return genuine, pairs(np.bincount(labels.group)) - genuine


def give_both_kinds(rows: Sequence[ManifestRow]) -> bool:
    """Whether images of manifest rows give at least one genuine and one impostor comparison."""
    return bool(rows) and all(number_of_comparisons(label_images(rows)))


def check_both_kinds(labels: ImageLabels) -> None:
    """Raise unless images give genuine and impostor comparisons.

    Raises
    ------
    EvaluationError
        Which states how many there would be.
    """
    genuine, impostor = number_of_comparisons(labels)
    if not (genuine and impostor):
        raise EvaluationError(
            f"{len(labels.identity)} images of {labels.identities} identities give {genuine} "
            f"genuine and {impostor} impostor comparisons, but both kinds are needed; add images, "
            "or evaluate a larger split (`--split all`)."
        )


class _KeyCounts:
    """How often each key occurs; all bins are only made once there are many keys."""

    def __init__(self) -> None:
        self._few: list[np.ndarray] = []
        self._bins: np.ndarray | None = None

    def add(self, keys: np.ndarray) -> None:
        """Count keys, an array of integers from 0 to `KEYS` - 1."""
        if self._bins is None:
            self._few.append(keys)
            if sum(map(len, self._few)) < _FEW:
                return
            keys, self._few = np.concatenate(self._few), []
            self._bins = np.zeros(KEYS, np.int64)
        if len(keys) < _FEW:
            found, times = np.unique(keys, return_counts=True)
            self._bins[found] += times
        else:
            times = np.bincount(keys)
            self._bins[: len(times)] += times

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys that occur, rising, and how often."""
        if self._bins is None:
            return np.unique(
                np.concatenate([np.zeros(0, np.int64), *self._few]), return_counts=True
            )
        keys = np.flatnonzero(self._bins)
        return keys, self._bins[keys]
