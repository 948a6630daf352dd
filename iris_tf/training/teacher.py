"""The frozen teacher of a distillation, with an input of its own."""

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
    """A frozen model that is asked about the student's crops.

    Deliberately not a layer, so that its weights are neither trained nor saved with the
    student's.

    Parameters
    ----------
    model : keras.Model
        Crops ``(batch, height, width, channels)`` in 0..255 to unit embeddings ``(batch, D)``.
        Its weights are frozen.
    """

    def __init__(self, model: keras.Model):
        model.trainable = False
        self.model = model

    @classmethod
    def load(cls, path: str | Path) -> "Teacher":
        """Teacher from a run folder (its best model) or a ``.keras`` file.

        Raises
        ------
        ModelError
            When there is no such model.
        """
        return cls(load_embedding_model(model_file(Path(path))))

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the crops that it takes, in pixels."""
        return tuple(self.model.input_shape[1:3])

    @property
    def embedding_size(self) -> int:
        """D."""
        return self.model.output_shape[-1]

    def check_input(self, student_size: tuple[int, int]) -> None:
        """Refuse a teacher that cannot be shown the student's crops, resized where necessary.

        Parameters
        ----------
        student_size : tuple of int
            Height and width of the student's crops.

        Raises
        ------
        ModelError
            When sizes differ and the teacher computes local contrast: a strip that is resized
            has lost which of its pixels are hidden.
        """
        layers = {layer.name: layer for layer in self.model.layers}
        if isinstance(layers.get(NORMALIZATION_LAYER), StripNormalization):
            check_strip_size(self.input_size, student_size)

    def __call__(self, crops: tf.Tensor) -> Outputs:
        """Outputs for the student's crops.

        Parameters
        ----------
        crops : tensor of shape (batch, height, width, channels), float32
            In 0..255; resized bilinearly, and grey repeated as colour, where the
            teacher's input asks for it.

        Returns
        -------
        Outputs
            float32.
        """
        if tuple(crops.shape[1:3]) != self.input_size:
            # Written out, because XLA has no kernel for TensorFlow's resizing with antialiasing.
            rows, columns = map(_interpolation, crops.shape[1:3], self.input_size)
            crops = tf.einsum("ih,bhwc,jw->bijc", rows, crops, columns)
        if crops.shape[3] == 1 and self.model.input_shape[3] == 3:
            crops = tf.repeat(crops, 3, axis=3)
        embedding = tf.cast(self.model(crops, training=False), tf.float32)
        return Outputs(tf.ensure_shape(embedding, (crops.shape[0], self.embedding_size)))


def _interpolation(before: int, after: int) -> np.ndarray:
    """Matrix (after, before), float32, of linear interpolation, with antialiasing in shrinking."""
    step = before / after
    centres = (np.arange(after) + 0.5) * step - 0.5
    distances = np.abs(np.arange(before) - centres[:, None]) / max(step, 1.0)
    weights = np.maximum(1.0 - distances, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def check_strip_size(teacher: tuple[int, int], student: tuple[int, int]) -> None:
    """Refuse crops of another size than a teacher's that computes local contrast.

    Raises
    ------
    ModelError
    """
    if teacher != student:
        raise ModelError(
            f"the teacher takes strips of {teacher} as they are cut, but the student's are "
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
        None where nothing beside the model says it.
    """
    path = Path(path)
    description = RunFolder(path).dataset_description
    if description.is_file():
        return read_settings(description).get("roi_mode")
    card = path.parent / CARD_NAME
    return json.loads(card.read_text("utf-8"))["roi_mode"] if card.is_file() else None
