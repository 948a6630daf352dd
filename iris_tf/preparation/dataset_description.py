"""``dataset.json``: checks whether a folder holds this dataset, and whether it is complete."""

from pathlib import Path
from typing import Any

from iris_tf.data.manifest import canonical_settings
from iris_tf.preparation.journal import FOLDER
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import is_there, is_unused
from iris_tf.support.foreign_files import read_object, shown

_NUMBERS = (
    "images", "prepared", "failed", "persons", "identities", "identities_with_one_image",
)  # fmt: skip

SPLIT_TABLE = "split_table"
"""Setting of a dataset whose splits come from a table: the SHA-256 of that file."""

MIRROR_LEFT = "mirror_left"
"""Setting of a dataset whose crops of left eyes are mirrored: True, otherwise absent."""

IDENTITIES_BY = "identities"
"""Setting of a dataset in which both eyes of a subject are one identity: ``"subject"``, otherwise
absent."""


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
        description = read_object(path)
        earlier = description["settings"] = canonical_settings(description["settings"])
        differing = [
            name
            for name in dict.fromkeys((*settings, SPLIT_TABLE, MIRROR_LEFT, IDENTITIES_BY))
            if name != "min_quality" and earlier.get(name) != settings.get(name)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DatasetError(
            f"{path}: this was not written by `iris-tf prepare`; choose another folder."
        ) from None
    if differing == ["segmenter_version"]:
        version = "unknown" if "segmenter_version" not in earlier else shown(earlier[differing[0]])
        raise DatasetError(
            f"{out}: this dataset is out of date, because version {version} of the segmenter "
            f"{settings['segmenter']!r} made it and this is version "
            f"{settings['segmenter_version']!r}; choose another folder, or delete this one."
        )
    if differing:
        changes = "; ".join(
            f"{n} {shown(earlier.get(n))} instead of {shown(settings.get(n))}" for n in differing
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
        and _are_counts(description.get("counts"))
        and description["settings"].get("min_quality") == settings["min_quality"]
    )


def _are_counts(counts: Any) -> bool:
    """Whether a value from a file has the numbers of `dataset_tables.count_dataset`."""
    if not isinstance(counts, dict):
        return False
    groups = [counts.get(name) for name in ("failures", "notes", "splits", "outside_layout")]
    numbers = [counts.get(name) for name in _NUMBERS]
    if not all(isinstance(group, dict) for group in groups):
        return False
    return all(type(n) is int for n in (*numbers, *counts["failures"].values()))
