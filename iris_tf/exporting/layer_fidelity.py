"""What quantisation costs, layer by layer."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iris_tf.exporting.static_quantization import layer_of_tensor
from iris_tf.support.quiet import quiet
from iris_tf.tflite.operators import float_operations
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
    float_operations : tuple of str
        Its operations that compute in float32, sorted: those of `static_quantization`'s float
        layers, and operations without integer kernels. Empty if all are in integers.
    """

    layer: str
    signal_to_noise: float
    cosine: float
    float_operations: tuple[str, ...] = ()


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
    in_float = float_operations_by_layer(quantized)
    layers: dict[str, LayerFidelity] = {}
    for tensor, values in compared.intermediate_tensors.items():
        layer = layer_of_tensor(tensor)
        if layer is not None:
            layers.pop(layer, None)  # the order is that of the last operations
            ratio, cosine = (values[metric.value] for metric in metrics)
            decibels = 10.0 * math.log10(max(ratio, _LEAST_RATIO))
            layers[layer] = LayerFidelity(layer, decibels, cosine, in_float.get(layer, ()))
    return list(layers.values())


def float_operations_by_layer(quantized: bytes) -> dict[str, tuple[str, ...]]:
    """Operations of a quantised file that compute in float32, sorted, by their layer."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for operation, tensor in float_operations(quantized):
        layer = layer_of_tensor(tensor)
        if layer is not None:
            found[layer].add(operation)
    return {layer: tuple(sorted(operations)) for layer, operations in found.items()}


def worst_layers(layers: Sequence[LayerFidelity], count: int) -> list[LayerFidelity]:
    """Layers with the lowest signal-to-noise ratio, the lowest first."""
    return sorted(layers, key=lambda layer: layer.signal_to_noise)[:count]
