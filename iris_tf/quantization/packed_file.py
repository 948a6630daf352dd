"""The ``.irq`` file: weights at their own width, with everything that the network needs to run.

Layout, all numbers little-endian: ``IRQ1``; length of the header, uint32; the header, JSON
compressed by zlib; the sections that it names, one after the other; SHA-256 of all before it.
"""

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iris_tf.support.errors import ModelError, first_line
from iris_tf.support.files import atomic_path
from iris_tf.support.foreign_files import UNUSABLE, parse_json

PACKED_SUFFIX = ".irq"

_MAGIC = b"IRQ1"
_LENGTH = struct.Struct("<I")
_DIGEST = hashlib.sha256().digest_size
_LARGEST_FILE = 2**30  # bytes; a ResNet-50 at 8 bits has 24 MiB
_LARGEST_HEADER = 64 * 2**20  # bytes; that of a ResNet-50 has 0.2 MiB


@dataclass(frozen=True)
class PackedFile:
    """Content of a file.

    Attributes
    ----------
    header : dict
        JSON values: graph configuration, names and shapes.
    sections : dict of str to bytes
        In the order of the file.
    """

    header: dict[str, Any]
    sections: dict[str, bytes]

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        sizes = {name: len(section) for name, section in self.sections.items()}
        header = zlib.compress(json.dumps({**self.header, "sections": sizes}).encode(), 9)
        content = b"".join([_MAGIC, _LENGTH.pack(len(header)), header, *self.sections.values()])
        with atomic_path(path) as temporary:
            temporary.write_bytes(content + hashlib.sha256(content).digest())

    @classmethod
    def read(cls, path: Path) -> "PackedFile":
        """Read a file and check that it is whole.

        Raises
        ------
        ModelError
            If the file is missing, of another kind, truncated or changed.
        """
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise ModelError(
                    f"{path}: has more than {_LARGEST_FILE:,} bytes, which no {PACKED_SUFFIX} file "
                    "of this program has; check the path."
                )
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{path}: cannot be read ({error.strerror}); check the path."
            ) from None
        if content[:4] != _MAGIC:
            raise ModelError(
                f"{path}: this is not an {PACKED_SUFFIX} file of this version; give one from "
                "`iris_tf.quantization.packed_model.pack_model`."
            )
        body, digest = content[:-_DIGEST], content[-_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            raise ModelError(
                f"{path}: its checksum does not fit, so it was truncated or changed; copy it again."
            )
        try:
            return cls._from_body(body)
        except (*UNUSABLE, struct.error, zlib.error) as error:
            raise ModelError(
                f"{path}: its content is not that of a packed network ({first_line(error)}); make "
                "it again with `iris_tf.quantization.packed_model.pack_model`."
            ) from None

    @classmethod
    def _from_body(cls, body: bytes) -> "PackedFile":
        start = len(_MAGIC) + _LENGTH.size
        (length,) = _LENGTH.unpack_from(body, len(_MAGIC))
        decoder = zlib.decompressobj()
        text = decoder.decompress(body[start : start + length], _LARGEST_HEADER)
        header = parse_json(text)
        sections, start = {}, start + length
        for name, size in header.pop("sections").items():
            sections[name] = body[start : start + size]
            start += size
        if start != len(body):
            raise ValueError("sections and length differ")
        return cls(header, sections)
