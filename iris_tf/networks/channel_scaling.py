"""Scaling the channels between two layers without changing what a model computes."""

import keras
import numpy as np

from iris_tf.networks.layer_graph import consumers, is_output
from iris_tf.networks.spatial_attention import SpatialAttention

LINEAR_LAYERS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
"""Layers whose kernels can take up scales of their inputs' or outputs' channels."""

_PASSING = (
    keras.layers.GlobalAveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.PReLU,
    keras.layers.Multiply,  # by a gate, which lies behind a layer that takes up the scales
)

Absorbed = dict[str, np.ndarray]
"""Scales by the name of the layer whose kernel has to take them up, per input channel."""


def scale_outputs(layer: keras.layers.Layer, kernel: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Kernel of a linear layer whose output channels are multiplied by `scales`."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return kernel * scales.reshape(kernel.shape[2:])
    return kernel * scales


def scale_inputs(layer: keras.layers.Layer, kernel: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Kernel that takes up `scales`, factors of the input's channels."""
    if isinstance(layer, SpatialAttention):  # reads mean and maximum over the channels
        return kernel * scales[0]
    return kernel * scales[:, None]


def largest_weights(layer: keras.layers.Layer, kernel: np.ndarray, outputs: bool) -> np.ndarray:
    """Largest absolute weight of a linear layer per output or input channel."""
    magnitudes = np.abs(kernel)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        magnitudes = magnitudes.reshape(-1, *kernel.shape[2:]).max(axis=0)
        return magnitudes.reshape(-1) if outputs else magnitudes.max(axis=1)
    magnitudes = magnitudes.reshape(-1, *kernel.shape[-2:]).max(axis=0)
    return magnitudes.max(axis=0 if outputs else 1)


def absorbers(model: keras.Model, layer: keras.Operation, scales: np.ndarray) -> Absorbed | None:
    """Layers whose kernels can make up for dividing the output of `layer` by `scales`.

    Everything on the way must commute with positive scales of channels: PReLU, ReLU without a
    limit, average pooling, the product with a gate, and for scales that all channels share,
    spatial attention.

    Parameters
    ----------
    model : keras.Model
        Functional.
    layer : keras.Operation
        Layer of `model`.
    scales : ndarray of shape (channels,)
        Positive.

    Returns
    -------
    dict of str to ndarray, or None
        Kernels to multiply with `scale_inputs`; None where some reader cannot make up for it.
    """
    found: Absorbed = {}
    return found if _collect(model, layer, scales, found, set()) else None


def _collect(
    model: keras.Model,
    layer: keras.Operation,
    scales: np.ndarray,
    found: Absorbed,
    passed: set[str],
) -> bool:
    if is_output(model, layer):
        return False
    for reader in consumers(model, layer):
        if isinstance(reader, LINEAR_LAYERS):
            found[reader.name] = scales
            continue
        # Reached twice, a product of two scaled factors would be divided by their square.
        if reader.name in passed or not _commutes(reader, scales):
            return False
        passed.add(reader.name)
        if isinstance(reader, SpatialAttention):
            found[reader.name] = scales
        if not _collect(model, reader, scales, found, passed):
            return False
    return True


def _commutes(reader: keras.Operation, scales: np.ndarray) -> bool:
    if isinstance(reader, SpatialAttention):
        return bool(np.all(scales == scales[0]))
    if isinstance(reader, keras.layers.ReLU):
        return reader.max_value is None and not reader.threshold and not reader.negative_slope
    if isinstance(reader, keras.layers.Activation):
        return reader.activation is keras.activations.relu
    return isinstance(reader, _PASSING)


def absorb(model: keras.Model, absorbed: Absorbed, weights: dict[str, list[np.ndarray]]) -> None:
    """Multiply kernels in `weights` (by layer name; completed from the model) by scales."""
    for name, scales in absorbed.items():
        layer = model.get_layer(name)
        values = weights.get(name) or layer.get_weights()
        weights[name] = [scale_inputs(layer, values[0], scales), *values[1:]]
