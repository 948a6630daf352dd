"""Encrypted files and records: AES-256-GCM with a data key of their own (envelope encryption).

A file's content is encrypted with a data key that no other file has. The data key lies in the
file, itself encrypted (wrapped) with the key of the user. Changing the user's key therefore means
wrapping the data key again, whatever the size of the content. It does not help against somebody
who has both the old key and an old copy of the file.

A sealed file consists of, with integers in big-endian order,

1. 8 bytes ``IRTFSEAL``, one byte version (1), three bytes 0,
2. the length of the header (4 bytes) and of the content (8 bytes),
3. the header: a JSON object of texts, which is not secret,
4. the wrapped data key: 8 bytes identifier of the user's key, 12 bytes nonce, 48 bytes data key and
   authentication tag,
5. the content: 12 bytes nonce, the content, 16 bytes authentication tag.

Parts 1 to 3 are authenticated together with the content. Nonces of 96 bits are random and each data
key encrypts one content, or records far below 2^32, where random nonces are safe (NIST SP 800-38D).
"""

import json
import os
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from iris_tf.matching.secret_keys import SecretKey
from iris_tf.support.errors import ProtectionError
from iris_tf.support.files import atomic_path

CIPHER = "AES-256-GCM"

_MAGIC = b"IRTFSEAL\x01\0\0\0"
_LENGTHS = struct.Struct(">IQ")
_FIXED = len(_MAGIC) + _LENGTHS.size
_NONCE, _TAG, _KEY, _KEY_ID = 12, 16, 32, 8
_WRAPPED = _KEY_ID + _NONCE + _KEY + _TAG
_MOST_HEADER = 2**16
_MOST_CONTENT = 2**31 - 2**12  # bytes that OpenSSL encrypts at once
_PURPOSE = "encryption of files"


def encryption_id(key: SecretKey) -> str:
    """Public identifier of a user's key, as encrypted files store it."""
    return key.id(_PURPOSE)


@dataclass(frozen=True, eq=False, repr=False)
class DataKey:
    """The key of one file, or of one gallery folder.

    Parameters
    ----------
    secret : bytes
        32 random bytes.
    """

    secret: bytes

    @classmethod
    def new(cls) -> "DataKey":
        """Draw a data key."""
        return cls(secrets.token_bytes(_KEY))

    @classmethod
    def unwrap(cls, wrapped: bytes, key: SecretKey, where: str) -> "DataKey":
        """Recover a data key from what `wrap` returned.

        Parameters
        ----------
        wrapped : bytes
        key : SecretKey
        where : str
            What it was read from, for the message.

        Raises
        ------
        ProtectionError
            When another key wrapped it, or it was changed.
        """
        theirs, ours = wrapped_by(wrapped), encryption_id(key)
        if theirs != ours:
            raise ProtectionError(
                f"{where}: it is encrypted with the key {theirs}, but the key given is {ours}; "
                "give the key that it was encrypted with."
            )
        kek, identifier = key.derive(_PURPOSE), wrapped[:_KEY_ID]
        return cls(_open(kek, wrapped[_KEY_ID:], identifier, where))

    def wrap(self, key: SecretKey) -> bytes:
        """The data key, encrypted with a user's key (68 bytes)."""
        identifier = bytes.fromhex(encryption_id(key))
        return identifier + _seal(key.derive(_PURPOSE), self.secret, identifier)

    def derive(self, purpose: str) -> bytes:
        """Derive a key (32 bytes) for some of what is encrypted (HKDF with SHA-256)."""
        info = f"iris_tf {purpose}".encode()
        return HKDF(SHA256(), _KEY, salt=None, info=info).derive(self.secret)

    def seal(self, content: bytes, associated: bytes) -> bytes:
        """Encrypt and authenticate a record.

        Parameters
        ----------
        content : bytes
        associated : bytes
            What is authenticated with it and must be given again to `open`: that which tells the
            record from others, so that records cannot be exchanged.

        Returns
        -------
        bytes
            28 more than `content`.
        """
        return _seal(self.secret, content, associated)

    def open(self, sealed: bytes, associated: bytes, where: str) -> bytes:
        """Decrypt what `seal` returned.

        Raises
        ------
        ProtectionError
            When it, or `associated`, was changed; names `where` it was read from.
        """
        return _open(self.secret, sealed, associated, where)


def wrapped_by(wrapped: bytes) -> str:
    """Identifier of the user's key that wrapped a data key."""
    return wrapped[:_KEY_ID].hex()


def is_sealed(path: Path) -> bool:
    """Whether a file begins as sealed files do, whatever their version."""
    with open(path, "rb") as file:
        return file.read(8) == _MAGIC[:8]


class SealedHeader(NamedTuple):
    """What a sealed file says without a key.

    It is authenticated when the content is opened, not before.

    Attributes
    ----------
    header : dict of str to str
    key_id : str
        Identifier of the user's key.
    """

    header: dict[str, str]
    key_id: str


