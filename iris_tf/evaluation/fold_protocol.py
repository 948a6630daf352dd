"""Comparisons in folds, as a protocol, and the figures of a set of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.failures import FailedImage
from iris_tf.evaluation.insightface_bin import read_pair_set
from iris_tf.evaluation.lfw_pairs import read_lfw_pairs
from iris_tf.evaluation.protocols import PairLists
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.fold_accuracy import fold_figures
from iris_tf.metrics.threshold_sweep import sweep_thresholds
from iris_tf.recognition.open_model import Embedder
from iris_tf.support.errors import EvaluationError
from iris_tf.support.progress import track


@dataclass(frozen=True)
class FoldedPairLists(PairLists):
    """Comparisons of LFW's ``pairs.txt``: figures of `PairLists`, and accuracy over folds.

    Parameters
    ----------
    genuine_folds, impostor_folds : ndarray of shape (n,), int64
        Fold of each comparison.
    """

    genuine_folds: np.ndarray
    impostor_folds: np.ndarray

    @classmethod
    def read_folds(
        cls, path: str | Path, rows: Sequence[ManifestRow], failed: Sequence[FailedImage]
    ) -> "FoldedPairLists":
        """Read a list (see `read_lfw_pairs`), which may name failed images too.

        Raises
        ------
        EvaluationError
            If it cannot be read, or has a single fold.
        """
        found = read_lfw_pairs(path, [*rows, *(row for row, _ in failed)])
        if len(np.unique(found.genuine_folds)) < 2:
            raise EvaluationError(
                f"{path}: has one fold, but the threshold of each is chosen on the others; give a "
                "list of two folds or more."
            )
        return cls(found.genuine, found.impostor, found.genuine_folds, found.impostor_folds)

    def fold_figures(self, embeddings: np.ndarray, matcher: Matcher) -> dict[str, Any]:
        """See `Protocol`; comparisons of failed images are left out."""
        pairs = np.concatenate([self.genuine, self.impostor])
        folds = np.concatenate([self.genuine_folds, self.impostor_folds])
        genuine = np.arange(len(pairs)) < len(self.genuine)
        made = (pairs < len(embeddings)).all(axis=1)
        first, second = (embeddings[pairs[made, side]].astype(np.float64) for side in (0, 1))
        return _figures(matcher.paired_similarities(first, second), genuine[made], folds[made])


def evaluate_pair_set(path: str | Path, embedder: Embedder) -> dict[str, Any]:
    """Embed the images of an InsightFace ``.bin`` set, and compute the figures of its folds.

    Parameters
    ----------
    path : str or Path
        See `iris_tf.evaluation.insightface_bin.read_pair_set`.
    embedder : Embedder
        Model; images are resized to its input and converted to its channels.

    Returns
    -------
    dict
        See `FoldedPairLists.fold_figures`.

    Raises
    ------
    EvaluationError
        If the set cannot be read.
    """
    pairs = read_pair_set(path)
    crops = (pairs.image(index, embedder.channels) for index in range(len(pairs.images)))
    embeddings = np.asarray(
        embedder.embed(track(crops, f"Embedding {Path(path).name}", len(pairs.images))), np.float64
    )
    scores = embedder.matcher.paired_similarities(embeddings[::2], embeddings[1::2])
    return _figures(scores, pairs.genuine, pairs.folds)


def _figures(scores: np.ndarray, genuine: np.ndarray, folds: np.ndarray) -> dict[str, Any]:
    return {
        "comparisons": len(scores),
        **fold_figures(scores, genuine, folds).to_json(),
        "sweep": sweep_thresholds(scores, genuine),
    }
