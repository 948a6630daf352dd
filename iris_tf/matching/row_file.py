"""Files of rows of one size, which grow at their end and are mapped into memory to be read."""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

_OWNER_ONLY = 0o600
_NO_SYNC = not hasattr(os, "fdatasync")  # macOS, Windows


class DamagedRowsError(Exception):
    """Rows that are missing from a file, or not what was written; the message is a clause."""


class RowFile:
    """Rows of one size in a file; which of them count, the owner of the file knows.

    Rows are on the disk when a method that writes them returns. New files can be read by their
    owner alone.

    Parameters
    ----------
    path : Path
    size : int
        Bytes of a row.
    """

    def __init__(self, path: Path, size: int):
        self.path, self._size = path, size

    def count(self) -> int:
        """Number of whole rows in the file; 0 if there is none."""
        return self.path.stat().st_size // self._size if self.path.is_file() else 0

    def rows(self, count: int) -> np.ndarray:
        """The first `count` rows (count, size), uint8, mapped into memory for reading.

        Raises
        ------
        FileNotFoundError
            When there is no file.
        DamagedRowsError
            When there are fewer rows.
        """
        if not count:
            return np.empty((0, self._size), np.uint8)
        if os.path.getsize(self.path) < count * self._size:
            raise DamagedRowsError(f"{self.path.name} has fewer than {count} rows")
        return np.memmap(self.path, np.uint8, "r", shape=(count, self._size))

    def take(self, slots: np.ndarray, count: int) -> np.ndarray:
        """Some of the first `count` rows (n, bytes), uint8, by their numbers, in their order.

        Raises
        ------
        FileNotFoundError, DamagedRowsError
            As for `rows`, or when a row cannot be read.
        """
        return self.rows(count)[slots]

    def append(self, rows: np.ndarray, start: int) -> None:
        """Write rows (n, size), uint8, from row `start` on.

        Raises
        ------
        OSError
            Names the file, also where the disk is full.
        """
        self._write([(start, np.ascontiguousarray(rows).tobytes())])

    def erase(self, rows: Sequence[int]) -> None:
        """Overwrite rows with zeros."""
        self._write((row, bytes(self._size)) for row in rows)

    def truncate(self, count: int) -> None:
        """Cut off what follows the first `count` rows."""
        if self.path.is_file() and self.path.stat().st_size > count * self._size:
            os.truncate(self.path, count * self._size)

    def _write(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        is_new = not self.path.exists()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | _BINARY, _OWNER_ONLY)
        try:
            for row, data in pieces:
                os.lseek(descriptor, row * self._size, os.SEEK_SET)
                _write_all(descriptor, data)
            (os.fsync if _NO_SYNC else os.fdatasync)(descriptor)
        except OSError as error:
            # EFBIG: the process may not write larger files, which takes the same remedy.
            number = errno.ENOSPC if error.errno == errno.EFBIG else error.errno
            raise OSError(number, error.strerror, str(self.path)) from None
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(self.path.parent)


_BINARY = getattr(os, "O_BINARY", 0)  # Windows


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(folder: Path) -> None:
    """Flush the name of a new file to disk, where the system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
