"""Files that may come from strangers: bounded reading, and paths that stay in their folder.

A reader of text, JSON or a table takes it from here, because each has to be bounded before it is
believed: a device or a pipe never ends, a gigabyte of JSON takes ten of memory, and a few bytes of
brackets overflow the parser's stack. What is wrong is raised as a `ValueError`, whose message is a
clause for the sentence of the caller, who knows what the file is for.
"""

import contextlib
import csv
import errno
import io
import json
import math
import os
import reprlib
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, BinaryIO

from iris_tf.support.files import real_path

MAX_JSON_BYTES = 2**27
"""Largest JSON file that is parsed; a calibration of 2,048 dimensions has 85 MB."""

MAX_TABLE_BYTES = 2**30
"""Largest CSV file that is parsed; a manifest of a million images has 300 MB."""

UNUSABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip
"""What parsing the content of a damaged file raises, whatever is wrong with it."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong = 30


def read_text(path: str | os.PathLike, most_bytes: int) -> str:
    """Read a UTF-8 file, with or without a byte-order mark.

    Parameters
    ----------
    path : str or Path
    most_bytes : int
        Largest size that is read.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If it is not a regular file, is larger, or is not UTF-8.
    """
    with _regular_file(path, most_bytes) as file:
        content = file.read(most_bytes)  # the file may grow while it is read
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None


def read_json(path: str | os.PathLike, finite: bool = True) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : str or Path
    finite : bool
        Whether ``NaN`` and infinite numbers are refused, which JSON does not have and
        `iris_tf.support.files.write_json` does not write.

    Raises
    ------
    OSError
        As `read_text`.
    ValueError
        As `read_text`; if the file is not JSON, is nested too deeply, or has an integer of
        thousands of digits or a number that is not finite.
    """
    return parse_json(read_text(path, MAX_JSON_BYTES), finite)


def parse_json(text: str | bytes, finite: bool = True) -> Any:
    """Parse JSON; see `read_json`.

    Raises
    ------
    ValueError
        As `read_json`.
    """
    try:
        if not finite:
            return json.loads(text)
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is not a finite number")
    return number


def read_object(path: str | os.PathLike, finite: bool = True) -> dict[str, Any]:
    """Read a JSON file that holds one object.

    Raises
    ------
    OSError, ValueError
        As `read_json`; ValueError also for any other value.
    """
    values = read_json(path, finite)
    if not isinstance(values, dict):
        raise ValueError("it does not hold a JSON object")
    return values


def read_table(path: str | os.PathLike) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV file with a header, one line at a time.

    Yields
    ------
    int, dict of str to str
        Number of the line in the file, and its cells by column; missing ones are empty.

    Raises
    ------
    OSError
        As `read_text`.
    ValueError
        As `read_text`; if the file is not a CSV table or a cell has more than 131,072 characters.
    """
    lines = read_cells(path)
    _, header = next(lines, (0, ()))
    for number, cells in lines:
        if cells:
            padded = [*cells, *[""] * (len(header) - len(cells))]
            yield number, dict(zip(header, padded, strict=False))


def read_cells(path: str | os.PathLike) -> Iterator[tuple[int, Sequence[str]]]:
    """Read a CSV file, one line at a time.

    Yields
    ------
    int, sequence of str
        Number of the line in the file, and its cells.

    Raises
    ------
    OSError, ValueError
        As `read_table`.
    """
    with (
        _regular_file(path, MAX_TABLE_BYTES) as file,
        io.TextIOWrapper(file, "utf-8-sig", newline="") as text,
    ):
        reader = csv.reader(text)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except UnicodeDecodeError:
            raise ValueError(f"what follows line {reader.line_num} is not UTF-8") from None
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num} is not CSV: {error}") from None


@contextlib.contextmanager
def _regular_file(path: str | os.PathLike, most_bytes: int) -> Iterator[BinaryIO]:
    # Not to block on opening a pipe, which has no writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        if status.st_size > most_bytes:
            raise ValueError(f"it has {status.st_size:,} bytes, more than {most_bytes:,}")
        yield file


def leaves_folder(name: str) -> bool:
    """Whether a path in a file leads out of the folder that it is relative to, or is no path."""
    if "\0" in name or (PureWindowsPath(name).drive and os.name == "nt"):
        return True
    path = PurePath(name)
    return path.is_absolute() or PurePosixPath(name).is_absolute() or ".." in path.parts


class Inside:
    """Paths within a folder, after links have been followed.

    Data from others may hold links to files of the user, as archives do.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    folder : Path
        As given.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._root: Path | None = None
        self._parents: dict[Path, bool] = {}

    def __call__(self, name: str) -> Path:
        """Path of a file in the folder, which need not exist.

        Parameters
        ----------
        name : str
            Relative to the folder.

        Raises
        ------
        ValueError
            If it leads out of the folder.
        """
        path = self.folder / name
        if leaves_folder(name):
            raise ValueError(f"{shown(name)} leads out of the folder")
        # Most files of a folder share few parents, and resolving each file would take longer than
        # reading its size.
        if path.parent not in self._parents:
            self._parents[path.parent] = self._is_inside(path.parent)
        if not self._parents[path.parent] or (path.is_symlink() and not self._is_inside(path)):
            raise ValueError(f"{shown(name)} is a link that leads out of the folder")
        return path

    def _is_inside(self, path: Path) -> bool:
        if self._root is None:
            self._root = real_path(self.folder)
        return real_path(path).is_relative_to(self._root)


def shown(value: Any) -> str:
    """Text of a value from a file for a message, cut in the middle where it is long."""
    return _SHORT.repr(value)
