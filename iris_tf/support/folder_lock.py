"""Exclusive lock on a folder, released when its process ends, on POSIX systems and on Windows."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

# Each module exists on one family of systems only; importing this package must need neither.
fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

LOCK_FILE = ".lock"
"""File that is locked instead of the folder on Windows, where folders cannot be opened."""

# Errors of file systems without locks. EBADF comes from network file systems that refuse to lock
# a descriptor that is open for reading only.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EBADF)


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Hold the exclusive lock of an existing folder for the duration of a ``with`` block.

    The operating system releases the lock when the block or the process ends, also if the
    process is killed. On systems and file systems without locks nothing is locked.

    Raises
    ------
    BlockingIOError
        Immediately, if another process holds the lock.
    """
    if fcntl is not None:
        with _flock(folder):
            yield
    elif msvcrt is not None:
        with _locked_file(os.path.join(folder, LOCK_FILE)):
            yield
    else:
        yield


@contextlib.contextmanager
def _flock(folder: str | os.PathLike) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked_file(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:  # EACCES or EDEADLK
            raise BlockingIOError(error.errno, error.strerror, path) from None
        yield
    finally:
        os.close(descriptor)
        # Windows refuses while another process has the file open, which then removes it itself.
        with contextlib.suppress(OSError):
            os.unlink(path)
