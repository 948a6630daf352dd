"""Suppression of the log output of native libraries, and of Python's warnings."""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class _Silenced:
    """A descriptor that leads nowhere for now, where it led before, and how many want it so."""

    saved: int
    blocks: int = 0


# Descriptors belong to the process. Two threads that each saved and restored them would restore
# each other's redirection, and leave the process without standard error.
# The same goes for the filters of warnings.
_lock = threading.Lock()
_silenced: dict[int, _Silenced] = {}
_LAST_STANDARD_STREAM = 2


@contextlib.contextmanager
def quiet(*descriptors: int) -> Iterator[None]:
    """Redirect file descriptors to the null device for the duration of a ``with`` block.

    LiteRT and TensorFlow's converter log from C++ directly to the descriptors and have no log
    level to set. Their errors are still raised as exceptions. Blocks may be nested and may
    overlap in several threads: a descriptor is restored when the last block has ended.

    Parameters
    ----------
    *descriptors : int
        1 for standard output, 2 for standard error. Closed descriptors, as in a daemon, are
        ignored.
    """
    with _lock:
        _flush()
        redirected = [descriptor for descriptor in descriptors if _redirect(descriptor)]
    try:
        yield
    finally:
        with _lock:
            _flush()  # what Python buffered within the block must not appear after it
            for descriptor in redirected:
                _restore(descriptor)


def _redirect(descriptor: int) -> bool:
    """Redirect a descriptor and count the block; False if the descriptor is closed."""
    if descriptor not in _silenced:
        try:
            saved = _copy_of(descriptor)
        except OSError:
            return False
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, descriptor)
        finally:
            os.close(nowhere)
        _silenced[descriptor] = _Silenced(saved)
    _silenced[descriptor].blocks += 1
    return True


def _copy_of(descriptor: int) -> int:
    """Duplicate a descriptor, but not into the slot of a standard stream that is closed."""
    copies = [os.dup(descriptor)]
    while copies[-1] <= _LAST_STANDARD_STREAM:
        copies.append(os.dup(descriptor))
    for copy in copies[:-1]:
        os.close(copy)
    return copies[-1]


def _restore(descriptor: int) -> None:
    silenced = _silenced[descriptor]
    silenced.blocks -= 1
    if not silenced.blocks:
        os.dup2(silenced.saved, descriptor)
        os.close(silenced.saved)
        del _silenced[descriptor]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


@dataclass
class _Ignored:
    """How many blocks ignore warnings at present, and what restores the filters."""

    blocks: int = 0
    caught: warnings.catch_warnings | None = None


_ignored = _Ignored()


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore warnings for the duration of a ``with`` block, which may overlap in several threads.

    `warnings.catch_warnings` alone restores what it found: of two threads, the later one restores
    that warnings are ignored, and the process gives no warning any more.
    """
    with _lock:
        if not _ignored.blocks:
            _ignored.caught = warnings.catch_warnings()
            _ignored.caught.__enter__()
            warnings.simplefilter("ignore")
        _ignored.blocks += 1
    try:
        yield
    finally:
        with _lock:
            _ignored.blocks -= 1
            if not _ignored.blocks and _ignored.caught is not None:
                _ignored.caught.__exit__(None, None, None)
