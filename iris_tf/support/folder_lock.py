"""An exclusive lock on a folder that ends with its process, on POSIX systems and on Windows."""

import contextlib
import errno
import os
from collections.abc import Iterator

# Either module exists on one family of systems only, and importing the package must need neither.
try:
    import fcntl
except ImportError:
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

LOCK_FILE = ".lock"
"""File that is locked in place of the folder on Windows, where folders cannot be opened."""

# Answers of file systems that have no locks. The last is a network file system's, to a lock on
# a descriptor that is open for reading only.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EBADF)


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Hold the exclusive lock of an existing folder for the length of a block.

    The operating system releases it when the block or the process ends, however that ends.
    Where the system or the file system has no locks, none is held.

    Raises
    ------
    BlockingIOError
        At once, when another process holds the lock.
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
        except OSError as error:  # EACCES or EDEADLK, which name no holder
            raise BlockingIOError(error.errno, error.strerror, path) from None
        yield
    finally:
        os.close(descriptor)
        # Windows refuses while another process has the file open; that one removes it then.
        with contextlib.suppress(OSError):
            os.unlink(path)
