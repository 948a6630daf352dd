"""What quantisation costs, layer by layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from iris_tf.exporting.static_quantization import layer_of_tensor
from iris_tf.support.quiet import quiet
from iris_tf.tflite.signatures import Signature

_LEAST_RATIO = 1e-12  # of powers; the logarithm needs one


@dataclass(frozen=True)
class LayerFidelity:
    """Agreement of a layer's output in a quantised and in the float32 file.

    Errors of all layers before it are included: the first layer at which it falls is the one to
    look at.

    Attributes
    ----------
    layer : str
        Name of the Keras layer.
    signal_to_noise : float
        Power of the float output over that of the difference, in decibels, averaged over crops
        before the logarithm.
    cosine : float
        Of both outputs, averaged over crops.
    """

    layer: str
    signal_to_noise: float
    cosine: float


def compare_layers(
    content: bytes, quantized: bytes, signature: Signature, crops: np.ndarray
) -> list[LayerFidelity]:
    """Compare the outputs of all layers over some crops with litert-quantizer's validator.

    Parameters
    ----------
    content, quantized : bytes
        The float32 file and the file that `quantize_statically` made of it.
    signature : Signature
        Of both.
    crops : ndarray of shape (n, H, W, channels), uint8

    Returns
    -------
    list of LayerFidelity
        From input to output. A layer of several operations counts by its last one.
    """
    from litert_quantizer import model_validator
    from litert_quantizer.utils.validation_utils import ValidationErrorMetric

    inputs = [{signature.input: crop[None].astype(np.float32)} for crop in crops]
    metrics = ValidationErrorMetric.SNR, ValidationErrorMetric.COSINE_SIMILARITY
    with quiet(1, 2):
        compared = model_validator.compare_model(
            content, quantized, {signature.name: inputs}, metrics, num_threads=1
        ).get_signature_comparison_result(signature.name)
    layers: dict[str, LayerFidelity] = {}
    for tensor, values in compared.intermediate_tensors.items():
        layer = layer_of_tensor(tensor)
        if layer is not None:
            layers.pop(layer, None)  # the order is that of the last operations
            layers[layer] = _fidelity(layer, values, *metrics)
    return list(layers.values())


def _fidelity(layer: str, values: dict[str, float], ratio: Any, cosine: Any) -> LayerFidelity:
    decibels = 10.0 * math.log10(max(values[ratio.value], _LEAST_RATIO))
    return LayerFidelity(layer, decibels, values[cosine.value])


def worst_layers(layers: Sequence[LayerFidelity], count: int) -> list[LayerFidelity]:
    """Layers with the lowest signal-to-noise ratio, the lowest first."""
    return sorted(layers, key=lambda layer: layer.signal_to_noise)[:count]
