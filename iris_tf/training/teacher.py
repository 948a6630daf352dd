"""Frozen teacher for distillation, with its own input size."""

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.names import CARD_NAME
from iris_tf.data.manifest import read_settings
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.networks.input_normalization import NORMALIZATION_LAYER
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.objectives.objective import Outputs
from iris_tf.support.errors import ModelError
from iris_tf.training.run_folder import RunFolder, model_file


class Teacher:
    """Frozen model that embeds the student's crops.

    Deliberately not a layer, so that its weights are neither trained nor saved with the
    student's.

    Parameters
    ----------
    model : keras.Model
        Maps crops ``(batch, height, width, channels)`` in 0..255 to unit-length embeddings
        ``(batch, D)``. Its weights are frozen here.
    """

    def __init__(self, model: keras.Model):
        model.trainable = False
        self.model = model

    @classmethod
    def load(cls, path: str | Path) -> "Teacher":
        """Load a teacher from a run folder (its best model) or a ``.keras`` file.

        Raises
        ------
        ModelError
            If there is no such model.
        """
        return cls(load_embedding_model(model_file(Path(path))))

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the teacher's input, in pixels."""
        return tuple(self.model.input_shape[1:3])

    @property
    def embedding_size(self) -> int:
        """Dimension D of the embeddings."""
        return self.model.output_shape[-1]

    def check_input(self, student_size: tuple[int, int]) -> None:
        """Check that the teacher can embed the student's crops, resized if necessary.

        Parameters
        ----------
        student_size : tuple of int
            Height and width of the student's crops.

        Raises
        ------
        ModelError
            If sizes differ and the teacher computes local contrast: resizing a strip loses
            which pixels are masked.
        """
        layers = {layer.name: layer for layer in self.model.layers}
        if isinstance(layers.get(NORMALIZATION_LAYER), StripNormalization):
            check_strip_size(self.input_size, student_size)

    def __call__(self, crops: tf.Tensor) -> Outputs:
        """Embed the student's crops.

        Parameters
        ----------
        crops : tensor of shape (batch, height, width, channels), float32
            In 0..255. Resized bilinearly and converted from grey to colour if the
            teacher's input requires it.

        Returns
        -------
        Outputs
            float32.
        """
        if tuple(crops.shape[1:3]) != self.input_size:
            # Written out, because XLA has no kernel for TensorFlow's antialiased resizing.
            rows, columns = map(_interpolation, crops.shape[1:3], self.input_size)
            crops = tf.einsum("ih,bhwc,jw->bijc", rows, crops, columns)
        if crops.shape[3] == 1 and self.model.input_shape[3] == 3:
            crops = tf.repeat(crops, 3, axis=3)
        embedding = tf.cast(self.model(crops, training=False), tf.float32)
        return Outputs(tf.ensure_shape(embedding, (crops.shape[0], self.embedding_size)))


def _interpolation(before: int, after: int) -> np.ndarray:
    """Matrix (after, before), float32, of linear interpolation, antialiased when downsampling."""
    step = before / after
    centres = (np.arange(after) + 0.5) * step - 0.5
    distances = np.abs(np.arange(before) - centres[:, None]) / max(step, 1.0)
    weights = np.maximum(1.0 - distances, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def check_strip_size(teacher: tuple[int, int], student: tuple[int, int]) -> None:
    """Check that a teacher that computes local contrast gets strips of its own input size.

    Raises
    ------
    ModelError
        If the sizes differ.
    """
    if teacher != student:
        raise ModelError(
            f"the teacher takes strips of {teacher} unresized, but the student's are "
            f"{student}; set `network.input_size` to the teacher's."
        )


def teacher_roi_mode(path: str | Path) -> str | None:
    """ROI mode of the crops that a teacher was trained on.

    Parameters
    ----------
    path : str or Path
        Run folder or ``.keras`` file.

    Returns
    -------
    str or None
        None if no file beside the model states it.
    """
    path = Path(path)
    description = RunFolder(path).dataset_description
    if description.is_file():
        return read_settings(description).get("roi_mode")
    card = path.parent / CARD_NAME
    return json.loads(card.read_text("utf-8"))["roi_mode"] if card.is_file() else None
