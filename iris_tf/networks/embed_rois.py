"""Loading of Keras embedding models, and batched inference on crops."""

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
        If the file is missing, damaged, or holds another kind of model.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model; check the path.")
    # Keras reports a file that is not an archive as missing.
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
            f"{path}: its model maps {model.input_shape} to {model.output_shape}, but an embedding "
            "model maps (None, height, width, 1 or 3) to (None, size); give a .keras file from "
            "`iris-tf train`."
        )
    return model


def is_embedding_model(model: keras.Model) -> bool:
    """Whether a model maps grey or colour crops of a fixed size to vectors."""
    inputs, outputs = model.input_shape, model.output_shape
    # The shapes of several inputs or outputs are lists.
    if not (isinstance(inputs, tuple) and isinstance(outputs, tuple)):
        return False
    crops = len(inputs) == 4 and inputs[3] in CHANNELS and None not in inputs[1:]
    return crops and len(outputs) == 2


def embed_rois(model: keras.Model, rois: np.ndarray) -> np.ndarray:
    """Embed crops with a Keras model.

    Parameters
    ----------
    model : keras.Model
        Maps ``(batch, H, W, channels)`` in 0..255 to ``(batch, D)``.
    rois : ndarray of shape (n, H, W), or (n, H, W, 3) for colour crops, uint8

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
