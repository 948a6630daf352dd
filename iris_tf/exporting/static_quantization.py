"""Static quantisation: 8-bit weights and 8- or 16-bit activations with ranges from crops."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from iris_tf.config.precision import Precision
from iris_tf.exporting.activation_ranges import observe_activations, with_ranges
from iris_tf.imaging.images import with_channel_axis
from iris_tf.networks.batch_norm_folding import fold_batch_normalization, folded_normalizations
from iris_tf.networks.bias_correction import correct_biases
from iris_tf.networks.equalization import equalize
from iris_tf.networks.hard_swish import split_hard_swish
from iris_tf.networks.phase_code import PhaseCode, WeightedUnits
from iris_tf.networks.prelu import split_prelu
from iris_tf.networks.roi_normalization import RoiNormalization
from iris_tf.networks.spatial_attention import SpatialAttention
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.quantization.calibration import lack_of_crops
from iris_tf.support.errors import ExportError
from iris_tf.support.quiet import quiet
from iris_tf.tflite.signatures import Signature

_BIAS_CROPS = 64  # means of channels need fewer crops than ranges
# Eight bits are too few for local contrast and phase, and the rest is small.
_FLOAT_LAYERS = (
    RoiNormalization,
    StripNormalization,
    PhaseCode,
    WeightedUnits,
    SpatialAttention,
    keras.layers.UnitNormalization,
)
_OUTPUT = "StatefulPartitionedCall"  # what the converter calls the output's tensor
# Ends the names of layers in the graph, where the converter may number them: `conv` and `conv_1`
# can be told apart only so.
_END = "-"


@dataclass(frozen=True)
class Quantization:
    """How to quantise a model statically.

    Attributes
    ----------
    rois : ndarray of shape (n, H, W), or (n, H, W, 3) for colour, uint8
        Crops that ranges of activations are estimated from; of the training split.
    keep_float : tuple of str, optional
        Regular expressions that match full names of layers, which stay float32.
    seed : int, optional
        Of the choice of values that ranges are estimated from.
    report : bool, optional
        Whether to compare the layers of exported files with float32.
    """

    rois: np.ndarray
    keep_float: tuple[str, ...] = ()
    seed: int = 0
    report: bool = False

    def check(self, name: str, model: keras.Model) -> None:
        """Refuse crops that give no ranges, and expressions that keep no layer in float.

        Raises
        ------
        ExportError
        """
        crops = with_channel_axis(self.rois)
        if crops.shape[1:] != model.input_shape[1:]:
            raise ExportError(
                f"{name} takes crops of {model.input_shape[1]}x{model.input_shape[2]} pixels, but "
                f"those for calibration have shape {self.rois.shape}; give crops of that size."
            )
        if lack := lack_of_crops(crops):
            raise ExportError(f"{name}: {lack}.")
        for expression in self.keep_float:
            _check_expression(name, model, expression)

    def float_layers(self, model: keras.Model) -> list[str]:
        """Names of the layers of `model` that stay float32."""
        return [
            layer.name
            for layer in model.layers
            if isinstance(layer, _FLOAT_LAYERS)
            or any(re.fullmatch(expression, layer.name) for expression in self.keep_float)
        ]


def _check_expression(name: str, model: keras.Model, expression: str) -> None:
    """Refuse an expression of `keep_float` that no layer of the file follows."""
    try:
        found = [layer.name for layer in model.layers if re.fullmatch(expression, layer.name)]
    except re.error as error:
        raise ExportError(
            f"{name}: {expression!r}, of layers to keep in float32, is no regular expression "
            f"({error})."
        ) from None
    folded = folded_normalizations(model)
    if not found:
        examples = ", ".join(layer.name for layer in model.layers[1:4])
        raise ExportError(
            f"{name}: `keep_float` has {expression!r}, which matches no layer; "
            f"layers are named {examples} and so on."
        )
    if folded.keys() >= set(found):
        raise ExportError(
            f"{name}: `keep_float` has {expression!r}, which matches nothing but "
            f"batch normalisation, and {found[0]} is folded into {folded[found[0]]}; match that "
            "layer."
        )


def prepare_for_integers(
    model: keras.Model, rois: np.ndarray, float_layers: Sequence[str]
) -> keras.Model:
    """Rewrite a model's layers so that integers lose little; its outputs stay the same.

    Batch normalisation is folded, ranges of weights are equalised across layers, h-swish and
    PReLU are split into operations with fast kernels, and biases are corrected for the rounding of
    weights (the one step that changes float outputs). Layers get names that can be told apart in a
    file.

    Parameters
    ----------
    model : keras.Model
        Functional; not modified.
    rois : ndarray of shape (n, H, W), or (n, H, W, 3), uint8
        Crops for bias correction.
    float_layers : sequence of str
        Names of layers whose weights will not be rounded, see `quantize_statically`.
    """
    rewritten = split_prelu(split_hard_swish(equalize(fold_batch_normalization(model))))
    some = rois[:: max(1, len(rois) // _BIAS_CROPS)]
    corrected = correct_biases(rewritten, some, float_layers)
    named = keras.models.clone_model(
        corrected,
        clone_function=lambda layer: type(layer).from_config(
            layer.get_config() | {"name": quantized_name(layer.name)}
        ),
    )
    named.set_weights(corrected.get_weights())
    return named


def quantize_statically(
    content: bytes,
    precision: Precision,
    crops: Mapping[Signature, np.ndarray],
    float_layers: Sequence[str],
    seed: int = 0,
) -> bytes:
    """Quantise a float32 file of `prepare_for_integers`; inputs and outputs stay float32.

    Operations that litert-quantizer or LiteRT has no integer kernel for stay float32, too.

    Parameters
    ----------
    content : bytes
        Of the ``.tflite`` file.
    precision : Precision
        Gives the bits of activations.
    crops : mapping of Signature to ndarray of shape (n, H, W), or (n, H, W, 3) for colour, uint8
        What ranges of activations are estimated from, for every signature of the file.
    float_layers : sequence of str
        Names of layers that stay float32.
    seed : int, optional
        Of the choice of values that ranges are estimated from.

    Returns
    -------
    bytes
        Of the quantised file.
    """
    from litert_quantizer import quantizer
    from litert_quantizer.qtyping import TFLOperationName

    work = quantizer.Quantizer(content)
    work.add_static_config(
        ".*", TFLOperationName.ALL_SUPPORTED, precision.activation_bits, precision.weight_bits
    )
    not_quantized = quantizer.AlgorithmName.NO_QUANTIZE
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        work.update_quantization_recipe(".*", end, algorithm_key=not_quantized)
    for pattern in (_OUTPUT, *map(in_graph, float_layers)):
        work.update_quantization_recipe(
            pattern, TFLOperationName.ALL_SUPPORTED, algorithm_key=not_quantized
        )
    with quiet(1, 2):
        # Finds the tensors that need ranges, which the values of all crops then replace.
        first: Any = {
            signature.name: [{signature.input: with_channel_axis(images[:1]).astype(np.float32)}]
            for signature, images in crops.items()
        }
        ranges: Any = work.calibrate(first, num_threads=1)
        for signature, images in crops.items():
            values = observe_activations(content, signature, with_channel_axis(images), seed)
            ranges = with_ranges(ranges, values, precision.activation_bits)
        return bytes(work.quantize(ranges).quantized_model)


def quantized_name(layer: str) -> str:
    """Name that a layer has in `prepare_for_integers`."""
    return layer + _END


def in_graph(layer: str) -> str:
    """Regular expression that finds a layer of `prepare_for_integers` in names of tensors."""
    return rf"(^|[/;]){re.escape(quantized_name(layer))}(_\d+)?/"


def layer_of_tensor(tensor: str) -> str | None:
    """Name of the last layer whose operation a tensor is the result of; None for bare ones."""
    found = re.findall(rf"(?:^|[/;])([^/;]+){_END}(?:_\d+)?/", tensor)
    return found[-1] if found else None
