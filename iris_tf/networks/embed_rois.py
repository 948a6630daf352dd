"""Loading Keras embedding models and running them on many crops."""

import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# Registers the custom layers, so that `load_model` finds them.
import iris_tf.networks.embedding_model  # noqa: F401
from iris_tf.support.errors import ModelError, first_line

_BATCH = 64


def load_embedding_model(path: str | Path) -> keras.Model:
    """Load a ``.keras`` file of this project.

    Raises
    ------
    ModelError
        When the file is missing, damaged, or holds another kind of model.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model; check the path.")
    # Of a file that is no archive Keras would say that it was not found.
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path}: this is not a .keras file, or a damaged one; give one from `iris-tf train`."
        )
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(
            f"{path}: Keras cannot load it ({first_line(error)}); give a .keras file from "
            "`iris-tf train`."
        ) from None
    if not is_embedding_model(model):
        raise ModelError(
            f"{path}: its model goes from {model.input_shape} to {model.output_shape}, but an "
            "embedding model goes from (None, height, width, 1) to (None, size); give a .keras "
            "file from `iris-tf train`."
        )
    return model


def is_embedding_model(model: keras.Model) -> bool:
    """Whether a model goes from grey crops of one size to vectors."""
    taken, given = model.input_shape, model.output_shape
    if not (isinstance(taken, tuple) and isinstance(given, tuple)):  # several of them are lists
        return False
    return len(taken) == 4 and taken[3] == 1 and None not in taken[1:] and len(given) == 2


def embed_rois(model: keras.Model, rois: np.ndarray) -> np.ndarray:
    """Embed crops with a Keras model.

    Parameters
    ----------
    model : keras.Model
        ``(batch, H, W, 1)`` in 0..255 to ``(batch, D)``.
    rois : ndarray of shape (n, H, W), uint8

    Returns
    -------
    ndarray of shape (n, D), float32
        Rows of unit length.
    """
    dataset = tf.data.Dataset.range(0, len(rois), _BATCH).map(
        lambda start: tf.ensure_shape(
            tf.numpy_function(
                lambda i: rois[i : i + _BATCH, :, :, None].astype(np.float32), [start], tf.float32
            ),
            (None, *rois.shape[1:], 1),
        )
    )
    return np.asarray(model.predict(dataset, verbose=0), np.float32)
