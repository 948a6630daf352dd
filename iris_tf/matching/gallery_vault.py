"""Encryption of gallery folders: rows are encrypted one by one, so that one can be changed alone.

A gallery has a data key, which lies in its journal, encrypted with the key of the user. Each file
of rows has a key of its own, derived from the data key and the name of the file, in which there is
the number of the generation; the number of a row is authenticated with the row. So no row can be
read, changed, moved, or taken from another file without the key.
"""

import hmac
import json
import secrets
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from iris_tf.matching.row_file import DamagedRowsError, RowFile
from iris_tf.matching.sealed_files import DataKey

_NONCE, _TAG = 12, 16
_SLOT = struct.Struct(">Q")
_DIGEST_SIZE = 16  # bytes, of names


class RowCipher:
    """Encrypts and authenticates rows with one key, each together with its number.

    Nonces are random, which is safe for 2^32 rows (NIST SP 800-38D).

    Parameters
    ----------
    key : bytes
        32 bytes.
    name : str
        What the rows are, for messages.
    """

    overhead = _NONCE + _TAG
    """Bytes that a row gains."""

    def __init__(self, key: bytes, name: str):
        self._cipher, self._name = AESGCM(key), name

    def seal(self, content: bytes, slot: int) -> bytes:
        """Encrypt a row."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, content, _SLOT.pack(slot))

    def open(self, sealed: bytes, slot: int) -> bytes:
        """Decrypt a row.

        Raises
        ------
        DamagedRowsError
            When it was changed, or sealed as another row.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _SLOT.pack(slot))
        except (InvalidTag, ValueError):
            raise DamagedRowsError(
                f"row {slot} of {self._name} was changed since it was encrypted"
            ) from None


class SealedRowFile(RowFile):
    """Rows that are encrypted in their file; erased ones are zeros there, too.

    Parameters
    ----------
    path : Path
    size : int
        Bytes of a row before encryption.
    cipher : RowCipher
    """

    def __init__(self, path: Path, size: int, cipher: RowCipher):
        super().__init__(path, size + cipher.overhead)
        self._content_size, self._cipher = size, cipher

    def append(self, rows: np.ndarray, start: int) -> None:
        """See `RowFile.append`."""
        sealed = b"".join(
            self._cipher.seal(row.tobytes(), slot) for slot, row in enumerate(rows, start)
        )
        super().append(np.frombuffer(sealed, np.uint8), start)

    def take(self, slots: np.ndarray, count: int) -> np.ndarray:
        """See `RowFile.take`."""
        found = self.rows(count)[slots]
        there = found.any(axis=1)
        rows = np.zeros((len(slots), self._content_size), np.uint8)
        for number in np.flatnonzero(there).tolist():
            row = self._cipher.open(found[number].tobytes(), int(slots[number]))
            rows[number] = np.frombuffer(row, np.uint8)
        return rows


class GalleryVault:
    """Keys of one gallery folder.

    Parameters
    ----------
    data_key : DataKey
    """

    def __init__(self, data_key: DataKey):
        self._data_key = data_key
        self._digests = data_key.derive("digests of names")
        self._states = data_key.derive("states of the journal")

    def cipher(self, name: str) -> RowCipher:
        """Encrypts the rows of one name and generation, such as ``"records-000001"``."""
        return RowCipher(self._data_key.derive(f"rows of {name}"), name)

    def digest(self, *texts: str) -> bytes:
        """What stands for texts where equal ones must be found (16 bytes)."""
        return _mac(self._digests, texts)[:_DIGEST_SIZE]

    def seal_of(self, state: Sequence[Any]) -> bytes:
        """What authenticates the state of a journal (32 bytes)."""
        return _mac(self._states, state)


def _mac(key: bytes, values: Sequence[Any]) -> bytes:
    return hmac.digest(key, json.dumps(values, default=repr).encode(), "sha256")
