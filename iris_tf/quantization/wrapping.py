"""Wrapping the layers of a network for training with quantised weights, and taking them out."""

from collections.abc import Callable, Iterator

import keras
import numpy as np

from iris_tf.imaging.images import with_channel_axis
from iris_tf.networks.channel_scaling import LINEAR_LAYERS
from iris_tf.networks.spatial_attention import SpatialAttention
from iris_tf.quantization.bit_masks import BitMask, check_mask
from iris_tf.quantization.quantized_layers import (
    LEAST_ALPHA,
    FixedPrecision,
    MixedPrecision,
    QuantizedLayer,
)
from iris_tf.support.errors import ArgumentError

WITH_KERNELS = (*LINEAR_LAYERS, keras.layers.Conv2DTranspose, SpatialAttention)
"""Layers whose weights are quantised."""

_BATCH = 16
_ALPHA_SHARE = 0.9999  # of the inputs seen, which the first limit of PACT leaves unclipped


def fix_precision(model: keras.Model, bits: int, rois: np.ndarray) -> keras.Model:
    """Copy a model with all its kernels and their inputs at `bits`, and calibrate it.

    Parameters
    ----------
    model : keras.Model
        Functional, any network of the registry; not modified.
    bits : int
        2..8.
    rois : ndarray of shape (n, H, W) or (n, H, W, 3), uint8
        Crops whose activations set the ranges, which are frozen then.

    Returns
    -------
    keras.Model
        Layers keep their names.

    Raises
    ------
    ArgumentError
        If the model is quantised already, has layers with kernels of other kinds than
        `WITH_KERNELS`, or there are no crops.
    """
    _check_float(model)
    copy = _wrapped(model, lambda layer, inner: FixedPrecision(inner, bits, name=layer.name))
    layers = [layer for layer in copy.layers if isinstance(layer, FixedPrecision)]
    for layer in layers:
        layer.calibrating = True
    for batch in _batches(rois):
        copy(batch, training=False)
    for layer in layers:
        layer.calibrating = False
    return copy


def mix_precision(model: keras.Model, mask: BitMask, rois: np.ndarray) -> keras.Model:
    """Copy a model with the bits of `mask` for each weight, and 8 bits for inputs of its layers.

    Parameters
    ----------
    model : keras.Model
        Functional, any network of the registry; not modified.
    mask : dict of str to ndarray
        Bits of the weights of every layer in `kernels`.
    rois : ndarray of shape (n, H, W) or (n, H, W, 3), uint8
        Crops whose activations set the first limits of PACT.

    Returns
    -------
    keras.Model
        Layers keep their names.

    Raises
    ------
    ArgumentError
        If the model is quantised already, has layers with kernels of other kinds than
        `WITH_KERNELS`, or there are no crops.
    ValueError
        If the mask is of another network.
    """
    _check_float(model)
    weights = kernels(model)
    check_mask(mask, weights)
    ranges = _input_ranges(model, [model.get_layer(name) for name in mask], rois)

    def wrap(layer: keras.layers.Layer, inner: keras.layers.Layer) -> keras.layers.Layer:
        low, _ = ranges[layer.name]
        return MixedPrecision(inner, signed=bool(low < 0.0), name=layer.name)

    copy = _wrapped(model, wrap)
    for name, bits in mask.items():
        layer = copy.get_layer(name)
        layer.bits.assign(bits)
        layer.scale.assign(np.abs(weights[name]).max())
        layer.alpha.assign(max(ranges[name][1], LEAST_ALPHA))
    return copy


def without_quantizers(model: keras.Model) -> keras.Model:
    """Copy a model of `fix_precision` or `mix_precision` with plain layers and its rounded weights.

    Activations are no longer rounded. What is exported from it was fine-tuned for few bits.

    Parameters
    ----------
    model : keras.Model
        Functional; not modified.

    Returns
    -------
    keras.Model
        The model itself if none of its layers is quantised.
    """
    if not any(isinstance(layer, QuantizedLayer) for layer in model.layers):
        return model

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        inner = _inner(layer)
        return type(inner).from_config(inner.get_config() | {"name": layer.name})

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(_inner(layer).get_weights())
        if isinstance(layer, QuantizedLayer) and not layer.packed:
            copy.get_layer(layer.name).kernel.assign(layer.quantized_kernel())
    return copy


def kernels(model: keras.Model) -> dict[str, np.ndarray]:
    """Weights that a mask is about, by the name of their layer, from input to output."""
    return {
        layer.name: np.asarray(_inner(layer).kernel)
        for layer in model.layers
        if isinstance(_inner(layer), WITH_KERNELS)
    }


def _inner(layer: keras.layers.Layer) -> keras.layers.Layer:
    return layer.layer if isinstance(layer, FixedPrecision | MixedPrecision) else layer


def _check_float(model: keras.Model) -> None:
    """Refuse models of quantised layers, and of layers whose kernels would silently stay float."""
    if any(isinstance(layer, QuantizedLayer) for layer in model.layers):
        raise ArgumentError(f"the model {model.name} is quantised already; give the float one.")
    unknown = [
        f"{layer.name} ({type(layer).__name__})"
        for layer in model.layers
        if not isinstance(layer, WITH_KERNELS)
        and any(weight.name.endswith("kernel") for weight in layer.weights)
    ]
    if unknown:
        raise ArgumentError(
            f"the model {model.name} has layers whose kernels cannot be quantised: "
            f"{', '.join(unknown)}; known are {', '.join(kind.__name__ for kind in WITH_KERNELS)}."
        )


Wrap = Callable[[keras.layers.Layer, keras.layers.Layer], keras.layers.Layer]


def _wrapped(model: keras.Model, wrap: Wrap) -> keras.Model:
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        copy = type(layer).from_config(layer.get_config())
        return wrap(layer, copy) if isinstance(layer, WITH_KERNELS) else copy

    copy = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.weights:
            _inner(copy.get_layer(layer.name)).set_weights(layer.get_weights())
    return copy


def _batches(rois: np.ndarray) -> Iterator[np.ndarray]:
    crops = with_channel_axis(rois)
    if not len(crops):
        raise ArgumentError("there are no crops to calibrate with; give at least one.")
    for start in range(0, len(crops), _BATCH):
        yield crops[start : start + _BATCH].astype(np.float32)


def _input_ranges(
    model: keras.Model, layers: list[keras.layers.Layer], rois: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Least input of each layer, and the magnitude that few of its inputs exceed."""
    inputs = keras.Model(model.input, [layer.input for layer in layers])
    least, most = np.zeros(len(layers)), np.zeros(len(layers))
    for batch in _batches(rois):
        for i, values in enumerate(map(np.asarray, keras.tree.flatten(inputs(batch)))):
            least[i] = min(least[i], values.min())
            most[i] = max(most[i], np.quantile(np.abs(values), _ALPHA_SHARE))
    return {
        layer.name: (float(low), float(high))
        for layer, low, high in zip(layers, least, most, strict=True)
    }
