"""What files of templates and galleries say of themselves: encrypted or not, by whom they may be
read, which model made them; and how plain ones are encrypted."""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from iris_tf.matching.gallery_folder import GalleryFolder, is_gallery_folder
from iris_tf.matching.gallery_journal import JOURNAL, Journal
from iris_tf.matching.sealed_files import (
    CIPHER,
    encryption_id,
    is_sealed,
    read_header,
    read_sealed,
    rewrap,
    wrapped_by,
    write_sealed,
)
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import Origin, origin_of
from iris_tf.matching.template_records import TemplateRecords
from iris_tf.support.errors import IrisTfError, ModelError, ProtectionError

_KINDS = ("template", "gallery")


@dataclass(frozen=True)
class FileProtection:
    """How a file of templates is protected, as can be told without a key.

    Attributes
    ----------
    path : Path
    kind : str
        ``"template"``, ``"gallery"`` or ``"gallery folder"``.
    origin : Origin
        Model, calibration and keyed transform. Of an encrypted file it is authenticated only when
        the file is read with its key.
    cipher : str
        ``"AES-256-GCM"``, or ``""`` of a plain file.
    key_id : str
        Identifier of the key that it is encrypted with, or ``""``.
    mode : int
        Permissions, such as 0o600, or 0o700 of a folder.
    """

    path: Path
    kind: str
    origin: Origin
    cipher: str
    key_id: str
    mode: int

    @classmethod
    def of(cls, path: Path) -> "FileProtection":
        """Look at a file, or at a gallery folder.

        Raises
        ------
        ModelError
            When it is no file of templates.
        ProtectionError
            When it is encrypted and damaged.
        """
        mode = stat.S_IMODE(path.stat().st_mode)
        if is_gallery_folder(path):
            journal = Journal(path)
            origin, wrapped = journal.kind(TemplateRecords.name).origin, journal.sealed_data_key()
            cipher, key_id = (CIPHER, wrapped_by(wrapped)) if wrapped else ("", "")
            return cls(path, "gallery folder", origin, cipher, key_id, mode)
        if not is_sealed(path):
            kind, origin = origin_of(path)
            return cls(path, kind, origin, "", "", mode)
        header, key_id = read_header(path)
        texts = {field.name: header.get(field.name, "") for field in fields(Origin)}
        return cls(path, header.get("kind", ""), Origin(**texts), CIPHER, key_id, mode)

    @property
    def others_may_read(self) -> bool:
        """Whether the permissions let others than the owner read it."""
        return bool(self.mode & (stat.S_IRGRP | stat.S_IROTH))


def files_of_templates(paths: Iterable[Path]) -> Iterator[Path]:
    """The files and gallery folders that are given, and those in the folders that are given.

    Raises
    ------
    ModelError
        When a path does not exist.
    """
    for path in paths:
        if path.is_file() or is_gallery_folder(path):
            yield path
        elif path.is_dir():
            for found in sorted([*path.rglob("*.npz"), *path.rglob(JOURNAL)]):
                if found.name == JOURNAL:
                    yield found.parent
                # Hidden files: a killed process may have left unfinished ones.
                elif not found.name.startswith(".") and _holds_templates(found):
                    yield found
        else:
            raise ModelError(f"{path}: there is no such file or folder.")


def _holds_templates(path: Path) -> bool:
    try:
        return (path.is_file() and is_sealed(path)) or origin_of(path)[0] in _KINDS
    except IrisTfError:
        return False


def encrypt_stored(path: Path, key: SecretKey) -> bool:
    """Encrypt a plain file of templates, or a plain gallery folder, in place.

    Returns
    -------
    bool
        False if it was encrypted with this key already.

    Raises
    ------
    ModelError
        When it is no file of templates.
    ProtectionError
        When it is encrypted with another key.
    InUseError
        When another process is writing to the gallery folder.
    """
    found = FileProtection.of(path)
    if found.cipher and found.key_id != encryption_id(key):
        raise ProtectionError(
            f"{path}: it is encrypted already, with the key {found.key_id}; change its key "
            "with `iris-tf gallery rotate`."
        )
    if is_gallery_folder(path):
        gallery = GalleryFolder(path, key if found.cipher else None)
        with gallery.writing() as writer:  # removes what an encryption that was killed has left
            if not found.cipher:
                writer.encrypt(key)
    elif found.cipher:
        read_sealed(path, key)
    else:
        write_sealed(path, {"kind": found.kind} | vars(found.origin), path.read_bytes(), key)
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return not found.cipher


def rotate_stored(path: Path, old: SecretKey, new: SecretKey) -> bool:
    """Change the key of an encrypted file or gallery folder; False if `new` was its key already.

    Only the data key is encrypted again, see `iris_tf.matching.sealed_files.rewrap`.

    Raises
    ------
    ProtectionError
        When it is plain, encrypted with neither key, changed or incomplete.
    """
    if is_gallery_folder(path):
        return Journal(path).rewrap(old, new)
    if not is_sealed(path):
        raise ProtectionError(
            f"{path}: it is not encrypted, so it has no key to change; encrypt it with `iris-tf "
            "gallery encrypt`."
        )
    return rewrap(path, old, new)
