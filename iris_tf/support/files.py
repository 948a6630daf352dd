"""Atomic writing of files and folders, exclusive use of a folder, and checks before writing."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iris_tf.support.errors import ArgumentError, InUseError, IrisTfError
from iris_tf.support.folder_lock import locked_folder
from iris_tf.support.temporary_names import OLD, owner_mark, sweep_once

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""`errno` values for a full disk and for an exhausted quota."""

_MAX_NAME_BYTES, _MAX_SUFFIX_BYTES = 60, 20  # of the name of a temporary file
_OWNER_ONLY = 0o600


def path_given(value: Any, what: str) -> Path:
    """Path that a caller of the Python interface has given.

    Parameters
    ----------
    value : str or os.PathLike
    what : str
        What it is a path of, for the message, e.g. ``"The template file"``.

    Raises
    ------
    ArgumentError
        If it is neither, is empty, or has a null character, which no file name has.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        shown = "empty" if text == "" else f"{str(value)[:80]!r} ({type(value).__name__})"
        raise ArgumentError(f"{what} is {shown}; give its path as text or pathlib.Path.")
    return Path(text)


def real_path(path: str | os.PathLike) -> Path:
    """Absolute path with links followed; `Path.resolve` fails on links that end in a circle."""
    return Path(os.path.realpath(path))


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`, and rename it to `path` on success.

    The temporary name keeps the suffix, from which Keras and NumPy derive the file format. If
    the block raises, `path` is left unchanged and the temporary file is removed; that of a
    killed process is removed by the next one that writes into the folder.

    Parameters
    ----------
    path : str or Path
        Destination; missing parent folders are created. A file that is replaced passes its
        permissions on to the new one; of a symbolic link, the target is replaced.
    private : bool, optional
        Whether a new file is readable by its owner only.

    Yields
    ------
    Path
        Where to write the file.

    Raises
    ------
    OSError
        Errors of the file system name `path`, not the temporary file.
    """
    path = Path(path)
    if path.is_symlink():
        path = real_path(path)
    suffix = "".join(path.suffixes[-2:])  # .weights.h5
    if len(suffix.encode()) > _MAX_SUFFIX_BYTES:  # a name that contains dots
        suffix = path.suffix
    # `path` may have the longest name that the file system allows, so its name is shortened.
    name = path.name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore")
    temporary = path.with_name(f".{name}.{owner_mark()}{suffix}")
    try:
        with _errors_named(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep_once(path.parent)
            if private:
                # Created with its permissions before it has any content.
                os.close(os.open(temporary, os.O_CREAT | os.O_EXCL, _OWNER_ONLY))
            yield temporary
            if path.exists():
                shutil.copymode(path, temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _errors_named(path: Path, temporary: Path) -> Iterator[None]:
    """Make errors name `path`: a failed write names no file, or the temporary one.

    So do sentences about what was written there.
    """
    try:
        yield
    except OSError as error:
        named = str(error.filename or "")
        if error.errno in FULL_DISK or named.startswith(str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    except IrisTfError as error:
        error.args = (str(error).replace(str(temporary), str(path)),)
        raise


@contextlib.contextmanager
def replace_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces `path` on success.

    All its files are flushed to disk before it replaces an existing folder. If the block
    raises, `path` is left unchanged and the temporary folder is removed.

    Parameters
    ----------
    path : str or Path
        Folder to create or replace; a symbolic link stays, and its target is replaced.

    Yields
    ------
    Path
        Folder to write the files into.

    Raises
    ------
    OSError
        Errors of the file system name `path`, not the temporary folder.
    """
    path = real_path(path)
    temporary = path.with_name(f".{path.name}.{owner_mark()}")
    try:
        with _errors_named(path, temporary):
            temporary.mkdir(parents=True)
            sweep_once(path.parent)
            yield temporary
            _flush(temporary)
            if path.exists():
                _exchange(path, temporary)
            else:
                temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(path: Path, new: Path) -> None:
    # A folder cannot be renamed over one that is not empty. `path` is missing only between the
    # two renames.
    old = path.with_name(new.name + OLD)
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _flush(folder: Path) -> None:
    """Flush all files of a folder, and its directory entries, to disk."""
    for current, _, names in os.walk(folder):
        for path in (*(Path(current, name) for name in names), Path(current)):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def sole_user(folder: str | os.PathLike) -> Iterator[None]:
    """Lock `folder` against other processes that use this function; create it if it is missing.

    The lock is released when the block or the process ends, also if it is killed, and leaves no
    file behind. On file systems without locks nothing is locked.

    Raises
    ------
    InUseError
        Immediately, if another process holds the lock.
    """
    os.makedirs(folder, exist_ok=True)
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(locked_folder(folder))
        except BlockingIOError:
            raise InUseError(
                f"{folder}: another process is using this folder; wait until it has finished, or "
                "choose another folder."
            ) from None
        yield


def check_writable(path: str | os.PathLike, folder: bool = False) -> None:
    """Check before long work that `path` can be written at its end.

    Parameters
    ----------
    path : str or Path
        The file to be written, or the folder to be written into. It and its parents need not
        exist.
    folder : bool
        Whether `path` is a folder.

    Raises
    ------
    OSError
        If not; names the file or folder that is in the way or not writable.
    """
    path = Path(path)
    if path.is_dir() and not folder:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    existing = path if folder else path.parent
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
    if not os.access(existing, os.W_OK | os.X_OK) or not _takes_files(existing):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))


def _takes_files(folder: Path) -> bool:
    """Whether a file can be made in a folder: system folders refuse what permissions allow."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        return error.errno in FULL_DISK  # that is for the writing to tell


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write `text` to `path` atomically, encoded as UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write `value` to `path` atomically, as indented JSON with sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, as 64 lowercase hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_unused(folder: Path) -> bool:
    """Whether a folder is missing or holds only hidden files.

    File managers leave those, and so do writers that were killed.
    """
    return not folder.is_dir() or all(entry.name.startswith(".") for entry in folder.iterdir())


def is_there(path: Path) -> bool:
    """Whether a file exists and is not empty; a power cut can leave an empty one."""
    return path.is_file() and path.stat().st_size > 0
