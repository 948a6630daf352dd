"""Export of embedding models to TFLite; files only appear after their parity check."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from iris_tf.config.precision import DEFAULT_PRECISIONS, FLOAT32, PRECISIONS, Precision
from iris_tf.exporting.conversion import convert, foreign_operators_error, save_signatures
from iris_tf.exporting.layer_fidelity import (
    LayerFidelity,
    compare_layers,
    float_operations_by_layer,
    worst_layers,
)
from iris_tf.exporting.static_quantization import (
    Quantization,
    prepare_for_integers,
    quantize_statically,
)
from iris_tf.imaging.images import with_channel_axis
from iris_tf.networks.embed_rois import is_embedding_model
from iris_tf.support.errors import ExportError, ModelError, first_line
from iris_tf.support.files import atomic_path, sha256
from iris_tf.support.progress import StageProgress
from iris_tf.support.temporary_names import temporary_folder
from iris_tf.tflite.model_card import ModelFile
from iris_tf.tflite.operators import foreign_operators
from iris_tf.tflite.signatures import EMBEDDING
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

_PARITY_BATCH = 32
_NARROW_DTYPES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export.

    Attributes
    ----------
    path : Path
        The ``.tflite`` file.
    precision : str
        One of `iris_tf.config.precision.PRECISIONS`.
    bytes : int
        Size of the file.
    sha256 : str
        Hexadecimal SHA-256 of the file.
    parity_min_cosine : float
        Least cosine between the file's and the Keras model's embedding of one crop.
    layers : tuple of LayerFidelity
        From input to output, for calibrated precisions if `Quantization.report` is set.
    """

    path: Path
    precision: str
    bytes: int
    sha256: str
    parity_min_cosine: float
    layers: tuple[LayerFidelity, ...] = ()

    def card_entry(self) -> ModelFile:
        """What the model card says about the file."""
        return ModelFile(self.precision, self.sha256, self.bytes)


def export_model(
    model: keras.Model,
    out_dir: str | os.PathLike,
    name: str,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    *,
    parity_rois: np.ndarray,
    quantization: Quantization | None = None,
    min_cosine: float | None = None,
) -> list[ExportedFile]:
    """Export an embedding model to ``NAME_PRECISION.tflite`` files.

    The files have the signature ``serving_default`` with input ``roi``, float32
    ``(1, H, W, channels)`` in 0..255, and output ``embedding``, float32 ``(1, D)``, and
    use only built-in TFLite operations. Before a file appears, its embeddings of
    `parity_rois` are compared with those of the Keras model. A model trained in mixed
    precision is first rebuilt in float32, and the files are compared with that model.

    Parameters
    ----------
    model : keras.Model
        Functional model from (None, H, W, channels) to unit vectors (None, D); not modified.
    out_dir : path
        Folder of the files; created if missing.
    name : str
        Prefix of the file names.
    precisions : sequence of str, optional
        From `iris_tf.config.precision.PRECISIONS`.
    parity_rois : ndarray of shape (n, H, W), or (n, H, W, 3) for colour, uint8
        Real crops of the model's input size, at least one.
    quantization : Quantization, optional
        Crops for calibration, and which layers stay float32; for calibrated precisions.
    min_cosine : float, optional
        Parity bound: least cosine similarity; None for that of the precision.

    Returns
    -------
    list of ExportedFile
        In the order of `precisions`.

    Raises
    ------
    ExportError
        If a precision is unknown, or calibrated and there are no or too few crops for it, the
        model has another input or output, needs operations that are not built in, cannot be
        converted, or fails the parity check. The file of that precision is not written then.
    OSError
        If a file cannot be written, e.g. on a full disk.
    """
    if unknown := [precision for precision in precisions if precision not in PRECISIONS]:
        raise ExportError(
            f"{unknown[0]!r} is not a precision that {name} can be exported in; "
            f"choose from {', '.join(PRECISIONS)}."
        )
    if not is_embedding_model(model):
        raise ExportError(
            f"{name} maps {model.input_shape} to {model.output_shape}, but an embedding model maps "
            "(None, height, width, 1 or 3) to (None, size); build it with build_embedding_model."
        )
    height, width, channels = model.input_shape[1:]
    if with_channel_axis(parity_rois).shape[1:] != model.input_shape[1:] or not len(parity_rois):
        colour = " in colour" if channels == 3 else ""
        raise ExportError(
            f"{name} takes crops of {height}x{width} pixels{colour}, but the crops for the parity "
            f"check have shape {parity_rois.shape}; give at least one of that size."
        )
    calibrated = [name for name in precisions if PRECISIONS[name].calibrated]
    if calibrated and quantization is None:
        raise ExportError(
            f"{name} needs crops of the training split to be exported in {calibrated[0]}; give "
            "`quantization`, or choose another precision."
        )
    model = _in_float32(model)
    if calibrated and quantization is not None:
        quantization.check(name, model)
    expected = _keras_embeddings(model, parity_rois)
    files = []
    with (
        temporary_folder() as folder,
        StageProgress(f"Exporting {name}", len(precisions)) as progress,
    ):
        graphs = _Graphs(model, folder, quantization)
        for precision in (PRECISIONS[name] for name in precisions):
            progress.advance(0, note=precision.name)
            path = Path(out_dir) / precision.file_name(name)
            with atomic_path(path) as temporary:
                temporary.write_bytes(graphs.convert(precision, path))
                least = precision.min_cosine if min_cosine is None else min_cosine
                cosine = _checked_parity(
                    temporary,
                    path,
                    parity_rois,
                    expected,
                    least,
                    lambda: graphs.suspects(parity_rois),
                )
            size = path.stat().st_size
            layers = graphs.layers(parity_rois) if quantization and quantization.report else []
            files.append(
                ExportedFile(path, precision.name, size, sha256(path), cosine, tuple(layers))
            )
            progress.advance(note=precision.name)
    return files


