"""Whether a model survives float16 arithmetic, which phones' GPUs compute with."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np

from iris_tf.imaging.images import with_channel_axis
from iris_tf.networks.channel_scaling import LINEAR_LAYERS

LARGEST_FLOAT16 = 65504.0
"""Largest finite number of 16 bits; products and sums beyond it overflow."""

_BATCH = 8


@dataclass(frozen=True)
class Float16Check:
    """Behaviour of a model in float16 arithmetic on some crops.

    Attributes
    ----------
    largest_layer : str
        Layer with the largest output.
    largest : float
        Its largest magnitude in float32; up to 65504 is representable.
    overflows : dict of str to int
        Outputs that are infinite or NaN in float16, by layer; the first is the one to mend.
    min_cosine : float or None
        Least cosine between the embeddings of one crop in float16 and in float32; None where one
        is 0, infinite or NaN, as after an overflow within a layer.
    largest_sum_layer : str
        Layer with the largest sum, of those that are known to add up: convolutions and linear
        layers, means over an image, and the squares of a norm; ``""`` if there is none.
    largest_sum : float
        That sum, of magnitudes in float32: more than any order of summation comes to.
    """

    largest_layer: str
    largest: float
    overflows: dict[str, int]
    min_cosine: float | None
    largest_sum_layer: str = ""
    largest_sum: float = 0.0


def extreme_crops(size: tuple[int, int], channels: int = 1) -> dict[str, np.ndarray]:
    """Crops that drive activations to extremes, by name.

    Parameters
    ----------
    size : tuple of int
        Height and width.
    channels : {1, 3}

    Returns
    -------
    dict of str to ndarray of shape (H, W, channels), uint8
        All black, all white, noise, noise of black and white only, one bright spot on black, and
        a step from black to white.
    """
    shape = (*size, channels)
    rng = np.random.default_rng(0)
    spot, step = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    spot[size[0] // 2, size[1] // 2] = 255
    step[:, size[1] // 2 :] = 255
    return {
        "black": np.zeros(shape, np.uint8),
        "white": np.full(shape, 255, np.uint8),
        "noise": rng.integers(0, 256, shape, dtype=np.uint8),
        "saturated": np.where(rng.random(shape) < 0.5, 0, 255).astype(np.uint8),
        "spot": spot,
        "step": step,
    }


def check_float16(model: keras.Model, rois: np.ndarray) -> Float16Check:
    """Run every layer of a model in float16 arithmetic and compare with float32.

    All layers are included, also those that are always float32 in training, because a GPU
    delegate does not know that.

    Parameters
    ----------
    model : keras.Model
        Functional, from crops to embeddings; not modified.
    rois : ndarray of shape (n, H, W) or (n, H, W, channels), uint8

    Returns
    -------
    Float16Check
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    wide = keras.Model(model.input, [layer.output for layer in layers])
    narrow = _in_float16(wide)
    summing = {layer.name: total for layer in layers if (total := _total(layer)) is not None}
    inputs = [model.get_layer(name).input for name in summing]
    watched = keras.Model(model.input, [*wide.outputs, *inputs])
    sums = np.zeros(len(summing))
    largest = np.zeros(len(layers))
    overflows: dict[str, int] = {}
    cosines: list[float] = []
    for batch in _batches(with_channel_axis(rois)):
        exact, found = _outputs(watched, batch), _outputs(narrow, batch)
        for i, (layer, outputs) in enumerate(zip(layers, found, strict=True)):
            largest[i] = max(largest[i], np.abs(exact[i]).max())
            if count := int((~np.isfinite(outputs)).sum()):
                overflows[layer.name] = overflows.get(layer.name, 0) + count
        totals = zip(summing.values(), exact[len(layers) :], strict=True)
        sums = np.maximum(sums, [total(values) for total, values in totals])
        embedding = next(i for i, layer in enumerate(layers) if layer.output is model.output)
        cosines += _cosines(exact[embedding], found[embedding])
    order = {layer.name: i for i, layer in enumerate(layers)}
    worst = int(np.argmax(largest))
    least = float(np.min(cosines))
    return Float16Check(
        layers[worst].name,
        float(largest[worst]),
        dict(sorted(overflows.items(), key=lambda item: order[item[0]])),
        None if math.isnan(least) else least,
        list(summing)[int(np.argmax(sums))] if summing else "",
        float(sums.max(initial=0.0)),
    )


def _total(layer: keras.layers.Layer) -> Callable[[np.ndarray], float] | None:
    """What gives the largest sum of magnitudes within a layer from its input; None if unknown."""
    if isinstance(layer, keras.layers.GlobalAveragePooling2D):
        return lambda values: float(np.abs(values).sum(axis=(1, 2)).max())
    if isinstance(layer, keras.layers.UnitNormalization):
        return lambda values: float(np.square(values).sum(axis=-1).max())
    if not isinstance(layer, LINEAR_LAYERS):
        return None
    linear = type(layer).from_config(layer.get_config() | {"activation": None, "dtype": "float32"})
    linear.build(layer.input.shape)
    linear.set_weights([np.abs(values) for values in layer.get_weights()])
    return lambda values: float(np.max(linear(np.abs(values).astype(np.float32))))


def _outputs(model: keras.Model, batch: np.ndarray) -> list[np.ndarray]:
    outputs = keras.tree.flatten(model(batch, training=False))
    return [np.asarray(output, np.float64) for output in outputs]


def _batches(crops: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(crops), _BATCH):
        yield crops[start : start + _BATCH].astype(np.float32)


def _in_float16(model: keras.Model) -> keras.Model:
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        copy = type(layer).from_config(layer.get_config())
        if not isinstance(layer, keras.layers.InputLayer):
            # Not in the configuration: some layers insist on float32 when they are created.
            copy.dtype_policy = "float16"
        return copy

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def _cosines(first: np.ndarray, second: np.ndarray) -> list[float]:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    with np.errstate(invalid="ignore"):  # an embedding of 0 has no direction
        return list((first * second).sum(axis=1) / norms)
