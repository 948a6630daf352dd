"""Evaluation protocols: which comparisons the rows of a manifest give, and their figures.

A protocol turns manifest rows into comparisons, and the comparisons' scores into figures. Another
one is another subclass of `Protocol`, as in `iris_tf.evaluation.fold_protocol`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import ALL_PAIRS, PAIR_LISTS
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.failures import Attempts, FailedImage
from iris_tf.evaluation.pair_lists import read_pairs
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.counts import ScoreCounts, count_scores, number_of_comparisons
from iris_tf.metrics.evaluate_embeddings import (
    Evaluation,
    comparison_blocks,
    evaluate_embeddings,
    evaluate_pairs,
)
from iris_tf.metrics.scales import scale_of
from iris_tf.metrics.scores import label_images


class Protocol(ABC):
    """Which images are compared.

    Attributes
    ----------
    name : str
        One of `iris_tf.config.names.PROTOCOLS`, or `PAIR_LISTS`.
    """

    name: str

    @abstractmethod
    def check(self, rows: Sequence[ManifestRow]) -> None:
        """Raise `EvaluationError` for rows to which the protocol does not apply."""

    @abstractmethod
    def evaluate(
        self, embeddings: np.ndarray, rows: Sequence[ManifestRow], matcher: Matcher, resamples: int
    ) -> Evaluation:
        """Make the comparisons and compute all figures.

        Parameters
        ----------
        embeddings : ndarray of shape (n, size), float
            Unit vectors, one per image.
        rows : sequence of n ManifestRow
            The images.
        matcher : Matcher
            How embeddings are compared.
        resamples : int
            Resamples of the bootstrap over subjects; 0 for no confidence intervals.
        """

    @abstractmethod
    def part_counts(
        self, embeddings: np.ndarray, rows: Sequence[ManifestRow], matcher: Matcher
    ) -> ScoreCounts | None:
        """Scores within a subset of the images, such as all left eyes.

        None where the subset lacks a kind of comparison, or the protocol cannot be applied to
        subsets.
        """

    def fold_figures(self, embeddings: np.ndarray, matcher: Matcher) -> dict[str, Any] | None:
        """Accuracy over the folds of a published protocol, and against the threshold.

        They are of similarities, as in the publications. None if the protocol has no folds.
        """
        return None

    @abstractmethod
    def attempts(self, rows: Sequence[ManifestRow], failed: Sequence[FailedImage]) -> Attempts:
        """Comparisons that would have been made if the failed images had given crops."""


@dataclass(frozen=True)
class EveryPair(Protocol):
    """All pairs of images that a rule admits.

    Parameters
    ----------
    name : {"all-pairs", "same-eye", "across-datasets"}
        The rule, see `iris_tf.metrics.scores.label_images`.
    """

    name: str = ALL_PAIRS

    def check(self, rows: Sequence[ManifestRow]) -> None:
        """See `Protocol`."""
        label_images(rows, self.name)

    def evaluate(
        self, embeddings: np.ndarray, rows: Sequence[ManifestRow], matcher: Matcher, resamples: int
    ) -> Evaluation:
        """See `Protocol`."""
        return evaluate_embeddings(embeddings, rows, resamples, protocol=self.name, matcher=matcher)

    def part_counts(
        self, embeddings: np.ndarray, rows: Sequence[ManifestRow], matcher: Matcher
    ) -> ScoreCounts | None:
        """See `Protocol`."""
        labels = label_images(rows, self.name)
        if not all(number_of_comparisons(labels)):
            return None
        blocks = comparison_blocks(embeddings, matcher)
        return count_scores(blocks(), labels, scale_of(matcher)).counts

    def attempts(self, rows: Sequence[ManifestRow], failed: Sequence[FailedImage]) -> Attempts:
        """See `Protocol`."""
        labels = label_images([*rows, *(row for row, _ in failed)], self.name)
        return Attempts(len(rows) + len(failed), failed, *number_of_comparisons(labels))


@dataclass(frozen=True)
class PairLists(Protocol):
    """Comparisons that are listed in files, as published protocols have them.

    Parameters
    ----------
    genuine, impostor : ndarray of shape (n, 2), int64
        Images of each comparison: indices into the rows, followed by the failed images.
    """

    genuine: np.ndarray
    impostor: np.ndarray
    name = PAIR_LISTS

    @classmethod
    def read(
        cls,
        genuine: str | Path,
        impostor: str | Path,
        rows: Sequence[ManifestRow],
        failed: Sequence[FailedImage],
    ) -> "PairLists":
        """Read both lists (see `read_pairs`), which may name failed images too."""
        images = [*rows, *(row for row, _ in failed)]
        return cls(
            read_pairs(genuine, images, genuine=True), read_pairs(impostor, images, genuine=False)
        )

    def check(self, rows: Sequence[ManifestRow]) -> None:
        """See `Protocol`."""
        label_images(rows)

    def evaluate(
        self, embeddings: np.ndarray, rows: Sequence[ManifestRow], matcher: Matcher, resamples: int
    ) -> Evaluation:
        """See `Protocol`."""
        genuine, impostor = (
            pairs[(pairs < len(rows)).all(axis=1)] for pairs in (self.genuine, self.impostor)
        )
        return evaluate_pairs(embeddings, rows, genuine, impostor, resamples, matcher=matcher)

    def part_counts(
        self, embeddings: np.ndarray, rows: Sequence[ManifestRow], matcher: Matcher
    ) -> ScoreCounts | None:
        """See `Protocol`; lists are not divided."""
        return None

    def attempts(self, rows: Sequence[ManifestRow], failed: Sequence[FailedImage]) -> Attempts:
        """See `Protocol`; only images that are listed count."""
        listed = np.unique(np.concatenate([self.genuine, self.impostor]))
        listed_failed = [failed[i - len(rows)] for i in listed if i >= len(rows)]
        return Attempts(len(listed), listed_failed, len(self.genuine), len(self.impostor))
