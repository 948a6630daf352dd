"""Files that appear whole or not at all, in folders that are one process's at a time."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iris_tf.support.errors import InUseError
from iris_tf.support.folder_lock import locked_folder

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors that say so, of the disk or of a user's share of it."""

_LONGEST_NAME, _LONGEST_SUFFIX = 60, 20  # bytes
_OWNER_ONLY = 0o600


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed to it when the block succeeds.

    A file that is replaced leaves its permissions to the new one, and of a symbolic link the
    file is replaced that it leads to. With `private`, a new file can be read by its owner alone.

    The temporary name keeps the suffix, because Keras and NumPy read formats
    from it. When the block raises, nothing appears under `path` and the
    temporary file is removed. An error of the disk names `path`.
    """
    path = Path(path)
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    suffix = "".join(path.suffixes[-2:])  # .weights.h5
    if len(suffix.encode()) > _LONGEST_SUFFIX:  # a name with dots in it
        suffix = path.suffix
    # A name may be as long as the file system allows; the temporary one is not longer.
    name = path.name.encode()[:_LONGEST_NAME].decode(errors="ignore")
    temporary = path.with_name(f".{name}.{uuid.uuid4().hex[:8]}{suffix}")
    try:
        with _errors_named(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            if private:
                # Before there is anything to read in it.
                os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, _OWNER_ONLY))
            yield temporary
            if path.exists():
                shutil.copymode(path, temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _errors_named(path: Path, temporary: Path) -> Iterator[None]:
    """Let errors name `path`: a failed write names no file, or the temporary one."""
    try:
        yield
    except OSError as error:
        named = str(error.filename or "")
        if error.errno in FULL_DISK or named.startswith(str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


@contextlib.contextmanager
def replace_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of `path` when the block succeeds.

    When the block raises, an earlier `path` stays as it was. Its files are on the
    disk before it takes the place of an earlier one. An error of the disk names `path`.
    """
    path = Path(path).resolve()  # of a link, the folder that it leads to
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with _errors_named(path, temporary):
            temporary.mkdir(parents=True)
            yield temporary
            _flush(temporary)
            if path.exists():
                _exchange(path, temporary)
            else:
                temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(path: Path, new: Path) -> None:
    # A folder cannot be renamed onto a full one; the moment between the two renames is
    # the only one without `path`.
    old = path.with_name(f"{new.name}.old")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _flush(folder: Path) -> None:
    """Wait until all files of a folder are on the disk, and their names in it."""
    for current, _, names in os.walk(folder):
        for path in (*(Path(current, name) for name in names), Path(current)):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def sole_user(folder: str | os.PathLike) -> Iterator[None]:
    """Keep other processes that ask for the same out of `folder`, which is made if need be.

    The lock ends with the block or with the process, however that ends, and leaves no file.
    Where the file system has no locks, nothing is kept out.

    Raises
    ------
    InUseError
        At once, when another process is in such a block.
    """
    os.makedirs(folder, exist_ok=True)
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(locked_folder(folder))
        except BlockingIOError:
            raise InUseError(
                f"{folder}: another process is at work in this folder; wait until it has ended, or "
                "choose another folder."
            ) from None
        yield


def check_writable(path: str | os.PathLike, folder: bool = False) -> None:
    """Raise now what writing to `path` would raise after long work.

    Parameters
    ----------
    path : str or Path
        A file to be written, or a folder of files; it and its parents need not exist.
    folder : bool
        Which of the two.

    Raises
    ------
    OSError
        Names the file or folder that is in the way or may not be written.
    """
    path = Path(path)
    if path.is_dir() and not folder:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    there = path if folder else path.parent
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_unused(folder: Path) -> bool:
    """Whether a folder is missing or has nothing but hidden files.

    Those are a file manager's, or a killed writer's.
    """
    return not folder.is_dir() or all(entry.name.startswith(".") for entry in folder.iterdir())


def is_there(path: Path) -> bool:
    """Whether a file is there with its bytes: a power cut can leave a name without them."""
    return path.is_file() and path.stat().st_size > 0