class _Graphs:
    """The model unchanged and, for calibrated precisions, rewritten; each converted when needed."""

    def __init__(self, model: keras.Model, folder: Path, quantization: Quantization | None):
        self._model, self._folder, self._quantization = model, folder, quantization
        self._for_integers: bytes | None = None
        self._quantized: bytes | None = None  # the latest file, if it was of a calibrated precision

    def convert(self, precision: Precision, path: Path) -> bytes:
        self._quantized = None
        if not precision.calibrated or self._quantization is None:
            return convert(self._saved("as_it_is", lambda: self._model), precision.name, path)
        rois, kept = self._quantization.rois, self._quantization.float_layers(self._model)
        if self._for_integers is None:
            saved = self._saved(
                "for_integers", lambda: prepare_for_integers(self._model, rois, kept)
            )
            self._for_integers = convert(saved, FLOAT32, path)
        try:
            self._quantized = quantize_statically(
                self._for_integers,
                precision,
                {EMBEDDING: rois},
                kept,
                self._quantization.seed,
            )
        except (ValueError, KeyError, RuntimeError) as error:
            raise ExportError(
                f"{path}: litert-quantizer could not quantise the model ({first_line(error)}); "
                "keep the layer named in this message with `--keep-float`."
            ) from error
        _warn_of_float_operations(path, self._quantized, kept)
        return self._quantized

    def _saved(self, name: str, model: Callable[[], keras.Model]) -> str:
        folder = self._folder / name
        if not folder.is_dir():
            save_signatures({EMBEDDING: model()}, str(folder))
        return str(folder)

    def layers(self, rois: np.ndarray) -> list[LayerFidelity]:
        """How far the layers of the latest file agree with float32; empty if it was float."""
        if self._quantized is None or self._for_integers is None:
            return []
        crops = with_channel_axis(rois)
        return compare_layers(self._for_integers, self._quantized, EMBEDDING, crops)

    def suspects(self, rois: np.ndarray) -> str:
        """What to do about a file that disagrees with the model."""
        if self._quantized is None:
            return "look for a layer that the conversion or the precision changes"
        worst = ", ".join(
            f"{layer.layer} ({layer.signal_to_noise:.1f} dB)"
            for layer in worst_layers(self.layers(rois), 3)
        )
        return (
            f"the layers with the lowest signal-to-noise ratio are {worst}: keep them, or those "
            "before them, in float32 with `--keep-float`"
        )


def _warn_of_float_operations(path: Path, content: bytes, kept: Sequence[str]) -> None:
    """Warn of layers that nobody wanted in float32: they cost conversions, and time."""
    operations = {
        layer: names
        for layer, names in float_operations_by_layer(content).items()
        if layer not in kept
    }
    if operations:
        layers = "; ".join(f"{layer}: {', '.join(names)}" for layer, names in operations.items())
        warnings.warn(
            f"{path.name}: operations of {len(operations)} layers have no integers and compute in "
            f"float32 ({layers}).",
            stacklevel=2,
        )


def _in_float32(model: keras.Model) -> keras.Model:
    """The model itself, or a float32 copy if some layers compute in lower precision."""
    if all(layer.dtype_policy.name == "float32" for layer in model.layers):
        return model
    policy = keras.config.dtype_policy()
    try:
        # Nested layers take the global policy when they are created.
        keras.config.set_dtype_policy("float32")
        copy = type(model).from_config(_widened(model.get_config()))
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(model.get_weights())
    return copy


def _widened(config: Any) -> Any:
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return config | {"config": {"name": "float32"}}
        return {
            key: "float32" if key == "dtype" and value in _NARROW_DTYPES else _widened(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(map(_widened, config))
    return config


def _keras_embeddings(model: keras.Model, rois: np.ndarray) -> np.ndarray:
    batches = [rois[i : i + _PARITY_BATCH] for i in range(0, len(rois), _PARITY_BATCH)]
    return np.concatenate(
        [
            np.asarray(model(with_channel_axis(batch).astype(np.float32), training=False))
            for batch in batches
        ]
    )


def _checked_parity(
    temporary: Path,
    path: Path,
    rois: np.ndarray,
    expected: np.ndarray,
    min_cosine: float,
    suspects: Callable[[], str],
) -> float:
    if operators := foreign_operators(temporary):
        raise foreign_operators_error(path, operators)
    try:
        found = TFLiteEmbedder(temporary).embed(rois)
    except ModelError as error:
        reason = str(error).removeprefix(f"{temporary}: ").split("; ")[0]
        raise ExportError(
            f"{path}: the exported model cannot be used, {reason}; nothing was written, look for "
            "a layer whose values the conversion or the precision cannot represent."
        ) from error
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (found * expected).sum(axis=1, dtype=np.float64) / norms
    if not cosines.min() >= min_cosine:  # also true if an embedding of Keras is NaN
        raise ExportError(
            f"{path}: the exported model's embeddings differ from the Keras model's, the least "
            f"cosine over {len(rois)} crops is {cosines.min():.6f}, below {min_cosine}; nothing "
            f"was written, {suspects()}."
        )
    return float(min(cosines.min(), 1.0))
