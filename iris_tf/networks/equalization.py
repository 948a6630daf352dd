"""Layer rewrite: cross-layer equalisation of weight ranges (Nagel et al., 2019)."""

import keras
import numpy as np

from iris_tf.networks.channel_scaling import (
    LINEAR_LAYERS,
    absorb,
    absorbers,
    largest_weights,
    scale_outputs,
)
from iris_tf.networks.layer_graph import copy_model

_ROUNDS = 10  # scales of chained layers converge within a few
_LIMIT = 1e3  # largest scale of one round; channels without weights keep theirs


def equalize(model: keras.Model) -> keras.Model:
    """Balance the ranges of weights between consecutive layers, channel by channel.

    Where a layer's output passes through nothing but ReLU, pooling or gates to layers that can
    make up for it, its channel i is divided by s_i = sqrt(r1_i / r2_i) (their Eq. 11), with r1_i
    the largest weight that makes the channel and r2_i the largest that reads it. The channels of
    activations then differ less in range, so that 8 bits per tensor suffice. Biases are divided,
    too. Channels in front of h-swish, which scales do not pass, stay as they are.

    Parameters
    ----------
    model : keras.Model
        Functional, without batch normalisation between the layers in question
        (`fold_batch_normalization`); not modified.

    Returns
    -------
    keras.Model
        Same outputs up to rounding.

    References
    ----------
    M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
    ICCV 2019.
    """
    weights = {
        layer.name: [np.array(value) for value in layer.get_weights()]
        for layer in model.layers
        if layer.weights
    }
    for _ in range(_ROUNDS):
        for layer in model.layers:
            if isinstance(layer, LINEAR_LAYERS):
                _equalize_outputs(model, layer, weights)
    return copy_model(model, weights)


def _equalize_outputs(
    model: keras.Model, layer: keras.layers.Layer, weights: dict[str, list[np.ndarray]]
) -> None:
    kernel, *bias = weights[layer.name]
    made = largest_weights(layer, kernel, outputs=True)
    # Distinct scales of channels, so that only readers are found that can take up any.
    readers = absorbers(model, layer, np.arange(1.0, len(made) + 1.0))
    if not readers or layer.get_config()["activation"] not in ("linear", "relu"):
        return
    read = np.max(
        [largest_weights(model.get_layer(n), weights[n][0], outputs=False) for n in readers], 0
    )
    usable = (made > 0) & (read > 0)
    scales = np.sqrt(np.divide(made, read, out=np.ones_like(made), where=usable))
    scales = np.clip(scales, 1 / _LIMIT, _LIMIT).astype(np.float32)
    weights[layer.name] = [
        scale_outputs(layer, kernel, 1.0 / scales),
        *(value / scales for value in bias),
    ]
    absorb(model, dict.fromkeys(readers, scales), weights)
