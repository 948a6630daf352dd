"""Time of comparisons by score, beside the plain search for the best rotation."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from iris_tf.benchmark.scoring_recognizer import scoring_recognizer
from iris_tf.matching.matcher import Matcher
from iris_tf.support.errors import BenchmarkError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_LEAST = 100  # templates: fewer are compared too quickly to be measured
_SMOOTH = 4  # columns over which generated codes are alike
_HIDDEN = 0.25  # share of their columns
_RUNS = 5


class ComparisonTime(NamedTuple):
    """Time of one comparison out of many.

    Attributes
    ----------
    probes, templates : int
        Probes, each compared with all templates.
    score_us, similarity_us : float
        Microseconds of processor time of a comparison by score, and by one scalar product for each
        rotation of a head (`Matcher.similarities`), which neither heeds what is hidden nor finds
        images that are rotated further.
    """

    probes: int
    templates: int
    score_us: float
    similarity_us: float

    @property
    def ratio(self) -> float:
        """Time of a score over that of a similarity."""
        return self.score_us / self.similarity_us


def measure_scores(model: str | Path | None = None, templates: int = 1000) -> list[ComparisonTime]:
    """Compare generated templates: one with all, and all with all.

    Both ways alternate, and the least of five times counts. Times are processor time of this
    process: set ``OPENBLAS_NUM_THREADS=1`` for those of one core.

    Parameters
    ----------
    model : str, Path or None
        See `IrisRecognizer`; its card says how templates are compared.
    templates : int, optional
        At least 100.

    Raises
    ------
    BenchmarkError
        When there are too few templates.
    ModelError
        When the model cannot be used, or its card has no scores.
    """
    if templates < _LEAST:
        raise BenchmarkError(f"{templates} templates are too few; take at least {_LEAST}.")
    recognizer = scoring_recognizer(model)
    matcher = recognizer.matcher
    assert matcher.layout is not None  # there are scores
    learned = recognizer.card.embedding_size - matcher.layout.size
    embeddings = _generated(templates, learned, matcher.layout)
    return [_measure(matcher, embeddings, probes) for probes in (1, templates)]


def _measure(matcher: Matcher, embeddings: np.ndarray, probes: int) -> ComparisonTime:
    described = matcher.describe(embeddings)
    ways = (
        lambda: matcher.scores(described[:probes], described),
        lambda: matcher.similarities(embeddings[:probes], embeddings),
    )
    least = [np.inf, np.inf]
    for _ in range(_RUNS):
        for number, compare in enumerate(ways):
            start = time.process_time_ns()
            compare()
            least[number] = min(least[number], time.process_time_ns() - start)
    each = (least_ns / 1000.0 / probes / len(embeddings) for least_ns in least)
    return ComparisonTime(probes, len(embeddings), *each)


def _generated(count: int, learned: int, layout: PhaseCodeLayout) -> np.ndarray:
    """Unit vectors (count, D) with smooth codes, part of which is hidden."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(count, layout.columns, layout.size // layout.columns))
    codes = np.sum([np.roll(noise, step, axis=1) for step in range(_SMOOTH)], axis=0)
    codes[rng.random((count, layout.columns)) < _HIDDEN] = 0.0
    vectors = np.concatenate(
        [rng.normal(size=(count, learned)), codes.reshape(count, -1)], axis=1
    ).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
