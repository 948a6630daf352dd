"""Frozen teacher for distillation, with its own input size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.names import CARD_NAME
from iris_tf.data.manifest import read_settings
from iris_tf.imaging.images import with_channel_axis
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.networks.feature_maps import EMBEDDING, feature_shapes, with_feature_maps
from iris_tf.networks.input_normalization import NORMALIZATION_LAYER
from iris_tf.networks.phase_code_network import phase_code_network
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.objectives.class_centres import FILE_NAME as CENTRES_FILE
from iris_tf.objectives.class_centres import ClassCentres
from iris_tf.objectives.objective import Outputs, Shape
from iris_tf.objectives.resizing import resize
from iris_tf.support.errors import ModelError
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.training.photometric_augmentation import grey
from iris_tf.training.run_folder import RunFolder, teacher_file

_BATCH = 64
_LENGTH_TOLERANCE = 0.01  # float16 rounds


class Teacher:
    """Frozen model that is queried about the student's crops.

    Deliberately not a layer, so that its weights are neither trained nor saved with the
    student's.

    Parameters
    ----------
    model : keras.Model
        Maps crops ``(batch, height, width, channels)`` in 0..255 to unit-length embeddings
        ``(batch, D)``. Its weights are frozen here.
    features : sequence of str, optional
        Feature maps to give besides, by their names in the network's `NetworkSpec.features`.
    centres : ClassCentres, optional
        Centres of the classes that the model was trained on, if it is to give class logits.
    code : PhaseCodeLayout, optional
        Layout of the embeddings, if they are phase codes.

    Raises
    ------
    ModelError
        If the network lacks a feature map.
    """

    def __init__(
        self,
        model: keras.Model,
        features: Sequence[str] = (),
        centres: ClassCentres | None = None,
        code: PhaseCodeLayout | None = None,
    ):
        model.trainable = False
        self.model = model
        self.centres = centres
        self.code = code
        self._maps = with_feature_maps(model, features) if features else None

    @classmethod
    def load(cls, path: str | Path, features: Sequence[str] = ()) -> "Teacher":
        """Load a teacher from a run folder (its best model) or a ``.keras`` file, or a named one.

        "pretrained" is the released model, "phase_code" the phase code of unrolled strips, which
        needs no training. Class centres are read from beside the model, if there.

        Raises
        ------
        ModelError
            If there is no such model, its embeddings are not of unit length, or it lacks a feature
            map.
        """
        file = teacher_file(path)
        if file is None:
            model, code = phase_code_network()
            return cls(model, features, code=code)
        centres = file.with_name(CENTRES_FILE)
        model = load_embedding_model(file)
        _check_unit_length(file, model)
        loaded = ClassCentres.load(centres) if centres.is_file() else None
        try:
            return cls(model, features, loaded)
        except ModelError as error:
            raise ModelError(f"distillation.features of the teacher {path}: {error}") from None

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the teacher's input, in pixels."""
        return tuple(self.model.input_shape[1:3])

    @property
    def embedding_size(self) -> int:
        """Dimension D of the embeddings."""
        return self.model.output_shape[-1]

    @property
    def feature_shapes(self) -> dict[str, Shape]:
        """Shape of each feature map that the teacher gives."""
        return {} if self._maps is None else feature_shapes(self._maps)

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

    def embeddings(self, crops: np.ndarray) -> np.ndarray:
        """Embeddings of crops, as `query` gives them.

        Parameters
        ----------
        crops : ndarray of shape (n_images, height, width) or (n_images, height, width, 3), uint8

        Returns
        -------
        ndarray of shape (n_images, D), float32
        """
        embed = tf.function(lambda batch: self._values(batch)["embedding"], reduce_retracing=True)
        found = [
            embed(tf.constant(with_channel_axis(crops[i : i + _BATCH]), tf.float32)).numpy()
            for i in range(0, len(crops), _BATCH)
        ]
        return np.concatenate(found)

    def answer(self, embedding: tf.Tensor) -> Outputs:
        """Outputs for images of known `embeddings` (batch, D); without feature maps."""
        return Outputs(embedding, logits=self._logits(embedding))

    def query(self, crops: tf.Tensor, active: tf.Tensor) -> Outputs:
        """Outputs for the student's crops; zeros, at no cost, where `active` is False."""
        found = tf.cond(active, lambda: self._values(crops), lambda: self._zeros(crops.shape[0]))
        return Outputs(**found)

    def __call__(self, crops: tf.Tensor) -> Outputs:
        """Outputs for the student's crops.

        Parameters
        ----------
        crops : tensor of shape (batch, height, width, channels), float32
            In 0..255. Resized bilinearly and converted between grey and colour if the
            teacher's input requires it.

        Returns
        -------
        Outputs
            float32.
        """
        return Outputs(**self._values(crops))

    def _values(self, crops: tf.Tensor) -> dict[str, Any]:
        crops = resize(crops, self.input_size)
        crops = _with_channels(crops, self.model.input_shape[3])
        values: dict[str, Any] = {}
        if self._maps is None:
            embedding = self.model(crops, training=False)
        else:
            maps = dict(self._maps(crops, training=False))
            embedding = maps.pop(EMBEDDING)
            values["features"] = {name: tf.cast(maps[name], tf.float32) for name in maps}
        embedding = tf.ensure_shape(
            tf.cast(embedding, tf.float32), (crops.shape[0], self.embedding_size)
        )
        logits = self._logits(embedding)
        return values | {"embedding": embedding} | ({} if logits is None else {"logits": logits})

    def _logits(self, embedding: tf.Tensor) -> tf.Tensor | None:
        if self.centres is None:
            return None
        return self.centres.scale * tf.matmul(embedding, self.centres.vectors, transpose_b=True)

    def _zeros(self, rows: int) -> dict[str, Any]:
        values: dict[str, Any] = {"embedding": tf.zeros((rows, self.embedding_size))}
        if self._maps is not None:
            values["features"] = {
                name: tf.zeros((rows, *shape)) for name, shape in self.feature_shapes.items()
            }
        if self.centres is not None:
            values["logits"] = tf.zeros((rows, len(self.centres.names)))
        return values


def _check_unit_length(file: Path, model: keras.Model) -> None:
    """Refuse a model that lacks the last layer of embedding models."""
    noise = np.random.default_rng(0).integers(1, 256, (1, *model.input_shape[1:]))
    length = float(np.linalg.norm(model(noise.astype(np.float32), training=False)))
    if not abs(length - 1.0) <= _LENGTH_TOLERANCE:  # also for NaN
        raise ModelError(
            f"{file}: the teacher's embeddings are not of unit length (that of a noise crop is "
            f"{length:.3g}); end the model with keras.layers.UnitNormalization."
        )


def _with_channels(crops: tf.Tensor, channels: int) -> tf.Tensor:
    """Crops (batch, height, width, 1 or 3) as grey or colour."""
    if crops.shape[3] == channels:
        return crops
    if channels == 3:
        return tf.repeat(crops, 3, axis=3)
    return grey(crops)


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
    """ROI mode of the crops that a teacher was trained on, or made for.

    Parameters
    ----------
    path : str or Path
        Run folder, ``.keras`` file, "pretrained" or "phase_code".

    Returns
    -------
    str or None
        None if no file beside the model states it.
    """
    file = teacher_file(path)
    if file is None:
        return "unrolled"
    description = RunFolder(path).dataset_description
    if description.is_file():
        return read_settings(description).get("roi_mode")
    card = file.with_name(CARD_NAME)
    return ModelCard.read(card).roi_mode if card.is_file() else None