def write_sealed(
    path: Path, header: Mapping[str, str], content: bytes | memoryview, key: SecretKey
) -> None:
    """Write an encrypted file with mode 0600, whole or not at all.

    Parameters
    ----------
    path : Path
    header : mapping of str to str
        What can be read without the key.
    content : bytes-like
    key : SecretKey
        Of the user.

    Raises
    ------
    ProtectionError
        When the content is larger than 2 GiB, which cannot be encrypted at once.
    """
    if len(content) > _MOST_CONTENT:
        raise ProtectionError(
            f"{path}: {len(content):,} bytes cannot be encrypted in one file; divide the gallery."
        )
    data_key, text = DataKey.new(), json.dumps(dict(header), sort_keys=True).encode()
    prefix = _MAGIC + _LENGTHS.pack(len(text), len(content)) + text
    sealed = _seal(data_key.secret, content, prefix)
    with atomic_path(path, private=True) as temporary:
        _write(temporary, prefix, data_key.wrap(key), sealed)


def read_header(path: Path) -> SealedHeader:
    """Read what a sealed file says without a key.

    Raises
    ------
    ProtectionError
        When it is damaged.
    """
    with open(path, "rb") as file:
        _, header, _ = _read_prefix(file, path)
        return SealedHeader(header, wrapped_by(_exactly(file, _WRAPPED, path)))


def read_sealed(path: Path, key: SecretKey | None) -> tuple[dict[str, str], bytes]:
    """Read an encrypted file.

    Returns
    -------
    header : dict of str to str
        Authenticated.
    content : bytes

    Raises
    ------
    ProtectionError
        When no key or another one is given, or the file was changed or is incomplete.
    """
    with open(path, "rb") as file:
        prefix, header, length = _read_prefix(file, path)
        wrapped = _exactly(file, _WRAPPED, path)
        if key is None:
            raise ProtectionError(
                f"{path}: it is encrypted with the key {wrapped_by(wrapped)}; give that key."
            )
        data_key = DataKey.unwrap(wrapped, key, str(path))
        sealed = _exactly(file, _NONCE + length + _TAG, path)
        if file.read(1):
            raise _changed(path)
    return header, data_key.open(sealed, prefix, str(path))


def rewrap(path: Path, old: SecretKey, new: SecretKey) -> bool:
    """Make an encrypted file open with another key, whole or not at all.

    Parameters
    ----------
    path : Path
        An encrypted file. Its content is not decrypted, nor written with another data key.
    old, new : SecretKey
        The key that it is encrypted with, and the one that it will be.

    Returns
    -------
    bool
        False if it was encrypted with `new` already, as where an earlier rotation was interrupted.

    Raises
    ------
    ProtectionError
        When it is encrypted with neither key, or was changed or is incomplete.
    """
    with open(path, "rb") as file:
        prefix, _, length = _read_prefix(file, path)
        wrapped = _exactly(file, _WRAPPED, path)
        if wrapped_by(wrapped) == encryption_id(new):
            DataKey.unwrap(wrapped, new, str(path))
            return False
        data_key = DataKey.unwrap(wrapped, old, str(path))
        sealed = _exactly(file, _NONCE + length + _TAG, path)
    with atomic_path(path, private=True) as temporary:
        _write(temporary, prefix, data_key.wrap(new), sealed)
    return True


def _read_prefix(file: BinaryIO, path: Path) -> tuple[bytes, dict[str, str], int]:
    """The authenticated beginning, the header in it, and the length of the content."""
    fixed = _exactly(file, _FIXED, path)
    if not fixed.startswith(_MAGIC):
        raise ProtectionError(
            f"{path}: it is encrypted in a way that this version cannot read; use the version that "
            "wrote it."
        )
    header_length, length = _LENGTHS.unpack_from(fixed, len(_MAGIC))
    # Checked before anything is allocated: the lengths are not authenticated yet.
    rest = os.fstat(file.fileno()).st_size - _FIXED - header_length - _WRAPPED - _NONCE - _TAG
    if header_length > _MOST_HEADER or length > _MOST_CONTENT or length < rest:
        raise _changed(path)
    if length > rest:
        raise _incomplete(path)
    text = _exactly(file, header_length, path)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise _changed(path) from None
    if not isinstance(header, dict) or not all(isinstance(v, str) for v in header.values()):
        raise _changed(path)
    return fixed + text, header, length


def _exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    found = file.read(size)
    if len(found) != size:
        raise _incomplete(path)
    return found


def _seal(key: bytes, content: bytes | memoryview, associated: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, associated)


def _open(key: bytes, sealed: bytes, associated: bytes, where: str) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], associated)
    except (InvalidTag, ValueError):
        raise _changed(where) from None


def _write(path: Path, *parts: bytes) -> None:
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _changed(where: Path | str) -> ProtectionError:
    return ProtectionError(
        f"{where}: it was changed or damaged since it was encrypted; restore it from a copy."
    )


def _incomplete(path: Path) -> ProtectionError:
    return ProtectionError(
        f"{path}: the end of the encrypted file is missing; restore it from a copy."
    )
