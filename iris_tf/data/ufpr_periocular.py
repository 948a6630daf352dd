"""Protocol files of UFPR-Periocular (Zanlorensi et al., 2022) as tables of this project."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from iris_tf.support.errors import DatasetError, OutputError
from iris_tf.support.files import write_text
from iris_tf.support.foreign_files import MAX_TABLE_BYTES, read_text

PROTOCOLS_FOLDER = "experimentalProtocol"
CLOSED = "closed"
WORLDS = {"open": "open_world", "open-valopen": "open_world_valopen", CLOSED: "closed_world"}
"""Protocols by name, with their folders. In an open world the test eyes are of other subjects than
the training's, and with ``open-valopen`` so are the validation's; in the closed world all splits
have images of the same eyes."""

FOLDS = (1, 2, 3)

_TABLES = ("split.csv", "genuine.csv", "impostor.csv")
_SPLIT_HEADER = ("image", "split")


def write_ufpr_protocol(folder: str | Path, world: str, fold: int, out: str | Path) -> list[Path]:
    """Write a fold of a protocol as a table of splits and two lists of comparisons.

    Parameters
    ----------
    folder : str or Path
        UFPR-Periocular as distributed, with ``experimentalProtocol/<world>/train_fold1.txt`` and
        so on. A line is ``image class ...``; in the files of ``test_pairs/fold1``, it is
        ``image image 1`` for a genuine comparison and ``image image 0`` for an impostor one.
    world : str
        A key of `WORLDS`.
    fold : {1, 2, 3}
    out : str or Path
        Folder; created if missing.

    Returns
    -------
    list of Path
        ``split.csv`` for ``prepare --split``, ``genuine.csv`` and ``impostor.csv`` for
        ``evaluate``. Comparisons that are listed twice, in either order, appear once. The splits of
        a closed world need ``--split-by image``; without lists of comparisons, all are made, and
        only ``split.csv`` is written.

    Raises
    ------
    DatasetError
        If world or fold are unknown, or a file is missing or has another format; names the line.
    OutputError
        If a file of one of these names exists that this function has not written.
    """
    if world not in WORLDS:
        raise DatasetError(f"world {world!r} is unknown; choose one of {', '.join(WORLDS)}.")
    if fold not in FOLDS:
        raise DatasetError(f"fold {fold} is unknown; choose 1, 2 or 3.")
    _check_folder(Path(out))
    protocol, out = Path(folder) / PROTOCOLS_FOLDER / WORLDS[world], Path(out)
    splits = [
        (fields[0], split)
        for split in ("train", "val", "test")
        for fields in _lines(protocol / f"{split}_fold{fold}.txt", 2)
    ]
    pairs: dict[str, dict[frozenset[str], tuple[str, str]]] = {"1": {}, "0": {}}
    listed = sorted((protocol / "test_pairs" / f"fold{fold}").glob("*.txt"))
    if not listed and world != CLOSED:
        raise DatasetError(
            f"{protocol / 'test_pairs' / f'fold{fold}'}: holds no list of comparisons; give the "
            "folder of UFPR-Periocular as distributed."
        )
    for file in listed:
        for number, fields in enumerate(_lines(file, 3), 1):
            if fields[2] not in pairs:
                raise DatasetError(
                    f"{file}, line {number}: a comparison must be 1 (genuine) or 0 (impostor), not "
                    f"{fields[2]!r}; get the file again."
                )
            pair = fields[0], fields[1]
            if pair[0] != pair[1]:
                pairs[fields[2]].setdefault(frozenset(pair), pair)
    tables = [[_SPLIT_HEADER, *splits], list(pairs["1"].values()), list(pairs["0"].values())]
    kept = tables if listed else tables[:1]
    return [_write(out / name, rows) for name, rows in zip(_TABLES, kept, strict=False)]


def _check_folder(out: Path) -> None:
    """Refuse to overwrite tables that were not written here."""
    there = [out / name for name in _TABLES if (out / name).exists()]
    try:
        earlier = read_text(out / _TABLES[0], MAX_TABLE_BYTES).splitlines()[:1]
    except (OSError, ValueError):
        earlier = []
    if there and earlier != [",".join(_SPLIT_HEADER)]:
        raise OutputError(
            f"{there[0]}: exists and is no earlier output of this command, so it is not "
            "overwritten; choose another folder."
        )


def _lines(file: Path, least: int) -> Iterator[list[str]]:
    """Fields of each line of a file."""
    try:
        text = read_text(file, MAX_TABLE_BYTES)
    except (OSError, ValueError):
        raise DatasetError(
            f"{file}: cannot be read; give the folder of UFPR-Periocular as distributed."
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if len(fields) < least:
            raise DatasetError(
                f"{file}, line {number}: has {len(fields)} fields, but needs {least}; get the file "
                "again."
            )
        yield fields


def _write(path: Path, rows: list[tuple[str, str]]) -> Path:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, buffer.getvalue())
    return path
