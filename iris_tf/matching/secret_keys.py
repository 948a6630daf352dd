"""Secret keys: where they come from, and what is derived from them."""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from iris_tf.support.errors import OutputError, ProtectionError
from iris_tf.support.files import atomic_path, path_given

KEY_VARIABLE = "IRIS_TF_KEY"
"""Environment variable with the key of encrypted files, 64 hexadecimal digits."""

KEYRING = "keyring:"
"""What the name of a key in the keyring of the system begins with, where a file could be named."""

_SERVICE = "iris_tf"  # under which keys lie in the keyring
_SIZE = 32  # bytes of a key
_ID_SIZE = 8  # bytes of a public identifier
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HOW_TO_MAKE = "make one with `iris-tf gallery key`"


@dataclass(frozen=True, eq=False, repr=False)
class SecretKey:
    """A secret of 256 bits, from which the keys of each purpose are derived.

    Knowing what was derived for one purpose says nothing about another (HKDF, RFC 5869), so a
    key that serves two purposes by mistake weakens neither. Keys have no representation as text,
    so that none gets into a log.

    Parameters
    ----------
    secret : bytes
        32 random bytes.

    Raises
    ------
    ProtectionError
        When it is not 32 bytes.
    """

    secret: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != _SIZE:
            raise ProtectionError(f"A key has {_SIZE} bytes; {_HOW_TO_MAKE}.")

    @classmethod
    def new(cls) -> "SecretKey":
        """Draw a key."""
        return cls(secrets.token_bytes(_SIZE))

    @classmethod
    def read(cls, path: str | Path) -> "SecretKey":
        """Read a key file: 64 hexadecimal digits, readable by its owner alone.

        Raises
        ------
        ProtectionError
            When there is no such file, others may read it, or it holds no key.
        """
        path = path_given(path, "The key file")
        if not path.is_file():
            raise ProtectionError(f"{path}: there is no such key file; {_HOW_TO_MAKE}.")
        with open(path, "rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & _OTHERS:
                raise ProtectionError(
                    f"{path}: others than its owner may read or change this key file; make it "
                    f"private with `chmod 600 {path}`, and take another key if somebody may have "
                    "read it."
                )
            return cls._of_text(file.read(4 * _SIZE).decode("ascii", "replace"), str(path))

    @classmethod
    def from_environment(cls) -> "SecretKey | None":
        """The key in the environment variable `KEY_VARIABLE`; None if it is not set or empty."""
        text = os.environ.get(KEY_VARIABLE)
        return cls._of_text(text, f"The environment variable {KEY_VARIABLE}") if text else None

    @classmethod
    def in_keyring(cls, name: str) -> "SecretKey":
        """The key of a name in the keyring of the system, by the optional package ``keyring``.

        Raises
        ------
        ProtectionError
            When the package is missing, the keyring cannot be opened, or has no such key.
        """
        with _keyring() as keyring:
            text = keyring.get_password(_SERVICE, name)
        if text is None:
            raise ProtectionError(
                f"The keyring has no key {name!r} of iris_tf; make one with `iris-tf gallery key "
                f"{KEYRING}{name}`."
            )
        return cls._of_text(text, f"The key {name!r} in the keyring")

    @classmethod
    def _of_text(cls, text: str, where: str) -> "SecretKey":
        try:
            return cls(bytes.fromhex(text.strip()))
        except (ValueError, ProtectionError):
            raise ProtectionError(
                f"{where}: holds no key of {2 * _SIZE} hexadecimal digits; {_HOW_TO_MAKE}."
            ) from None

    def save(self, where: str | Path) -> None:
        """Write a new key file with mode 0600, or a key of the keyring (``keyring:NAME``).

        Raises
        ------
        OutputError
            When there is such a file or key already: what it encrypts would be lost with it.
        ProtectionError
            When the keyring cannot be used.
        """
        taken = OutputError(
            f"{where}: there is a key already, and what it encrypts could never be read again; "
            "choose another name."
        )
        if isinstance(where, str) and where.startswith(KEYRING):
            name = where.removeprefix(KEYRING)
            with _keyring() as keyring:
                if keyring.get_password(_SERVICE, name) is not None:
                    raise taken
                keyring.set_password(_SERVICE, name, self.secret.hex())
            return
        path = path_given(where, "The key file")
        if path.exists():
            raise taken
        with atomic_path(path, private=True) as temporary:
            temporary.write_text(self.secret.hex() + "\n", "ascii")

    def derive(self, purpose: str, size: int = _SIZE) -> bytes:
        """Derive bytes for a purpose (HKDF with SHA-256)."""
        info = f"iris_tf {purpose}".encode()
        return HKDF(SHA256(), size, salt=None, info=info).derive(self.secret)

    def id(self, purpose: str) -> str:
        """Public identifier of what is derived for a purpose: 16 hexadecimal digits."""
        return self.derive(f"identifier of {purpose}", _ID_SIZE).hex()


@contextlib.contextmanager
def _keyring() -> Iterator[Any]:
    try:
        import keyring
    except ModuleNotFoundError:
        raise ProtectionError(
            "Keys in the keyring of the system need the package keyring; install it, or keep the "
            f"key in a file or in the environment variable {KEY_VARIABLE}."
        ) from None
    try:
        yield keyring
    except keyring.errors.KeyringError as error:
        raise ProtectionError(
            f"The keyring of the system cannot be used ({type(error).__name__}); unlock it, or "
            f"keep the key in a file or in the environment variable {KEY_VARIABLE}."
        ) from None


KeyGiven: TypeAlias = SecretKey | str | Path | None
"""A key, the path of its file, ``keyring:NAME`` for one in the keyring, or None for none."""


def key_or_none(key: KeyGiven) -> SecretKey | None:
    """The key that was given, or None.

    Raises
    ------
    ArgumentError
        When it is neither a key nor says where one is.
    ProtectionError
        When there is no usable key where it says.
    """
    if key is None or isinstance(key, SecretKey):
        return key
    if isinstance(key, str) and key.startswith(KEYRING):
        return SecretKey.in_keyring(key.removeprefix(KEYRING))
    return SecretKey.read(key)
