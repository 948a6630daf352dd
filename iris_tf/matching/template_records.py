"""Templates as records of a fixed number of bytes, for files that are mapped into memory."""

import dataclasses
import zlib
from dataclasses import dataclass, field

import numpy as np

from iris_tf.matching.row_file import DamagedRowsError
from iris_tf.matching.template import Origin, unit
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import Levelling

_CHECKSUM = np.dtype("<u4")
_SCALE = np.dtype("<f4")
_DIRECTIONS, _LENGTHS = 16, 15  # of a complex response; 0 is a hidden one
_DECODED = 64  # records at a time, such that all of it stays in a processor's cache
_MOST = 127  # of an entry of the learned component


@dataclass(frozen=True)
class TemplateKind:
    """What templates a gallery holds; all of them are alike.

    Attributes
    ----------
    origin : Origin
        Model and calibration that computed them.
    embedding_size : int
        Numbers in an embedding.
    layout : PhaseCodeLayout or None
        Where their phase code lies; None without one.
    levelling : Levelling or None
        How phase codes are levelled before they are compared. What scores need to know of each is
        kept for these; a matcher that levels otherwise computes it again.
    """

    origin: Origin
    embedding_size: int
    layout: PhaseCodeLayout | None
    levelling: Levelling | None = field(default=None, compare=False)

    def with_origin(self, origin: Origin) -> "TemplateKind":
        """The same templates with another origin, such as under a keyed transform."""
        # Before a transform, codes are levelled in a way of its own.
        levelling = None if origin.transform else self.levelling
        return dataclasses.replace(self, origin=origin, levelling=levelling)


class TemplateRecords:
    """Turns templates of one kind into records and back.

    A record has, in this order: the learned component, each entry rounded to one of 255 steps; the
    phase code, each complex response rounded to 16 directions and 15 lengths, or hidden, in one
    byte; the steps of both, float32; and a checksum (CRC-32), so that a damaged record is not taken
    for another eye. A record of zeros is one that was erased. All is little endian.

    Parameters
    ----------
    kind : TemplateKind

    Attributes
    ----------
    size : int
        Bytes of a record.
    """

    name = "polar8"
    """Name of this encoding in the journals of galleries."""

    def __init__(self, kind: TemplateKind):
        code_size = kind.layout.size if kind.layout else 0
        self._learned, self._responses = kind.embedding_size - code_size, code_size // 2
        self._entries = self._learned + self._responses
        self._payload = self._entries + 2 * _SCALE.itemsize
        self.size = self._payload + _CHECKSUM.itemsize

    def encode(self, embeddings: np.ndarray) -> np.ndarray:
        """Records (n, size), uint8, of unit vectors (n, D)."""
        embeddings = np.ascontiguousarray(embeddings, np.float32)
        responses = np.ascontiguousarray(embeddings[:, self._learned :]).view(np.complex64)
        lengths = np.abs(responses)
        learned = embeddings[:, : self._learned]
        steps = np.empty((len(embeddings), 2), _SCALE)
        steps[:, 0] = _step(np.abs(learned), _MOST)
        steps[:, 1] = _step(lengths, _LENGTHS)
        records = np.empty((len(embeddings), self.size), np.uint8)
        records[:, : self._learned] = np.rint(learned / steps[:, :1]).astype(np.int8).view(np.uint8)
        records[:, self._learned : self._entries] = _polar(responses, lengths / steps[:, 1:])
        records[:, self._entries : self._payload] = steps.view(np.uint8)
        records[:, self._payload :] = self._checksums(records).view(np.uint8).reshape(-1, 4)
        return records

    def decode(self, records: np.ndarray) -> np.ndarray:
        """Unit vectors (n, D), float32, of records (n, size), none of which was erased.

        Raises
        ------
        DamagedRowsError
            When the checksum of a record is wrong.
        """
        records = np.ascontiguousarray(records)
        stated = np.ascontiguousarray(records[:, self._payload :]).view(_CHECKSUM)[:, 0]
        if not np.array_equal(stated, self._checksums(records)):
            raise DamagedRowsError("the checksum of a template is wrong")
        embeddings = np.empty((len(records), self._learned + 2 * self._responses), np.float32)
        for start in range(0, len(records), _DECODED):
            part = slice(start, start + _DECODED)
            embeddings[part] = self._decoded(records[part])
        return embeddings

    def _decoded(self, records: np.ndarray) -> np.ndarray:
        steps = np.ascontiguousarray(records[:, self._entries : self._payload]).view(_SCALE)
        learned = records[:, : self._learned].view(np.int8) * steps[:, :1]
        responses = _OF_BYTE[records[:, self._learned : self._entries]] * steps[:, 1:]
        return unit(np.concatenate([learned, responses.view(np.float32)], axis=1))

    def _checksums(self, records: np.ndarray) -> np.ndarray:
        found = (zlib.crc32(record[: self._payload]) for record in records)
        return np.fromiter(found, _CHECKSUM, len(records))


def _step(sizes: np.ndarray, count: int) -> np.ndarray:
    """Step (n,) at which the largest of sizes (n, m) is `count` of them; 1 where all are 0."""
    largest = sizes.max(axis=1, initial=0.0)
    return np.where(largest > 0.0, largest / count, 1.0)


def _polar(responses: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Bytes (n, m) of complex responses, whose lengths are given in steps."""
    # Nothing that is not hidden becomes hidden by rounding: what can be compared stays the same.
    length = np.where(lengths > 0.0, np.clip(np.rint(lengths), 1, _LENGTHS), 0).astype(np.uint8)
    turns = np.arctan2(responses.imag, responses.real) * np.float32(0.5 / np.pi)
    # Between directions lie the axes, so that no entry changes its sign.
    direction = np.floor(turns * _DIRECTIONS).astype(np.int8).view(np.uint8) % _DIRECTIONS
    return length * _DIRECTIONS + np.where(length > 0, direction, 0)


def _of_byte() -> np.ndarray:
    length, direction = np.divmod(np.arange(256), _DIRECTIONS)
    angle = (direction + 0.5) * (2.0 * np.pi / _DIRECTIONS)
    return (length * np.exp(1j * angle)).astype(np.complex64)


_OF_BYTE = _of_byte()
