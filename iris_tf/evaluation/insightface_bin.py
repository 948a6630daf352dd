"""InsightFace's ``.bin`` sets of image pairs, read without running code of the file."""

import io
import pickle
import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from iris_tf.imaging.images import image_of_bytes
from iris_tf.support.errors import EvaluationError, ExtractionError, first_line

FOLDS = 10
"""Number of folds, of consecutive comparisons, into which these sets are divided."""

_MAX_BYTES = 2**32  # sixty times LFW's set
_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")


class _PlainData(pickle.Unpickler):
    """Builds lists, tuples, bytes, texts, numbers and booleans; anything else would run code."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it wants to run {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to data outside the file")


@dataclass(frozen=True)
class PairSet:
    """Pairs of encoded images.

    Attributes
    ----------
    images : list of bytes
        JPEG or PNG files; images 2 i and 2 i + 1 are compared.
    genuine : ndarray of shape (pairs,), bool
    """

    images: list[bytes]
    genuine: np.ndarray

    @property
    def folds(self) -> np.ndarray:
        """Fold of each pair, from 0: tenths of the list."""
        counts = [len(part) for part in np.array_split(self.genuine, FOLDS)]
        return np.repeat(np.arange(FOLDS), counts)

    def image(self, index: int, channels: int) -> np.ndarray:
        """Decode an image, (height, width) if grey or (height, width, 3) in red, green, blue.

        Raises
        ------
        EvaluationError
            If it cannot be decoded, or has more pixels than `read_image` takes.
        """
        try:
            return image_of_bytes(self.images[index], channels).pixels
        except ExtractionError as error:
            raise EvaluationError(
                f"Image {index} of the set cannot be decoded ({error}); get the file again."
            ) from None


def read_pair_set(path: str | Path) -> PairSet:
    """Read a ``.bin`` file such as ``lfw.bin`` or ``agedb_30.bin``.

    Such files are pickles, which may run any code when they are read. Only one that holds nothing
    but a list of encoded images and a list of booleans is read; all others are refused.

    Raises
    ------
    EvaluationError
        If the file is missing, damaged, or holds anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"{path}: there is no such set of pairs; check the path.")
    try:
        content = _load(path)
    except Exception as error:  # a damaged pickle raises anything
        raise EvaluationError(
            f"{path}: is not a plain set of pairs ({first_line(error)}); it was not read further."
        ) from None
    two = isinstance(content, tuple | list) and len(content) == 2
    images, genuine = content if two else ((), ())
    if not (two and _all_of(images, bytes) and _all_of(genuine, bool)):
        raise EvaluationError(
            f"{path}: must hold a list of encoded images and a list of booleans; get the set from "
            "its publisher."
        )
    if len(images) != 2 * len(genuine) or len(genuine) < FOLDS:
        raise EvaluationError(
            f"{path}: has {len(images)} images for {len(genuine)} comparisons; it must have two "
            f"for each, and at least {FOLDS} comparisons."
        )
    return PairSet(list(images), np.array(genuine, bool))


def _load(path: Path) -> Any:
    """Content of a pickle of plain data; raises anything if it is damaged or another one."""
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
    data = path.read_bytes()
    # Python allocates as many places as the largest number that the pickle gives an object, which
    # a few bytes can set to four thousand million.
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in _MEMO and (argument or 0) > number:
            raise pickle.UnpicklingError(f"it numbers an object {argument}")
    return _PlainData(io.BytesIO(data), encoding="bytes").load()


def _all_of(values: Any, kind: type) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, kind) for value in values)
