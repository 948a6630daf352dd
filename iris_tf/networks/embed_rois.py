"""Loading of Keras embedding models, and batched inference on crops."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# Registers the custom layers, so that `load_model` finds them.
import iris_tf.networks.embedding_model  # noqa: F401
from iris_tf.config.names import CHANNELS
from iris_tf.imaging.images import MAX_INPUT_SIDE, with_channel_axis
from iris_tf.networks.keras_files import load_keras_file
from iris_tf.support.errors import ModelError, first_line

_BATCH = 64


def load_embedding_model(path: str | Path) -> keras.Model:
    """Load a ``.keras`` file of this project.

    Raises
    ------
    ModelError
        If the file is missing or damaged, holds another kind of model or foreign classes, or a
        network that fails on a crop.
    """
    model = load_keras_file(path)
    try:
        check_embedding_model(model)
    except ValueError as error:
        raise ModelError(f"{path}: {error}; give a .keras file from `iris-tf train`.") from None
    return model


def check_embedding_model(model: keras.Model) -> None:
    """Check that a model from a file embeds a crop.

    Raises
    ------
    ValueError
        If it is another kind of model, or fails on a crop. The message is a clause.
    """
    if not is_embedding_model(model):
        raise ValueError(
            f"its model maps {model.input_shape} to {model.output_shape}, but an embedding model "
            "maps (None, height, width, 1 or 3) to (None, size)"
        )
    # Keras checks what layers are given only when they are called.
    try:
        model(np.zeros((1, *model.input_shape[1:]), np.float32))
    except MemoryError:
        raise
    except Exception as error:  # layers raise exceptions of any kind
        reason = first_line(error).rstrip(".")
        raise ValueError(f"its network fails on a black crop ({reason})") from None


def is_embedding_model(model: keras.Model) -> bool:
    """Whether a model maps grey or colour crops of a fixed size to vectors."""
    inputs, outputs = model.input_shape, model.output_shape
    # The shapes of several inputs or outputs are lists.
    if not (isinstance(inputs, tuple) and isinstance(outputs, tuple)):
        return False
    crops = len(inputs) == 4 and inputs[3] in CHANNELS and None not in inputs[1:]
    return crops and len(outputs) == 2 and max(inputs[1:]) <= MAX_INPUT_SIDE


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
    options = tf.data.Options()
    # Its thread may sleep for seconds before the iterator can be freed.
    options.autotune.enabled = False
    return np.asarray(model.predict(dataset.with_options(options), verbose=0), np.float32)
