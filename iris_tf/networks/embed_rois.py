"""Loading Keras embedding models and running them on many crops."""

import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# Registers the custom layers, so that `load_model` finds them.
import iris_tf.networks.embedding_model  # noqa: F401
from iris_tf.config.names import CHANNELS
from iris_tf.imaging.images import with_channel_axis
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
            "embedding model goes from (None, height, width, 1 or 3) to (None, size); give a "
            ".keras file from `iris-tf train`."
        )
    return model


def is_embedding_model(model: keras.Model) -> bool:
    """Whether a model goes from crops of one size, grey or colour, to vectors."""
    taken, given = model.input_shape, model.output_shape
    if not (isinstance(taken, tuple) and isinstance(given, tuple)):  # several of them are lists
        return False
    return len(taken) == 4 and taken[3] in CHANNELS and None not in taken[1:] and len(given) == 2


def embed_rois(model: keras.Model, rois: np.ndarray) -> np.ndarray:
    """Embed crops with a Keras model.

    Parameters
    ----------
    model : keras.Model
        ``(batch, H, W, channels)`` in 0..255 to ``(batch, D)``.
    rois : ndarray of shape (n, H, W), or (n, H, W, 3) for a model of colour crops, uint8

    Returns
    -------
    ndarray of shape (n, D), float32
        Rows of unit length.
    """
    crops = with_channel_axis(rois)
    dataset = tf.data.Dataset.range(0, len(crops), _BATCH).map(
        lambda start: tf.ensure_shape(
            tf.numpy_function(
                lambda i: crops[i : i + _BATCH].astype(np.float32), [start], tf.float32
            ),
            (None, *crops.shape[1:]),
        )
    )
    return np.asarray(model.predict(dataset, verbose=0), np.float32)
