"""Opens any model that a user can name: a ``.tflite``, ``.irq`` or ``.keras`` file, or a run."""

import itertools
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from iris_tf.config.names import CARD_NAME
from iris_tf.data.manifest import model_segmenter, read_settings
from iris_tf.imaging.images import resize_roi
from iris_tf.matching.matcher import Matcher
from iris_tf.quantization.packed_file import PACKED_SUFFIX
from iris_tf.support.files import sha256
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.score_model import ScoreModel
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

if TYPE_CHECKING:
    import keras

    from iris_tf.training.run_folder import RunFolder

_CHUNK = 1024  # crops in memory at a time

_log = logging.getLogger(__name__)


class Embedder(Protocol):
    """Computes embeddings of ROI crops.

    Attributes
    ----------
    path : Path
        The model's file.
    input_size : tuple of (int, int)
        Height and width that crops are resized to, in pixels.
    channels : int
        Of the crops: 1 for grey, 3 for red, green and blue.
    embedding_size : int
        Length of an embedding.
    matcher : Matcher
        Compares the embeddings.
    """

    path: Path
    input_size: tuple[int, int]
    channels: int
    embedding_size: int
    matcher: Matcher

    def embed(self, rois: Iterable[np.ndarray]) -> np.ndarray:
        """Embed crops.

        Parameters
        ----------
        rois : iterable of ndarray of shape (height, width) or (height, width, 3), uint8
            Crops of any size.

        Returns
        -------
        ndarray of shape (n, embedding_size), float32
            Unit vectors.
        """


class KerasEmbedder:
    """`Embedder` of a Keras model.

    Parameters
    ----------
    path : str or Path
        File that the model was loaded from.
    model : keras.Model
        From crops to embeddings.
    matcher : Matcher
        For its embeddings.
    """

    def __init__(self, path: str | Path, model: "keras.Model", matcher: Matcher):
        # Imported here, because `embed` and `verify` must not load TensorFlow for a .tflite file.
        from iris_tf.networks.embed_rois import embed_rois

        self.path, self.matcher = Path(path), matcher
        self._embed = lambda rois: embed_rois(model, rois)
        height, width, self.channels = model.input_shape[1:]
        self.input_size = (height, width)
        self.embedding_size = int(model.output_shape[-1])

    @classmethod
    def of_keras_file(cls, path: str | Path, phase_share: float = 0.0) -> "KerasEmbedder":
        """Load a ``.keras`` file, and TensorFlow.

        Parameters
        ----------
        path : str or Path
            The file.
        phase_share : float, optional
            Weight of the phase code that is appended to the embedding, as `iris-tf export` does;
            0 for the learned component alone.

        Raises
        ------
        ModelError
            When the file is missing or not a model of this project.
        """
        # Registers the layers of quantised networks.
        import iris_tf.quantization.quantized_layers  # noqa: F401
        from iris_tf.networks.embed_rois import load_embedding_model

        model, layout = load_embedding_model(Path(path)), None
        if phase_share:
            from iris_tf.networks.phase_code import with_phase

            model, layout = with_phase(model, phase_share)
        return cls(path, model, Matcher(layout))

    @classmethod
    def of_packed_file(cls, path: str | Path, card: ModelCard | None) -> "KerasEmbedder":
        """Load an ``.irq`` file, and TensorFlow.

        Parameters
        ----------
        path : str or Path
            The file.
        card : ModelCard or None
            Its card; without one, embeddings are compared by their plain cosine.

        Raises
        ------
        ModelError
            When the file is missing, damaged or not one of this project.
        """
        from iris_tf.quantization.packed_model import load_packed_model

        matcher = Matcher() if card is None else Matcher.of_card(card)
        return cls(path, load_packed_model(Path(path)), matcher)

    def embed(self, rois: Iterable[np.ndarray]) -> np.ndarray:
        """Embed crops in batches (see `Embedder`)."""
        resized = (resize_roi(roi, self.input_size) for roi in rois)
        parts = [np.empty((0, self.embedding_size), np.float32)]
        while chunk := list(itertools.islice(resized, _CHUNK)):
            parts.append(self._embed(np.stack(chunk)))
        return np.concatenate(parts)


class ExportedEmbedder(TFLiteEmbedder):
    """`Embedder` of a ``.tflite`` file.

    Parameters
    ----------
    path : str or Path
        The file.
    card : ModelCard, optional
        Its card; without one, embeddings are compared by their plain cosine.

    Raises
    ------
    ModelError
        When the file is missing or not an export of this project.
    """

    def __init__(self, path: str | Path, card: ModelCard | None):
        super().__init__(path)
        self.matcher = Matcher() if card is None else Matcher.of_card(card)


def crop_settings(path: str | Path) -> dict[str, str | int] | None:
    """Crops that a model was trained on.

    Parameters
    ----------
    path : str or Path
        As for `open_model`.

    Returns
    -------
    dict or None
        ``roi_mode``, ``segmenter`` and ``channels`` from the run or the model card, or None
        without either.
    """
    path = Path(path)
    if path.is_dir():
        from iris_tf.training.run_folder import RunFolder

        settings = read_settings(RunFolder.open(path).dataset_description)
        return {
            "roi_mode": settings["roi_mode"],
            "segmenter": model_segmenter(settings),
            "channels": settings["channels"],
        }
    if path.suffix == ".keras":
        return None
    card = ModelCard.of_file(path)
    if card is None:
        return None
    return {
        "roi_mode": card.roi_mode,
        "segmenter": card.segmenter,
        "channels": card.channels,
    }


def _exported_scores(run: "RunFolder") -> ScoreModel | None:
    """Scores of the card that a run's best checkpoint was exported with, if it was."""
    card = run.models / CARD_NAME
    if not card.is_file():
        return None
    exported = ModelCard.read(card)
    return exported.score if exported.weights_sha256 == sha256(run.best_model()) else None


def open_model(path: str | Path) -> Embedder:
    """Open a ``.tflite``, ``.irq`` or ``.keras`` file, or a run folder's best checkpoint.

    The model of a run includes the phase code of its recipe, and compares by score once it was
    exported with scores; a ``.keras`` file has the learned component alone.

    Raises
    ------
    ModelError
        When there is no such model, or it was not made by this project.
    """
    path = Path(path)
    if path.is_dir():
        from iris_tf.training.run_folder import RunFolder

        run = RunFolder.open(path)
        embedder = KerasEmbedder.of_keras_file(run.best_model(), run.recipe().network.phase)
        embedder.matcher = replace(embedder.matcher, score_model=_exported_scores(run))
        return embedder
    if path.suffix == ".keras":
        return KerasEmbedder.of_keras_file(path)
    card = ModelCard.of_file(path)
    if card is None and path.is_file():
        _log.warning(
            "%s: no model card describes this file, so crops are not checked and embeddings are "
            "compared by their plain cosine; if it has a phase code, keep it beside its %s.",
            path, CARD_NAME,
        )  # fmt: skip
    if path.suffix == PACKED_SUFFIX:
        return KerasEmbedder.of_packed_file(path, card)
    return ExportedEmbedder(path, card)
