"""What a prepared dataset is called in results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iris_tf.data.layouts import dataset_name


def dataset_title(settings: Mapping[str, Any]) -> str:
    """Call a dataset by its published layout, or else by its image folder.

    Parameters
    ----------
    settings : mapping of str to object
        Of its ``dataset.json``.

    Examples
    --------
    >>> dataset_title({"synthetic": False, "layout": "folder", "images": "/eyes/mine"})
    'mine'
    >>> dataset_title({"synthetic": True, "layout": "casia-thousand", "images": "/eyes/mine"})
    'synthetic eyes'
    """
    if settings["synthetic"]:
        return "synthetic eyes"
    return dataset_name(settings["layout"], Path(settings["images"]))
