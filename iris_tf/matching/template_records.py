"""Templates as records of a fixed number of bytes, for files that are mapped into memory."""

import dataclasses
import zlib
from dataclasses import dataclass

import numpy as np

from iris_tf.matching.row_file import DamagedRowsError
from iris_tf.matching.template import Origin, unit
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_CHECKSUM = np.dtype("<u4")


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
    """

    origin: Origin
    embedding_size: int
    layout: PhaseCodeLayout | None

    def with_origin(self, origin: Origin) -> "TemplateKind":
        """The same templates with another origin, such as under a keyed transform."""
        return dataclasses.replace(self, origin=origin)


class TemplateRecords:
    """Turns templates of one kind into records and back.

    A record is the embedding, each entry rounded to float16, and a checksum (CRC-32, little
    endian), so that a damaged record is not taken for another eye. A record of zeros is one that
    was erased.

    Parameters
    ----------
    kind : TemplateKind

    Attributes
    ----------
    size : int
        Bytes of a record.
    """

    name = "float16"
    """Name of this encoding in the journals of galleries."""

    def __init__(self, kind: TemplateKind):
        self._payload = 2 * kind.embedding_size
        self.size = self._payload + _CHECKSUM.itemsize

    def encode(self, embeddings: np.ndarray) -> np.ndarray:
        """Records (n, size), uint8, of unit vectors (n, D)."""
        records = np.empty((len(embeddings), self.size), np.uint8)
        records[:, : self._payload] = np.asarray(embeddings, "<f2").view(np.uint8)
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
        embeddings = np.ascontiguousarray(records[:, : self._payload]).view("<f2")
        return unit(embeddings)

    def _checksums(self, records: np.ndarray) -> np.ndarray:
        found = (zlib.crc32(record[: self._payload]) for record in records)
        return np.fromiter(found, _CHECKSUM, len(records))
