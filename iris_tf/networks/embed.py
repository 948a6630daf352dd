"""Loading Keras embedding models and running them over many crops."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# Registers the custom layers, so that `load_model` finds them.
import iris_tf.networks.embedding_model  # noqa: F401
from iris_tf.errors import ModelError

_BATCH = 64


def load_embedding_model(path: str | Path) -> keras.Model:
    """Load a ``.keras`` file of this project.

    Raises
    ------
    ModelError
        When the file is missing or is not such a model.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model; check the path.")
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: is not a .keras model of this project ({str(error).splitlines()[0]})."
        ) from None


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
