"""What a prepared dataset is called in results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iris_tf.data.layouts import PUBLISHED


def dataset_title(settings: Mapping[str, Any], folder: str | Path) -> str:
    """Call a dataset by its published layout, or else by its folder.

    Parameters
    ----------
    settings : mapping of str to object
        Of its ``dataset.json``.
    folder : str or Path
        Its folder, or that of its images.

    Examples
    --------
    >>> dataset_title({"synthetic": False, "layout": "folder"}, "data/mine")
    'mine'
    >>> dataset_title({"synthetic": False, "layout": "iitd"}, "data/mine")
    'iitd'
    """
    if settings["synthetic"]:
        return "synthetic eyes"
    layout = settings["layout"]
    return layout if layout in PUBLISHED else Path(folder).resolve().name
