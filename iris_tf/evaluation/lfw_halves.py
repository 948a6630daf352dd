"""Two-fold use of Labeled Faces in the Wild: training and testing on its own images."""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.data.layouts import read_layout
from iris_tf.evaluation.lfw_pairs import read_lfw_pairs
from iris_tf.support.errors import EvaluationError, OutputError
from iris_tf.support.files import write_text
from iris_tf.support.foreign_files import MAX_TABLE_BYTES, read_text

SPLIT_NAME, PAIRS_NAME = "split.csv", "pairs.txt"
_HEADER = ("subject", "split")
_VALIDATION = 10  # every so many training subjects with several images validate


@dataclass(frozen=True)
class LfwHalf:
    """Files of one half.

    Attributes
    ----------
    split : Path
        Table for ``prepare --split``: the subjects of the half's comparisons are ``test``, all
        others ``train`` or ``val``.
    pairs : Path
        The half's folds, for ``evaluate --split test --folds``.
    subjects : dict of str to int
        Number of subjects of each split.
    """

    split: Path
    pairs: Path
    subjects: dict[str, int]


def write_lfw_halves(images: str | Path, pairs: str | Path, out: str | Path) -> list[LfwHalf]:
    """Write each half of LFW's folds as a test set, with all other subjects for training.

    Nearly all subjects of LFW with several images occur in its comparisons, so without images of
    others there is nothing to train on. With half of the folds as test set, the subjects of the
    other half remain; both halves together test on all comparisons.

    Parameters
    ----------
    images : str or Path
        LFW as distributed, ``<name>/<name>_0001.jpg``.
    pairs : str or Path
        LFW's ``pairs.txt``, see `read_lfw_pairs`.
    out : str or Path
        Folder for ``half1`` and ``half2``; created if missing.

    Returns
    -------
    list of LfwHalf

    Raises
    ------
    EvaluationError
        If the list cannot be used, or has fewer than four folds.
    DatasetError
        If the folder cannot be read.
    OutputError
        If a file of one of these names exists that this function has not written.
    """
    rows = read_layout(Path(images), "folder").rows
    found = read_lfw_pairs(pairs, rows)
    header, *lines = [
        line for line in read_text(pairs, MAX_TABLE_BYTES).splitlines() if line.strip()
    ]
    folds, each = map(int, header.split())
    if folds < 4:
        raise EvaluationError(
            f"{pairs}: has {folds} folds, but each half needs two, as thresholds are chosen on "
            "other folds; give LFW's own list of ten."
        )
    samples = Counter(row.subject for row in rows)
    halves = []
    for number, tested in enumerate((range(folds // 2), range(folds // 2, folds)), 1):
        compared = np.concatenate(
            [
                found.genuine[np.isin(found.genuine_folds, tested)],
                found.impostor[np.isin(found.impostor_folds, tested)],
            ]
        )
        split_of = _splits(samples, {rows[index].subject for index in np.unique(compared)})
        folder = Path(out) / f"half{number}"
        own = lines[tested.start * 2 * each : tested.stop * 2 * each]
        _check_folder(folder)
        halves.append(
            LfwHalf(
                _write(folder / SPLIT_NAME, _table(split_of)),
                _write(folder / PAIRS_NAME, "\n".join([f"{len(tested)}\t{each}", *own]) + "\n"),
                dict(Counter(split_of.values())),
            )
        )
    return halves


def _splits(samples: Counter[str], tested: set[str]) -> dict[str, str]:
    """Split of each subject."""
    others = [name for name in sorted(samples) if name not in tested]
    several = [name for name in others if samples[name] > 1]
    validation = set(several[_VALIDATION - 1 :: _VALIDATION])
    return {
        name: "test" if name in tested else "val" if name in validation else "train"
        for name in sorted(samples)
    }


def _table(split_of: dict[str, str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([_HEADER, *split_of.items()])
    return buffer.getvalue()


def _check_folder(folder: Path) -> None:
    """Refuse to overwrite files that were not written here."""
    there = [folder / name for name in (SPLIT_NAME, PAIRS_NAME) if (folder / name).exists()]
    try:
        earlier = read_text(folder / SPLIT_NAME, MAX_TABLE_BYTES).splitlines()[:1]
    except (OSError, ValueError):
        earlier = []
    if there and earlier != [",".join(_HEADER)]:
        raise OutputError(
            f"{there[0]}: exists and is no earlier output of this command, so it is not "
            "overwritten; choose another folder."
        )


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path
