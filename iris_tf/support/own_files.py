"""Refusing to overwrite files that are not the project's own."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from iris_tf.support.errors import OutputError
from iris_tf.support.foreign_files import read_json


def check_replaceable(path: str | Path, keys: Iterable[str]) -> None:
    """Refuse an output that would overwrite a file of another kind.

    Parameters
    ----------
    path : str or Path
        File to be written.
    keys : iterable of str
        Names that tell an earlier output of the same kind: arrays of an ``.npz`` file, or keys
        of the object in a JSON file.

    Raises
    ------
    OutputError
        When the file exists and does not hold all of them.
    """
    path = Path(path)
    if path.exists() and not set(keys) <= _names(path):
        raise OutputError(
            f"{path}: exists and is no earlier output of this command, so it is not overwritten; "
            "choose another name, or move the file away."
        )


def _names(path: Path) -> set[str]:
    """Arrays of an ``.npz`` file, keys of a JSON object; nothing of any other file."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return {name.removesuffix(".npy") for name in archive.namelist()}
        values = read_json(path)
    except (OSError, ValueError, zipfile.BadZipFile):
        return set()
    return set(values) if isinstance(values, dict) else set()
