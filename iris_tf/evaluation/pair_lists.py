"""Lists of comparisons in files, as in published protocols."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.support.errors import EvaluationError
from iris_tf.support.foreign_files import read_cells, shown


def read_pairs(path: str | Path, rows: Sequence[ManifestRow], genuine: bool) -> np.ndarray:
    """Read a list of comparisons.

    Parameters
    ----------
    path : str or Path
        CSV file with two columns and no header, an image each: as in the manifest's `image`
        column, or by its file name alone where that is unique.
    rows : sequence of ManifestRow
        All images, including those without a crop.
    genuine : bool
        Whether the two images of each listed comparison are of the same identity.

    Returns
    -------
    ndarray of shape (n, 2), int64
        Indices into `rows`.

    Raises
    ------
    EvaluationError
        If the file is missing, empty or not such a table, names an unknown or ambiguous image,
        compares an image with itself, or lists a comparison twice (in either order) or one that
        is of the other kind according to the manifest.
    """
    path = Path(path)
    if not path.is_file():
        raise EvaluationError(f"{path}: there is no such list; give a CSV file of image pairs.")
    names = _names(rows)
    kind = "genuine" if genuine else "impostor"
    pairs: list[tuple[int, int]] = []
    lines: dict[frozenset[int], int] = {}
    try:
        for number, record in read_cells(path):
            place = f"{path}, line {number}"
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
                    f"in the manifest, so this is no {kind} comparison; correct either."
                )
            line = lines.setdefault(frozenset((first, second)), number)
            if line != number:
                raise EvaluationError(
                    f"{place}: the same comparison as in line {line}; remove either."
                )
            pairs.append((first, second))
    except ValueError as problem:
        raise EvaluationError(
            f"{path}: this is not a CSV table ({problem}); give two image columns without a header."
        ) from None
    if not pairs:
        raise EvaluationError(f"{path}: lists no comparison; give at least one {kind} pair.")
    return np.array(pairs, np.int64)


def _names(rows: Sequence[ManifestRow]) -> dict[str, int | None]:
    """Index by file name (None where it is ambiguous) and by full name, which has precedence."""
    names: dict[str, int | None] = {}
    for index, row in enumerate(rows):
        name = row.image.rsplit("/", 1)[-1]
        names[name] = None if name in names else index
    return names | {row.image: index for index, row in enumerate(rows)}


def _index(names: dict[str, int | None], name: str, place: str) -> int:
    if name not in names:
        raise EvaluationError(
            f"{place}: there is no image {shown(name)} among those evaluated; name it as in the "
            "manifest, and choose its split (`--split all` for all)."
        )
    index = names[name]
    if index is None:
        raise EvaluationError(
            f"{place}: several images have the file name {shown(name)}; give the path as in the "
            "manifest."
        )
    return index
