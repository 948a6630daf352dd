"""``dataset.json``: checks whether a folder holds this dataset, and whether it is complete."""

import json
from pathlib import Path
from typing import Any

from iris_tf.data.manifest import canonical_settings
from iris_tf.preparation.journal import FOLDER
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import is_there, is_unused

SPLIT_TABLE = "split_table"
"""Setting of a dataset whose splits come from a table: the SHA-256 of that file."""


def read_description(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Read ``dataset.json`` of an earlier run with the same settings.

    Quality limits may differ, because they do not affect the crops.

    Parameters
    ----------
    out : Path
        Dataset folder, which need not exist.
    settings : dict
        Of this run.

    Returns
    -------
    dict
        Its content, with settings as the current version writes them; empty for a new folder.

    Raises
    ------
    DatasetError
        If the folder holds anything else.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out}: this is a file; choose a folder for the dataset.")
    path = out / "dataset.json"
    if not path.exists() and not is_unused(out):
        raise DatasetError(
            f"{out}: this folder holds other files than a dataset; choose a new or empty one."
        )
    if not is_there(path):
        # A power cut can leave a name without its bytes, and a journal beside it.
        others = [entry for entry in out.iterdir() if entry != path] if path.exists() else []
        if others and not (out / FOLDER).is_dir():
            raise DatasetError(
                f"{path}: is empty, and the folder holds other files than a dataset; choose a new "
                "or empty one."
            )
        return {}
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        earlier = description["settings"] = canonical_settings(description["settings"])
        differing = [
            name
            for name in dict.fromkeys((*settings, SPLIT_TABLE))
            if name != "min_quality" and earlier.get(name) != settings.get(name)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DatasetError(
            f"{path}: this was not written by `iris-tf prepare`; choose another folder."
        ) from None
    if differing == ["segmenter_version"]:
        raise DatasetError(
            f"{out}: this dataset is out of date, because version "
            f"{earlier.get('segmenter_version', 'unknown')} of the segmenter "
            f"{settings['segmenter']!r} made it and this is version "
            f"{settings['segmenter_version']}; choose another folder, or delete this one."
        )
    if differing:
        changes = "; ".join(
            f"{n} {earlier.get(n)!r} instead of {settings.get(n)!r}" for n in differing
        )
        raise DatasetError(
            f"{out}: this folder holds a dataset of other settings ({changes}); "
            "choose another folder, or delete this one."
        )
    return description


def is_complete(description: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether a description is of a complete run with the same quality limits.

    Parameters
    ----------
    description : dict
        From `read_description`.
    settings : dict
        Of this run.
    """
    return (
        bool(description.get("complete"))
        and "inputs" in description
        and description["settings"].get("min_quality") == settings["min_quality"]
    )
