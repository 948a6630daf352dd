"""How alike embeddings are: by their cosine, and a phase code among them at its best turn."""

import numpy as np

from iris_tf.tflite.phase_code_layout import PhaseCodeLayout


def learned_size(size: int, phase: PhaseCodeLayout | None) -> int:
    """Entries of embeddings of a size that are no phase code; they come first."""
    return size if phase is None else size - phase.size


def similarities(
    first: np.ndarray, second: np.ndarray, phase: PhaseCodeLayout | None = None
) -> np.ndarray:
    """Cosine of every embedding of one set and every embedding of another.

    Of a phase code, that of the turn at which the two are most alike: a tilted head turns the
    iris (the search over shifts of Daugman, 1993).

    Parameters
    ----------
    first, second : ndarray of shape (n, D), (m, D), float
        Unit vectors.
    phase : PhaseCodeLayout, optional
        The part that is a phase code; none without.

    Returns
    -------
    ndarray of shape (n, m)
        -1..1 up to rounding.
    """
    if phase is None:
        return first @ second.T
    (learned, code), (other, other_code) = phase.split(first), phase.split(second)
    # A product a turn: in float32, of numbers that float32 networks computed.
    code, other_code = (np.asarray(codes, np.float32) for codes in (code, other_code))
    best = np.full((len(first), len(second)), -np.inf, np.float32)
    for turned in phase.code_turns(code):
        np.maximum(best, turned @ other_code.T, out=best)
    return learned @ other.T + best


def paired_similarities(
    first: np.ndarray, second: np.ndarray, phase: PhaseCodeLayout | None = None
) -> np.ndarray:
    """`similarities` of each row of (n, D) with the same row of another (n, D), as (n,)."""
    if phase is None:
        return np.einsum("ij,ij->i", first, second)
    (learned, code), (other, other_code) = phase.split(first), phase.split(second)
    best = np.full(len(first), -np.inf)
    for turned in phase.code_turns(code):
        np.maximum(best, np.einsum("ij,ij->i", turned, other_code), out=best)
    return np.einsum("ij,ij->i", learned, other) + best
