"""The models that are released with the package."""

import json
from pathlib import Path

from iris_tf.config.names import CARD_NAME
from iris_tf.config.precision import RELEASED_PRECISION
from iris_tf.support.errors import ModelError

_PACKAGE = Path(__file__).parents[1]
# In an installed package the models lie inside it, in a checkout beside it.
FOLDERS = (_PACKAGE / "models", _PACKAGE.parent / "models")

RECOGNITION = "mobiiris"
"""Name of the released recognition model."""

# The segmenter takes half the time in integers, with the same results.
_DEFAULTS = {"iris-segmenter": "int8"}

PRETRAINED = "pretrained"
"""Setting of a network's `weights` that starts from the released recognition model."""


def released_folder(name: str) -> Path:
    """Folder of a released model, with its card and files.

    Parameters
    ----------
    name : str
        E.g. ``"iris-segmenter"``.

    Raises
    ------
    ModelError
        When the installation lacks it.
    """
    for folder in FOLDERS:
        if (folder / name / CARD_NAME).is_file():
            return folder / name
    raise ModelError(
        f"{FOLDERS[-1] / name}: the released model {name!r} is missing from this installation; "
        "install iris_tf again."
    )


def released_weights(name: str) -> Path:
    """Path of the ``.keras`` file that a training can start from.

    Parameters
    ----------
    name : str
        E.g. ``"mobiiris"``.

    Raises
    ------
    ModelError
        When the installation lacks it.
    """
    path = released_folder(name) / f"{name}.keras"
    if not path.is_file():
        raise ModelError(f"{path}: is missing from this installation; install iris_tf again.")
    return path


def weights_file(weights: str) -> Path | None:
    """Path of the file that a network's setting `weights` names.

    Parameters
    ----------
    weights : str
        See `iris_tf.networks.embedding_model.build_embedding_model`.

    Returns
    -------
    Path or None
        None for "none", and for "imagenet", whose file Keras manages.

    Raises
    ------
    ModelError
        When the installation lacks the released model.
    """
    if weights == PRETRAINED:
        return released_weights(RECOGNITION)
    path = Path(weights)
    return path if path.is_file() else None


def released_model(name: str, precision: str | None = None) -> Path:
    """Path of a released model's ``.tflite`` file.

    Parameters
    ----------
    name : str
        E.g. ``"iris-segmenter"``.
    precision : str, optional
        One of `iris_tf.config.precision.PRECISIONS`; by default, the one that the project uses.

    Raises
    ------
    ModelError
        When the installation lacks it.
    """
    precision = precision or _DEFAULTS.get(name, RELEASED_PRECISION)
    folder = released_folder(name)
    files = json.loads((folder / CARD_NAME).read_text("utf-8"))["files"]
    for file, facts in files.items():
        if facts["precision"] == precision:
            return folder / file
    # A segmenter has no .keras file; its other precisions are made from float16.
    sources = [folder / f"{name}.keras"]
    sources += [folder / file for file, facts in files.items() if facts["precision"] == "float16"]
    way = next(
        (
            f"export it by `iris-tf export {source} --precision {precision} --out FOLDER`"
            for source in sources
            if source.is_file()
        ),
        "choose another",
    )
    raise ModelError(f"{folder}: there is no {precision} file of this model; {way}.")
