"""Embeddings from an exported ``.tflite`` file, without TensorFlow."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from iris_tf.imaging.images import channels_of, resize_roi
from iris_tf.support.errors import ModelError
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.model_card import NORM_TOLERANCE
from iris_tf.tflite.signatures import EMBEDDING


class TFLiteEmbedder:
    """Computes embeddings of ROI crops with one TFLite model.

    The model is the project's export: signature ``serving_default`` with input
    ``roi``, float32 ``(1, H, W, channels)`` in 0..255, and output ``embedding``, float32
    ``(1, D)`` of unit norm. Crops are processed one at a time, as on a phone. One
    object may be used from several threads at once.

    Parameters
    ----------
    path : str or Path
        The ``.tflite`` file.
    threads : int, optional
        Threads that LiteRT may use for one crop, at least 1.

    Attributes
    ----------
    path : Path
        The file.
    input_size : tuple of (int, int)
        Height and width that crops are resized to, in pixels.
    channels : int
        Of the crops: 1 for grey, 3 for red, green and blue.
    embedding_size : int
        Length D of an embedding.

    Raises
    ------
    ModelError
        When the file is missing, is not TFLite, or its signature, input or output differ
        from those of the project's exports.

    Examples
    --------
    >>> embedder = TFLiteEmbedder("models/mobiiris/mobiiris_float16.tflite")  # doctest: +SKIP
    >>> a, b = embedder.embed([crop_a, crop_b])  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self._model = LiteRTModel(path, EMBEDDING, threads)
        self.path = self._model.path
        self.input_size, self.channels = self._model.input_size, self._model.channels
        self.embedding_size = self._model.output_shape[0]

    def embed(self, rois: Iterable[np.ndarray]) -> np.ndarray:
        """Embed crops, each resized to `input_size` by `resize_roi` as in training.

        Parameters
        ----------
        rois : iterable of ndarray of shape (height, width) or (height, width, 3), uint8
            Crops of any size, grey or colour like the model's input; a lazy iterable is read one
            crop at a time.

        Returns
        -------
        ndarray of shape (n, embedding_size), float32
            Unit vectors, in the order of `rois`.

        Raises
        ------
        ModelError
            When a crop has other channels than the model's input, or the output is NaN or not of
            unit length.
        """
        embeddings = []
        for number, roi in enumerate(rois):
            if channels_of(roi) != self.channels:
                raise ModelError(
                    f"{self.path}: the model takes crops with channels {self.channels}, but crop "
                    f"{number} (counted from 0) has {channels_of(roi)}; prepare the images with "
                    f"`--channels {self.channels}`."
                )
            output = self._model(resize_roi(roi, self.input_size))
            norm = float(np.linalg.norm(output))
            if not abs(norm - 1.0) <= NORM_TOLERANCE:  # also true for NaN
                raise ModelError(
                    f"{self.path}: the embedding of crop {number} (counted from 0) has length "
                    f"{norm:.3g} instead of 1; the model is broken, export it again with "
                    "`iris-tf export RUN`."
                )
            embeddings.append(output)
        if not embeddings:
            return np.empty((0, self.embedding_size), np.float32)
        return np.stack(embeddings)
