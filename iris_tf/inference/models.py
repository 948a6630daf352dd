"""Any model a user can name: a ``.tflite`` file, a ``.keras`` file or a run folder."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from iris_tf.datasets.images import resize_roi
from iris_tf.datasets.manifest import read_settings
from iris_tf.inference.embedder import TFLiteEmbedder
from iris_tf.inference.model_card import CARD_NAME, ModelCard
from iris_tf.similarity import PhasePart

_CHUNK = 1024  # crops in memory at a time


class Embedder(Protocol):
    """What turns crops into embeddings.

    Attributes
    ----------
    path : Path
        The model's file.
    input_size : tuple of (int, int)
        Height and width of the crop it works on.
    embedding_size : int
        Length of an embedding.
    phase : PhasePart or None
        How embeddings are compared (`iris_tf.similarity.similarities`).
    """

    path: Path
    input_size: tuple[int, int]
    embedding_size: int
    phase: PhasePart | None

    def embed(self, rois: Iterable[np.ndarray]) -> np.ndarray:
        """Unit vectors (n, embedding_size), float32, of uint8 crops of any size."""


class KerasEmbedder:
    """`Embedder` for a ``.keras`` file. Loads TensorFlow.

    Parameters
    ----------
    path : str or Path
        The file.

    Raises
    ------
    ModelError
        When the file is missing or no model of this project.
    """

    def __init__(self, path: str | Path):
        # Here, because `embed` and `verify` on a .tflite must not load TensorFlow.
        from iris_tf.networks.embed import embed_rois, load_embedding_model

        self.path = Path(path)
        self.phase = None  # exported files alone have such a part
        model = load_embedding_model(self.path)
        self._embed = lambda rois: embed_rois(model, rois)
        self.input_size = tuple(model.input_shape[1:3])
        self.embedding_size = int(model.output_shape[-1])

    def embed(self, rois: Iterable[np.ndarray]) -> np.ndarray:
        """Embed crops in batches (see `Embedder`)."""
        resized = (resize_roi(roi, self.input_size) for roi in rois)
        parts = [np.empty((0, self.embedding_size), np.float32)]
        while chunk := list(itertools.islice(resized, _CHUNK)):
            parts.append(self._embed(np.stack(chunk)))
        return np.concatenate(parts)


def crop_settings(path: str | Path) -> dict[str, str] | None:
    """Which crops a model was trained on.

    Parameters
    ----------
    path : str or Path
        As for `open_model`.

    Returns
    -------
    dict or None
        ``roi_mode`` and ``segmenter``, from the run or the model card; None where
        neither is at hand.
    """
    path = Path(path)
    if path.is_dir():
        from iris_tf.run_folder import RunFolder

        settings = read_settings(RunFolder.open(path).dataset_description)
        return {name: settings[name] for name in ("roi_mode", "segmenter")}
    card = path.with_name(CARD_NAME)
    if path.suffix != ".tflite" or not card.is_file():
        return None
    known = ModelCard.read(card)
    return {"roi_mode": known.roi_mode, "segmenter": known.segmenter}


def open_model(path: str | Path) -> Embedder:
    """Open a ``.tflite`` file, a ``.keras`` file, or a run folder's best checkpoint.

    Raises
    ------
    ModelError
        When there is no such model, or it is not one of this project.
    """
    path = Path(path)
    if path.is_dir():
        from iris_tf.run_folder import RunFolder

        return KerasEmbedder(RunFolder.open(path).best_model())
    if path.suffix == ".keras":
        return KerasEmbedder(path)
    card = path.with_name(CARD_NAME)
    # A file that the card does not know may be of another model.
    known = ModelCard.read(card) if card.is_file() else None
    phase = known.phase if known and path.name in known.files else None
    return TFLiteEmbedder(path, phase=phase)
