"""Candidates for a probe by the signs of phase codes: the first stage of a search.

The sign of each entry of a phase code is one bit, as in an iris code (Daugman, 1993). The signs
of all templates lie side by side in memory, and faiss counts how many differ from the probe's at
each rotation. That is a scan of all templates, not of a part of them: codes of strangers are
nearly orthogonal to each other, so that no graph or cell of an index leads to the right one.

References
----------
J. Daugman, "High confidence visual recognition of persons by a test of statistical
independence", IEEE TPAMI 15(11), 1993.

M. Douze et al., "The Faiss library", arXiv:2401.08281, 2024.
"""

import hashlib

import numpy as np

from iris_tf.support.errors import ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout


def sign_size(layout: PhaseCodeLayout) -> int:
    """Bytes of the signs of a phase code."""
    return (layout.size + 7) // 8


def phase_signs(codes: np.ndarray) -> np.ndarray:
    """Signs of phase codes, eight to a byte.

    Hidden places have no sign. Zeros in all of them would make eyes with the same lids alike, so
    they get bits that are random but for the code itself: half of them differ between any two
    templates.

    Parameters
    ----------
    codes : ndarray of shape (n, size), float

    Returns
    -------
    ndarray of shape (n, size / 8), uint8
    """
    signs, hidden = np.packbits(codes > 0, axis=1), np.packbits(codes == 0, axis=1)
    random = np.empty_like(signs)
    for row, (sign, where) in enumerate(zip(signs, hidden, strict=True)):
        digest = hashlib.shake_128(sign.tobytes() + where.tobytes()).digest(signs.shape[1])
        random[row] = np.frombuffer(digest, np.uint8)
    return signs | (random & hidden)


def nearest(
    probe: np.ndarray, signs: np.ndarray, layout: PhaseCodeLayout, count: int, wide: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The templates whose signs differ least from a probe's at any of some rotations.

    Parameters
    ----------
    probe : ndarray of shape (size,), float
        The probe's phase code.
    signs : ndarray of shape (n, size / 8), uint8
        Of `phase_signs`, of at least one template.
    layout : PhaseCodeLayout
        Of the codes.
    count : int
        How many.
    wide : bool, optional
        Whether at the rotations beyond those of the layout rather than at those.

    Returns
    -------
    rows : ndarray of shape (count or n,), int64
        Rows of `signs`, the nearest first, the earlier first where two are equally near.
    distances : ndarray of the same shape, int64
        Number of signs that differ.

    Raises
    ------
    ModelError
        When faiss is not installed.
    """
    rotated = np.packbits(_rotated_signs(probe, layout, wide), axis=1)
    distances, rows = _faiss().knn_hamming(rotated, signs, min(count, len(signs)))
    return merge(rows.ravel(), distances.ravel().astype(np.int64), count)


def sign_distances(
    probe: np.ndarray, signs: np.ndarray, layout: PhaseCodeLayout, wide: bool = False
) -> np.ndarray:
    """The distances (n,), int64, of `nearest` of all of some templates, in their order."""
    # For bits a and b, a XOR b = a + b - 2ab; sums of so few are exact in float32.
    bits = np.unpackbits(signs, axis=1, count=layout.size).astype(np.float32)
    rotated = _rotated_signs(probe, layout, wide).astype(np.float32)
    common = (bits @ rotated.T).max(axis=1)
    return (bits.sum(axis=1) + rotated[0].sum() - 2.0 * common).astype(np.int64)


def _rotated_signs(probe: np.ndarray, layout: PhaseCodeLayout, wide: bool) -> np.ndarray:
    """Signs (rotations, size), 0 or 1, of a probe's code at the rotations that are sought."""
    [bits] = np.unpackbits(phase_signs(probe[None]), axis=1, count=layout.size)
    rotations = layout.wide_rotations if wide else layout.rotations
    column = layout.size // layout.columns
    return np.stack([np.roll(bits, by * column) for by in rotations])


def merge(rows: np.ndarray, distances: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of several lists of rows, each row once, at its least distance.

    Parameters
    ----------
    rows, distances : ndarray of shape (n,), int64
        All lists, one after the other.
    count : int
        How many are wanted.

    Returns
    -------
    rows, distances : ndarray of shape (count or fewer,), int64
        As of `nearest`.
    """
    order = np.lexsort((rows, distances))
    rows, distances = rows[order], distances[order]
    first = np.sort(np.unique(rows, return_index=True)[1])[:count]
    return rows[first], distances[first]


def _faiss():  # type: ignore[no-untyped-def]  # a module
    try:
        import faiss
    except ModuleNotFoundError:
        raise ModelError(
            "Searching a large gallery needs faiss, which is not installed; install the package "
            "with the extra gallery, iris_tf[gallery], or have every template compared (`exact`)."
        ) from None
    return faiss
