"""Splits that the user gives as a table instead of having them drawn."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from iris_tf.config.names import CLOSED_WORLD, SPLITS
from iris_tf.data.manifest import ManifestRow
from iris_tf.data.splits import check_splits
from iris_tf.support.errors import DatasetError
from iris_tf.support.foreign_files import read_cells, read_table, shown

_UNITS = ("identity", "subject", "image")  # in this order, so that a manifest can be given


def split_by_table(
    rows: Sequence[ManifestRow], table: str | Path, by: str = "subject"
) -> list[ManifestRow]:
    """Assign the splits of a table.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Images of one dataset.
    table : str or Path
        CSV file with a header, a column ``split`` (train, val or test) and a column ``identity``,
        ``subject`` or ``image``, as in the manifest; of several, the first of these counts, so
        that the manifest of another dataset of the same images will do. Not all images of an
        identity need be listed, and names that no row has are ignored.
    by : {"subject", "identity", "image"}
        ``"subject"`` refuses a table that puts the eyes of one subject into different splits.
        ``"image"`` takes any table that lists every image: in a closed world, the identities that
        are trained on are tested, too.

    Returns
    -------
    list of ManifestRow
        The rows in their order, with `split` filled.

    Raises
    ------
    DatasetError
        If the file is not such a table, leaves an identity out, or puts one on both sides of the
        split.
    """
    table = Path(table)
    unit, split_of = _read(table)
    if by == CLOSED_WORLD:
        return _closed_world(rows, split_of if unit == "image" else {}, table)
    # One identity is in one split, so an image that is not listed follows the others.
    split_of_identity = {
        row.identity: split_of[name] for row in rows if (name := getattr(row, unit)) in split_of
    }
    missing = sorted({row.identity for row in rows} - split_of_identity.keys())
    if missing:
        first = shown(next(iter(split_of), "missing"))[1:-1]
        raise DatasetError(
            f"{table}: gives no split for {len(missing)} identities of the folder, such as "
            f"{missing[0]} (the first {unit} that it lists is {first}); add them, or take their "
            "images out of the folder."
        )
    given = [
        dataclasses.replace(
            row, split=split_of.get(getattr(row, unit), split_of_identity[row.identity])
        )
        for row in rows
    ]
    check_splits(given, str(table), by)
    return given


def _closed_world(
    rows: Sequence[ManifestRow], split_of: Mapping[str, str], table: Path
) -> list[ManifestRow]:
    missing = [row.image for row in rows if row.image not in split_of]
    if missing:
        raise DatasetError(
            f"{table}: gives no split for {len(missing)} images of the folder, such as "
            f"{missing[0]}; split by image, each must be listed in a column `image`."
        )
    return [dataclasses.replace(row, split=split_of[row.image]) for row in rows]


def _read(table: Path) -> tuple[str, dict[str, str]]:
    """The column that names the units, and the split of each unit."""
    split_of: dict[str, str] = {}
    try:
        _, columns = next(read_cells(table), (0, ()))
        unit = next((name for name in _UNITS if name in columns), None)
        if unit is None or "split" not in columns:
            raise DatasetError(
                f"{table}: needs a header with a column `split` and one of {', '.join(_UNITS)}; it "
                f"has {', '.join(shown(name)[1:-1] for name in columns[:10]) or 'none'}."
            )
        for line, record in read_table(table):
            name, split = record[unit], record["split"]
            place = f"{table}, line {line}"
            if split not in SPLITS:
                raise DatasetError(
                    f"{place}: the split {shown(split)} is none of {', '.join(SPLITS)}; correct it."
                )
            if split_of.setdefault(name, split) != split:
                raise DatasetError(
                    f"{place}: {unit} {shown(name)[1:-1]} is in {split} here and in "
                    f"{split_of[name]} above, on both sides of the split; remove either."
                )
    except FileNotFoundError:
        raise DatasetError(f"{table}: there is no such file; give a CSV file of splits.") from None
    except ValueError:
        raise DatasetError(
            f"{table}: this is not a CSV table; give one with the columns identity and split."
        ) from None
    return unit, split_of
