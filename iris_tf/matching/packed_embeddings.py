"""Embeddings with a phase code in few bits, as templates store them.

A complex response of a phase code takes six bits: one of 63 points on four rings around zero, or
hidden. The points lie about as far from each other as the rings do (amplitude and phase shift
keying), which costs phases of faint responses, that count little, rather than those of strong ones.
Entries of the learned component take eight bits.
"""

import math

import numpy as np

from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_PHASES = np.array([6, 12, 18, 27])  # points of each ring; with "hidden", 64
_RINGS = len(_PHASES)
_FIRST = 1 + np.concatenate([[0], np.cumsum(_PHASES)[:-1]])  # number of each ring's first point
_RING_OF = np.repeat(np.arange(_RINGS), _PHASES)
_TURNS = (np.arange(1, 64) - _FIRST[_RING_OF] + 0.5) / _PHASES[_RING_OF]
_POINTS = np.concatenate([[0.0], (_RING_OF + 1) / _RINGS * np.exp(2j * np.pi * _TURNS)])
_BITS = 6
_LEARNED_MOST = 127  # of int8
_SHARE_MOST, _SHARE_BYTES = 2**16 - 1, 2  # of uint16


def packed_size(embedding_size: int, layout: PhaseCodeLayout) -> int:
    """Bytes of a packed embedding."""
    return _SHARE_BYTES + embedding_size - layout.size + _code_bytes(layout)


def pack(embeddings: np.ndarray, layout: PhaseCodeLayout) -> np.ndarray:
    """Round embeddings to few bits.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D), float
        Unit vectors.
    layout : PhaseCodeLayout
        Of their phase codes, whose entries are real and imaginary parts in turn.

    Returns
    -------
    ndarray of shape (n, `packed_size`), uint8
        Length of the learned component (two bytes, little endian, 65535 for 1), its entries
        relative to the largest (int8, 127 for 1), and the number of each response's point (six
        bits, the highest first).
    """
    embeddings = np.asarray(embeddings, np.float64)
    learned, codes = embeddings[:, : -layout.size], embeddings[:, -layout.size :]
    share = np.rint(np.linalg.norm(learned, axis=1, keepdims=True) * _SHARE_MOST)
    largest = np.abs(learned).max(axis=1, initial=np.finfo(float).tiny, keepdims=True)
    entries = np.rint(learned / largest * _LEARNED_MOST).astype(np.int8)
    points = _points(codes[:, 0::2] + 1j * codes[:, 1::2])
    bits = np.unpackbits(points[..., None], axis=2)[..., -_BITS:]
    parts = share.clip(0, _SHARE_MOST).astype("<u2").view(np.uint8), entries.view(np.uint8)
    return np.concatenate([*parts, np.packbits(bits.reshape(len(codes), -1), axis=1)], axis=1)


def unpack(packed: np.ndarray, layout: PhaseCodeLayout) -> np.ndarray:
    """Unit vectors (n, D), float32, from what `pack` returned; packed again they are the same.

    Raises
    ------
    ValueError
        When rows are too short, or say nothing of one component.
    """
    size = packed.shape[1] - packed_size(layout.size, layout)
    if size < 0:
        raise ValueError("too few bytes for an embedding")
    packed = np.ascontiguousarray(packed)
    share = np.ascontiguousarray(packed[:, :_SHARE_BYTES]).view("<u2") / _SHARE_MOST
    learned = packed[:, _SHARE_BYTES : _SHARE_BYTES + size].view(np.int8).astype(np.float64)
    bits = np.unpackbits(packed[:, _SHARE_BYTES + size :], axis=1, count=layout.size // 2 * _BITS)
    values = bits.reshape(len(packed), -1, _BITS) @ (1 << np.arange(_BITS)[::-1])
    codes = np.ascontiguousarray(_POINTS[values]).view(np.float64)
    lengths = share, np.sqrt(1.0 - share**2)
    return np.concatenate(
        [_scaled(part, to) for part, to in zip((learned, codes), lengths, strict=True)], axis=1
    ).astype(np.float32)


def can_pack(layout: PhaseCodeLayout) -> bool:
    """Whether embeddings of a layout can be packed: they have a code of complex responses."""
    return layout.size % 2 == 0


def _code_bytes(layout: PhaseCodeLayout) -> int:
    return math.ceil(layout.size // 2 * _BITS / 8)


def _points(responses: np.ndarray) -> np.ndarray:
    """Number of the point next to each response (n, places), uint8; 0 where it is hidden."""
    amplitudes = np.abs(responses)
    largest = amplitudes.max(axis=1, initial=np.finfo(float).tiny, keepdims=True)
    ring = np.rint(amplitudes / largest * _RINGS).astype(int).clip(1, _RINGS) - 1
    turns = np.angle(responses) / (2.0 * np.pi) % 1.0
    phase = np.minimum(np.floor(turns * _PHASES[ring]).astype(int), _PHASES[ring] - 1)
    return np.where(amplitudes > 0.0, _FIRST[ring] + phase, 0).astype(np.uint8)


def _scaled(parts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Vectors (n, d) at the lengths (n, 1) that are asked for."""
    found = np.linalg.norm(parts, axis=1, keepdims=True)
    if ((found == 0.0) & (lengths > 0.0)).any():
        raise ValueError("a component is missing")
    return parts * (lengths / np.where(found > 0.0, found, 1.0))
