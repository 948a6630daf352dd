"""Embeddings from an exported ``.tflite`` file, without TensorFlow."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from iris_tf.datasets.images import resize_roi
from iris_tf.errors import ModelError
from iris_tf.quiet import quiet

SIGNATURE, INPUT, OUTPUT = "serving_default", "roi", "embedding"
_FLATBUFFER_IDENTIFIER = b"TFL3"  # bytes 4..8 of every TFLite file
_NORM_TOLERANCE = 0.01


class TFLiteEmbedder:
    """Turn region-of-interest crops into unit vectors with one TFLite model.

    The model is the project's export: signature ``serving_default`` with input
    ``roi``, float32 ``(1, H, W, 1)`` in 0..255, and output ``embedding``, float32
    ``(1, D)`` of unit norm. Crops go through one at a time, as on a phone. One
    object must not be used from several threads at once.

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
    embedding_size : int
        Length D of an embedding.

    Raises
    ------
    ModelError
        When the file is missing, is not TFLite, or has another signature, input
        or output than the project's exports.

    Examples
    --------
    >>> embedder = TFLiteEmbedder("models/mobiiris/mobiiris_float16.tflite")  # doctest: +SKIP
    >>> a, b = embedder.embed([crop_a, crop_b])  # doctest: +SKIP
    >>> similarity = float(a @ b)  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self.path = Path(path)
        if threads < 1:
            raise ModelError(f"threads is {threads}; LiteRT needs at least 1.")
        _check_is_tflite(self.path)
        try:
            with quiet(2):
                # Kept as an attribute: the runner does not keep the interpreter alive.
                self._interpreter = Interpreter(model_path=str(self.path), num_threads=threads)
                self._interpreter.allocate_tensors()
            signatures = self._interpreter.get_signature_list()
        except (ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ModelError(
                f"{self.path}: LiteRT cannot load it ({reason}); the file is damaged or needs "
                "operations that are not built in, export it again with `iris-tf export RUN`."
            ) from None
        found = signatures.get(SIGNATURE)
        if found is None or set(found["inputs"]) != {INPUT} or set(found["outputs"]) != {OUTPUT}:
            raise ModelError(
                f"{self.path}: its signatures are {_describe(signatures)}, but an iris_tf model "
                f"has {SIGNATURE}({INPUT}) -> {OUTPUT}; use a file from `iris-tf export RUN`."
            )
        self._runner = self._interpreter.get_signature_runner(SIGNATURE)
        taken = self._runner.get_input_details()[INPUT]
        given = self._runner.get_output_details()[OUTPUT]
        shape = tuple(int(n) for n in taken["shape"])
        if (
            len(shape) != 4
            or shape[0] != 1
            or shape[3] != 1
            or min(shape) < 1
            or taken["dtype"] != np.float32
        ):
            raise ModelError(
                f"{self.path}: its input is {np.dtype(taken['dtype']).name} {shape}, but one "
                "grayscale crop, float32 (1, height, width, 1), is needed; use a file from "
                "`iris-tf export RUN`."
            )
        output_shape = tuple(int(n) for n in given["shape"])
        if len(output_shape) != 2 or output_shape[0] != 1 or given["dtype"] != np.float32:
            raise ModelError(
                f"{self.path}: its output is {np.dtype(given['dtype']).name} {output_shape}, but "
                "one embedding, float32 (1, size), is needed; use a file from `iris-tf export RUN`."
            )
        self.input_size = (shape[1], shape[2])
        self.embedding_size = output_shape[1]

    def embed(self, rois: Iterable[np.ndarray]) -> np.ndarray:
        """Embed crops, each resized to `input_size` by `resize_roi` as in training.

        Parameters
        ----------
        rois : iterable of ndarray of shape (height, width), uint8
            Crops of any size; a lazy iterable is read one crop at a time.

        Returns
        -------
        ndarray of shape (n, embedding_size), float32
            Unit vectors, in the order of `rois`.

        Raises
        ------
        ModelError
            When the model's output is NaN, zero or otherwise not of unit length.
        """
        embeddings = []
        for number, roi in enumerate(rois):
            resized = resize_roi(roi, self.input_size).astype(np.float32)
            output = self._runner(**{INPUT: resized[None, :, :, None]})[OUTPUT][0]
            norm = float(np.linalg.norm(output))
            if not abs(norm - 1.0) <= _NORM_TOLERANCE:  # also true for NaN
                raise ModelError(
                    f"{self.path}: the embedding of crop {number} (counted from 0) has length "
                    f"{norm:.3g} instead of 1; the model is broken, export it again with "
                    "`iris-tf export RUN`."
                )
            embeddings.append(output)
        if not embeddings:
            return np.empty((0, self.embedding_size), np.float32)
        return np.stack(embeddings)


def _check_is_tflite(path: Path) -> None:
    if not path.is_file():
        raise ModelError(
            f"{path}: there is no such model file; give a .tflite file, for instance one from "
            "`iris-tf export RUN`."
        )
    with open(path, "rb") as file:
        head = file.read(8)
    if head[4:8] != _FLATBUFFER_IDENTIFIER:
        raise ModelError(
            f"{path}: this is not a TFLite file (no TFL3 mark at its start); give a .tflite file, "
            "for instance one from `iris-tf export RUN`."
        )


def _describe(signatures: dict) -> str:
    return (
        "; ".join(
            f"{name}({', '.join(parts['inputs'])}) -> {', '.join(parts['outputs'])}"
            for name, parts in signatures.items()
        )
        or "none"
    )
