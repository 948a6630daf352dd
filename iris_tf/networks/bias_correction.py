"""Layer rewrite: bias correction for rounded weights (Nagel et al., 2019)."""

from collections.abc import Collection

import keras
import numpy as np

from iris_tf.imaging.images import with_channel_axis
from iris_tf.networks.channel_scaling import LINEAR_LAYERS, largest_weights
from iris_tf.networks.layer_graph import copy_model

_BATCH = 16
_STEPS = 127  # of a signed 8-bit weight that is symmetric about 0


def correct_biases(
    model: keras.Model, rois: np.ndarray, float_layers: Collection[str] = ()
) -> keras.Model:
    """Take from every bias what rounding the layer's weights to 8 bits adds on average.

    Rounding errors of weights do not average out over inputs whose mean is not 0, such as those
    after ReLU: they shift a channel by E[(W_q - W) x] (Sec. 4.2). The expectation is estimated on
    crops.

    Parameters
    ----------
    model : keras.Model
        Functional, from crops; not modified.
    rois : ndarray of shape (n, H, W), or (n, H, W, 3) for colour, uint8
        Crops of the model's input size, at least one.
    float_layers : collection of str, optional
        Names of layers whose weights stay as they are, and therefore their biases, too.

    Returns
    -------
    keras.Model
        The same model with other biases in its convolutions and linear layers.

    References
    ----------
    M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
    ICCV 2019.
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, LINEAR_LAYERS) and layer.use_bias and layer.name not in float_layers
    ]
    if not layers:
        return copy_model(model, {})
    errors = keras.Model(model.input, [_rounding_error(layer) for layer in layers])
    crops = with_channel_axis(rois).astype(np.float32)
    shifts = [0.0] * len(layers)
    for start in range(0, len(crops), _BATCH):
        batch = errors(crops[start : start + _BATCH], training=False)
        for i, error in enumerate(keras.tree.flatten(batch)):
            axes = tuple(range(1, error.ndim - 1))
            shifts[i] += np.asarray(error).mean(axis=axes).sum(axis=0) / len(crops)
    weights = {
        layer.name: [layer.get_weights()[0], layer.get_weights()[1] - shift]
        for layer, shift in zip(layers, shifts, strict=True)
    }
    return copy_model(model, weights)


def round_kernel(layer: keras.layers.Layer, kernel: np.ndarray) -> np.ndarray:
    """Weights of a linear layer rounded to 8 bits, symmetric, with one scale per output channel."""
    largest = largest_weights(layer, kernel, outputs=True)
    scales = np.where(largest > 0, largest, 1.0) / _STEPS
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        scales = scales.reshape(kernel.shape[2:])
    return np.round(kernel / scales) * scales


def _rounding_error(layer: keras.layers.Layer) -> keras.KerasTensor:
    """What rounding the weights adds to the layer's output."""
    config = layer.get_config() | {
        "name": f"{layer.name}_rounding_error",
        "use_bias": False,
        "activation": "linear",
    }
    error = type(layer).from_config(config)
    output = error(layer.input)
    kernel = layer.get_weights()[0]
    error.set_weights([round_kernel(layer, kernel) - kernel])
    return output
