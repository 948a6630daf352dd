"""Export of the segmentation network to a TFLite file with a card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.names import CARD_NAME
from iris_tf.config.precision import FLOAT32, PRECISIONS, RELEASED_PRECISION
from iris_tf.exporting.conversion import convert, foreign_operators_error, save_signatures
from iris_tf.exporting.static_quantization import (
    prepare_for_integers,
    quantize_statically,
    quantized_name,
)
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.segmentation.network_segmenter import FILE_NAME
from iris_tf.support.errors import ExportError
from iris_tf.support.files import atomic_path, sha256, write_json
from iris_tf.support.temporary_names import temporary_folder
from iris_tf.synthetic.segmentation_samples import sample_size
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.operators import foreign_operators
from iris_tf.tflite.signatures import MASKS, MASKS_OF_WHOLE, Signature

WHOLE_HEIGHT = 192
"""Largest input height for whole images; the iris itself is segmented at full size."""

MAX_DIFFERENCE = 0.02
"""Parity bound: largest mean absolute difference of probabilities."""

# Means and variances of whole images; and probabilities next to 0 and 1, which confidences are
# computed from.
_FLOAT_LAYERS = ("rescaling", "normalisation", "probabilities")


def export_segmenter(
    model: keras.Model,
    out: Path,
    parity_images: np.ndarray,
    precision: str = RELEASED_PRECISION,
    calibration: Mapping[Signature, np.ndarray] | None = None,
) -> Path:
    """Export the segmentation network to ``iris_segmenter_PRECISION.tflite``.

    Signature ``serving_default``: input ``image``, float32 ``(1, H, W, 1)`` in
    0..255; output ``masks``, float32 ``(1, H, W, 4)``, probabilities of
    `iris_tf.segmentation.mask_channels.CHANNELS`. Signature ``whole``: the same weights
    for images of at most `WHOLE_HEIGHT` rows.

    Parameters
    ----------
    model : keras.Model
        From `build_segmentation_network`; its outputs are logits.
    out : Path
        Output folder.
    parity_images : ndarray of shape (n, H, W), uint8
        Images on which the file is compared with `model`.
    precision : str, optional
        One of `iris_tf.config.precision.PRECISIONS`.
    calibration : mapping of Signature to ndarray of shape (n, H, W), uint8, optional
        For calibrated precisions: images that ranges of activations are estimated from, of the
        sizes of both signatures. Everything but the normalisation of the image is quantised.

    Returns
    -------
    Path
        Path of the file.

    Raises
    ------
    ExportError
        If the model cannot be converted, the precision needs images for calibration, or the masks
        of the file differ. No file is written then.
    OSError
        If the file cannot be written.
    """
    path = out / PRECISIONS[precision].file_name(FILE_NAME)
    if PRECISIONS[precision].calibrated and calibration is None:
        raise ExportError(
            f"{path}: {precision} needs images for calibration; give them, or choose another "
            "precision."
        )
    models = _signatures(model)
    with temporary_folder() as saved, atomic_path(path) as file:
        if PRECISIONS[precision].calibrated and calibration is not None:
            rewritten = _signatures(prepare_for_integers(model, calibration[MASKS], _FLOAT_LAYERS))
            content = _converted(rewritten, saved, FLOAT32, path)
            content = quantize_statically(
                content, PRECISIONS[precision], calibration, _FLOAT_LAYERS
            )
        else:
            content = _converted(models, saved, precision, path)
        file.write_bytes(content)
        if operators := foreign_operators(file):
            raise foreign_operators_error(path, operators)
        for signature, expected in models.items():
            exported = LiteRTModel(file, signature)
            for image in parity_images:
                image = cv2.resize(image, exported.input_size[::-1], interpolation=cv2.INTER_AREA)
                masks = expected(image[None, ..., None].astype(np.float32), training=False)[0]
                difference = float(np.abs(exported(image) - np.asarray(masks)).mean())
                if not difference <= MAX_DIFFERENCE:  # also true for NaN
                    raise ExportError(
                        f"{path}: the exported network's masks differ from the Keras model's by "
                        f"{difference:.3f} on average; nothing was written, look for a layer "
                        "that the conversion or the precision changes."
                    )
    return path


def _signatures(model: keras.Model) -> dict[Signature, keras.Model]:
    return {MASKS: _probabilities(model), MASKS_OF_WHOLE: _probabilities(_finder(model))}


def _converted(
    models: Mapping[Signature, keras.Model], folder: Path, precision: str, path: Path
) -> bytes:
    fast = {signature: _without_transposed(model) for signature, model in models.items()}
    save_signatures(fast, str(folder))
    return convert(str(folder), precision, path, models)


def _probabilities(model: keras.Model) -> keras.Model:
    sigmoid = keras.layers.Activation("sigmoid", name=quantized_name("probabilities"))
    return keras.Model(model.input, sigmoid(model.output))


def _without_transposed(model: keras.Model) -> keras.Model:
    """Model with a plain convolution in place of the transposed one; the other layers are shared.

    On a CPU, XNNPACK computes a transposed convolution with few output channels at a tenth of the
    speed: it took a quarter of the network's time.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        return TransposedConvolution(layer) if is_transposed else layer

    return keras.models.clone_model(model, clone_function=clone)


