"""Layer rewrite: batch normalisation folded into the convolution before it."""

import keras
import numpy as np

from iris_tf.networks.channel_scaling import LINEAR_LAYERS, scale_outputs
from iris_tf.networks.layer_graph import consumers, copy_model, is_output


def fold_batch_normalization(model: keras.Model) -> keras.Model:
    """Fold every batch normalisation that follows a convolution or linear layer into it.

    At inference batch normalisation is a scale and an offset per channel. Converters fold it, too;
    here the folded weights are those that the following rewrites see and change.

    Parameters
    ----------
    model : keras.Model
        Functional; not modified.

    Returns
    -------
    keras.Model
        Same outputs up to rounding at inference; layers keep their names and gain a bias.
    """
    weights, folded = {}, folded_normalizations(model)
    for norm_name, name in folded.items():
        norm, layer = model.get_layer(norm_name), model.get_layer(name)
        scale, offset = _affine(norm)
        values = [np.array(value) for value in layer.get_weights()]
        bias = values[1] if layer.use_bias else np.zeros_like(offset)
        weights[layer.name] = [scale_outputs(layer, values[0], scale), bias * scale + offset]

    def with_bias(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if layer.name not in weights:
            return None
        return type(layer).from_config(layer.get_config() | {"use_bias": True})

    return copy_model(model, weights, with_bias, lambda layer: layer.name in folded)


def folded_normalizations(model: keras.Model) -> dict[str, str]:
    """Names of the batch normalisations that can be folded, each with its layer before it."""
    found = {}
    for layer in model.layers:
        readers = consumers(model, layer)
        if (
            isinstance(layer, LINEAR_LAYERS)
            and layer.get_config()["activation"] == "linear"
            and len(readers) == 1
            and isinstance(readers[0], keras.layers.BatchNormalization)
            and not is_output(model, layer)
        ):
            found[readers[0].name] = layer.name
    return found


def _affine(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset per channel of a batch normalisation at inference."""
    mean = np.asarray(norm.moving_mean, np.float64)
    scale = 1.0 / np.sqrt(np.asarray(norm.moving_variance, np.float64) + norm.epsilon)
    if norm.scale:
        scale *= np.asarray(norm.gamma)
    offset = -mean * scale
    if norm.center:
        offset += np.asarray(norm.beta)
    return scale.astype(np.float32), offset.astype(np.float32)
