"""Keep what native libraries log off the terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(*descriptors: int) -> Iterator[None]:
    """Send file descriptors nowhere for the length of a block.

    LiteRT and TensorFlow's converter log from C++ straight to the descriptors,
    with no level to set. What goes wrong in them comes as an exception all the same.

    Parameters
    ----------
    *descriptors : int
        1 for standard output, 2 for standard error. One that is closed, as in a
        daemon, is left alone.
    """
    _flush()
    with open(os.devnull, "wb") as nowhere, contextlib.ExitStack() as restore:
        for descriptor in descriptors:
            try:
                saved = os.dup(descriptor)
            except OSError:
                continue
            restore.callback(os.close, saved)
            restore.callback(os.dup2, saved, descriptor)
            os.dup2(nowhere.fileno(), descriptor)
        try:
            yield
        finally:
            _flush()  # Python's own buffers, into the descriptors they were filled for


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