class TransposedConvolution(keras.layers.Layer):
    """A trained transposed convolution of kernel 4 and stride 2, computed as a plain convolution.

    The four output pixels of each input pixel see 3 x 3 input pixels. They are computed as
    channels, which are then moved to their places (Shi et al., 2016, sub-pixel convolution).

    Parameters
    ----------
    layer : keras.layers.Conv2DTranspose
        With kernel 4, stride 2, padding ``"same"``, and a bias.
    """

    def __init__(self, layer: keras.layers.Conv2DTranspose):
        super().__init__(name=layer.name)
        kernel, bias = (np.asarray(weights) for weights in layer.get_weights())
        _, _, channels, inputs = kernel.shape
        taps = np.zeros((3, 3, inputs, 2, 2, channels), kernel.dtype)
        for row, column, down, right in np.ndindex(2, 2, 3, 3):
            # Where the kernel at the input pixel lies that is (down - 1, right - 1) away.
            y, x = row + 3 - 2 * down, column + 3 - 2 * right
            if 0 <= y < 4 and 0 <= x < 4:
                taps[down, right, :, row, column] = kernel[y, x].T
        self._taps = taps.reshape(3, 3, inputs, 4 * channels)
        self._bias = np.tile(bias, 4)

    def call(self, inputs: Any) -> Any:
        """Compute (batch, 2 height, 2 width, channels) from (batch, height, width, inputs)."""
        pixels = tf.nn.conv2d(inputs, self._taps, 1, "SAME") + self._bias
        return tf.nn.depth_to_space(pixels, 2)


def _finder(model: keras.Model) -> keras.Model:
    """Model with the layers of `model` for images of `WHOLE_HEIGHT` rows."""
    height = min(WHOLE_HEIGHT, model.input_shape[1])
    image = keras.Input((*sample_size(height), 1), name=MASKS.input)
    # The layers are reused, so that both signatures share their weights.
    return keras.models.clone_model(model, image, clone_function=lambda layer: layer)


def write_segmenter_card(path: Path, precision: str, facts: dict[str, Any]) -> Path:
    """Write the card of an exported segmenter beside its file.

    Parameters
    ----------
    path : Path
        The ``.tflite`` file.
    precision : str
        Precision of the file.
    facts : dict
        Further JSON values, about training and metrics.

    Returns
    -------
    Path
        Path of the card.
    """
    model = LiteRTModel(path, MASKS)
    finder = LiteRTModel(path, MASKS_OF_WHOLE)
    card = {
        "name": "iris-segmenter",
        "input": {
            "name": MASKS.input,
            "size": list(model.input_size),
            "whole_size": list(finder.input_size),
            "range": [0, 255],
        },
        "output": {"name": MASKS.output, "channels": list(CHANNELS), "range": [0, 1]},
        "files": {path.name: file_facts(path, precision)},
        **facts,
    }
    write_json(path.with_name(CARD_NAME), card)
    return path.with_name(CARD_NAME)


def file_facts(path: Path, precision: str) -> dict[str, Any]:
    """What a segmenter's card says about one of its files."""
    return {"precision": precision, "bytes": path.stat().st_size, "sha256": sha256(path)}
