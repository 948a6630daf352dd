"""The ``pairs.txt`` of Labeled Faces in the Wild: comparisons in folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.support.errors import EvaluationError
from iris_tf.support.foreign_files import MAX_TABLE_BYTES, read_text, shown

_MOST_DIGITS = 9


@dataclass(frozen=True)
class FoldedPairs:
    """Comparisons in folds.

    Attributes
    ----------
    genuine, impostor : ndarray of shape (n, 2), int64
        Indices of the images of each comparison.
    genuine_folds, impostor_folds : ndarray of shape (n,), int64
        Fold of each comparison, from 0.
    """

    genuine: np.ndarray
    impostor: np.ndarray
    genuine_folds: np.ndarray
    impostor_folds: np.ndarray


def read_lfw_pairs(path: str | Path, rows: Sequence[ManifestRow]) -> FoldedPairs:
    """Read LFW's list of comparisons.

    The first line has the number of folds and of genuine comparisons in each; as many impostor
    ones follow. A genuine comparison is ``name number number``, an impostor one ``name number name
    number``, and image 4 of a name is ``<name>/<name>_0004`` with any file extension.

    Parameters
    ----------
    path : str or Path
    rows : sequence of ManifestRow
        All images, including those without a crop.

    Raises
    ------
    EvaluationError
        If the file is missing or not such a list, or names an image that is not among `rows`,
        or of which there are two with different file extensions; names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"{path}: there is no such list; give LFW's pairs.txt.")
    try:
        lines = read_text(path, MAX_TABLE_BYTES).splitlines()
    except ValueError:
        raise EvaluationError(f"{path}: is not a text file; give LFW's pairs.txt.") from None
    folds, each = _header(path, lines)
    expected = folds * 2 * each
    listed = [(number, line.split()) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if len(listed) != expected:
        raise EvaluationError(
            f"{path}: lists {len(listed)} comparisons, but its first line says {folds} folds of "
            f"{each} genuine and {each} impostor ones; give the whole file."
        )
    images: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        images.setdefault(str(PurePosixPath(row.image).with_suffix("")), []).append(i)
    pairs: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    lines_of: dict[frozenset[int], int] = {}
    for place, (number, fields) in enumerate(listed):
        genuine = place % (2 * each) < each
        named = _named(fields, genuine, f"{path}, line {number}")
        first, second = (_index(images, *one, f"{path}, line {number}") for one in named)
        before = lines_of.setdefault(frozenset((first, second)), number)
        if before != number:
            raise EvaluationError(
                f"{path}, line {number}: compares the same images as line {before}; get the file "
                "again."
            )
        pairs[genuine].append((first, second))
    of_fold = np.repeat(np.arange(folds), each)
    return FoldedPairs(
        np.array(pairs[True], np.int64), np.array(pairs[False], np.int64), of_fold, of_fold
    )


def _header(path: Path, lines: Sequence[str]) -> tuple[int, int]:
    fields = lines[0].split() if lines else []
    if len(fields) == 2 and all(_is_number(field) and int(field) > 0 for field in fields):
        return int(fields[0]), int(fields[1])
    raise EvaluationError(
        f"{path}, line 1: must have the number of folds and of genuine comparisons in each, as in "
        "LFW's pairs.txt."
    )


def _named(fields: Sequence[str], genuine: bool, place: str) -> list[tuple[str, int]]:
    """Names and numbers of both images of a comparison."""
    whole = [*fields[:2], *fields[:1], *fields[2:]] if genuine else list(fields)
    numbers = whole[1::2]
    if len(fields) != (3 if genuine else 4) or not all(map(_is_number, numbers)):
        kind = "`name number number`" if genuine else "`name number name number`"
        raise EvaluationError(f"{place}: has {shown(' '.join(fields))}, but {kind} is due here.")
    images = [(name, int(number)) for name, number in zip(whole[::2], numbers, strict=True)]
    if images[0] == images[1]:
        raise EvaluationError(f"{place}: compares an image with itself; get the file again.")
    if not genuine and images[0][0] == images[1][0]:
        raise EvaluationError(
            f"{place}: compares two images of {shown(images[0][0])}, but an impostor comparison is "
            "due here; get the file again."
        )
    return images


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MOST_DIGITS


def _index(images: dict[str, list[int]], name: str, number: int, place: str) -> int:
    image = f"{name}/{name}_{number:04d}"
    if image not in images:
        raise EvaluationError(
            f"{place}: there is no image {image} among those evaluated; give a list of images of "
            "the evaluated split, or evaluate all images (`--split all`)."
        )
    if len(images[image]) > 1:
        raise EvaluationError(
            f"{place}: there are several images {image} with different extensions; prepare a "
            "folder that has each image once."
        )
    return images[image][0]
