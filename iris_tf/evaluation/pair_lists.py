"""Comparisons that are listed in files, as published protocols have them."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.support.errors import EvaluationError


def read_pairs(path: str | Path, rows: Sequence[ManifestRow], genuine: bool) -> np.ndarray:
    """Read a list of comparisons.

    Parameters
    ----------
    path : str or Path
        CSV of two columns without header, an image each: as the manifest's `image` column
        names it, or by its file name alone where only one image has it.
    rows : sequence of ManifestRow
        The images that there are, those without a crop included.
    genuine : bool
        Whether the listed comparisons are of one identity each, or of two.

    Returns
    -------
    ndarray of shape (n, 2), int64
        Indices into `rows`.

    Raises
    ------
    EvaluationError
        When the file is missing, empty or no such table, names an image that is unknown or
        that several could be, compares an image with itself, or lists a comparison twice
        (either way round) or one that is of the other kind by the manifest.
    """
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"{path}: there is no such list; give a CSV file of image pairs.")
    names = _names(rows)
    kind = "genuine" if genuine else "impostor"
    pairs: list[tuple[int, int]] = []
    lines: dict[frozenset[int], int] = {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            for record in reader:
                place = f"{path}, line {reader.line_num}"
                if not record:
                    continue
                if len(record) != 2:
                    raise EvaluationError(
                        f"{place}: has {len(record)} columns; give the two images of a comparison."
                    )
                first, second = (_index(names, name.strip(), place) for name in record)
                if first == second:
                    raise EvaluationError(
                        f"{place}: compares {rows[first].image} with itself; remove the line."
                    )
                a, b = (rows[i] for i in (first, second))
                if ((a.dataset, a.identity) == (b.dataset, b.identity)) != genuine:
                    raise EvaluationError(
                        f"{place}: {a.image} shows {a.identity} and {b.image} shows {b.identity} "
                        f"by the manifest, so this is no {kind} comparison; correct either."
                    )
                line = lines.setdefault(frozenset((first, second)), reader.line_num)
                if line != reader.line_num:
                    raise EvaluationError(
                        f"{place}: the same comparison as in line {line}; remove either."
                    )
                pairs.append((first, second))
        except (UnicodeDecodeError, csv.Error):
            raise EvaluationError(
                f"{path}: this is not a CSV table; give two image columns without a header."
            ) from None
    if not pairs:
        raise EvaluationError(f"{path}: lists no comparison; give at least one {kind} pair.")
    return np.array(pairs, np.int64)


def _names(rows: Sequence[ManifestRow]) -> dict[str, int | None]:
    """Index by file name (None where it is not unique) and by full name, which goes first."""
    names: dict[str, int | None] = {}
    for index, row in enumerate(rows):
        name = row.image.rsplit("/", 1)[-1]
        names[name] = None if name in names else index
    return names | {row.image: index for index, row in enumerate(rows)}


def _index(names: dict[str, int | None], name: str, place: str) -> int:
    if name not in names:
        raise EvaluationError(
            f"{place}: there is no image {name!r} among those evaluated; name it as the manifest "
            "does, and choose the split that it is in (`--split all` for all)."
        )
    index = names[name]
    if index is None:
        raise EvaluationError(
            f"{place}: several images have the file name {name!r}; give the path as the manifest "
            "does."
        )
    return index
