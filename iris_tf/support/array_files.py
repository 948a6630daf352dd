"""Arrays in ``.npz`` files, checked before anything is allocated."""

import math
import os
import zipfile
from typing import BinaryIO

import numpy as np

_MOST_UNPACKED = 2**26  # bytes of a small file; larger ones may grow by a factor:
_MOST_GROWTH = 20


def load_arrays(
    source: str | os.PathLike | BinaryIO,
    names: tuple[str, ...] | None = None,
    optional: tuple[str, ...] = (),
) -> dict[str, np.ndarray]:
    """Read arrays of an ``.npz`` file without pickle.

    A few bytes can declare an array of any size, which NumPy allocates before it reads, and a few
    kilobytes can unpack to gigabytes. Both are refused.

    Parameters
    ----------
    source : str, Path or binary file
        The file, or its content, such as `io.BytesIO`.
    names : tuple of str, optional
        Which arrays; all of them, in their order, if not given.
    optional : tuple of str, optional
        Further arrays, which may be missing.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    ValueError
        If it is not such a file, or damaged, lacks one of the arrays, or holds Python objects or
        more than its size allows. The message is a clause.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
            _check_growth(archive, list(members.values()))
            wanted = tuple(members) if names is None else names
            if missing := [name for name in wanted if name not in members]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            wanted += tuple(name for name in optional if name in members)
            return {name: _read(archive, members[name]) for name in wanted}
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:  # damaged archives raise exceptions of any kind
        raise ValueError(f"it is damaged ({type(error).__name__})") from None


def map_array(path: str | os.PathLike, shape: tuple[int, ...], dtype: type) -> np.memmap | None:
    """Map an ``.npy`` file into memory, read-only.

    Parameters
    ----------
    path : str or Path
    shape : tuple of int
        What it should hold.
    dtype : type

    Returns
    -------
    memmap or None
        None if the file is missing, damaged, shorter than it declares, or holds another array.
    """
    try:
        stored = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    intact = isinstance(stored, np.memmap) and (stored.shape, stored.dtype) == (shape, dtype)
    return stored if intact else None


def _check_growth(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    assert archive.fp is not None  # it is open
    unpacked, most = sum(m.file_size for m in members), archive.fp.seek(0, 2) * _MOST_GROWTH
    if unpacked > max(most, _MOST_UNPACKED):
        raise ValueError(f"it unpacks to {unpacked:,} bytes")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{member.filename} is of version {version} of the format")
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects")
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"{member.filename} has another size than it declares")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
