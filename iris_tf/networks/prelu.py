"""PReLU as a product and a maximum, for which quantisers and runtimes have 8-bit kernels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from iris_tf.networks.layer_graph import copy_model


@keras.saving.register_keras_serializable(package="iris_tf")
class SplitPReLU(keras.layers.Layer):
    """PReLU with slopes a of the channels, as ``max(x, a x)`` for slopes of at most 1.

    XNNPACK, which runs TFLite files on CPUs, has fast 8-bit kernels of products, ReLU after them,
    sums and maxima, but none of PReLU, of ReLU by itself, or of differences. Input and output have
    the shape (batch, height, width, channels).

    Parameters
    ----------
    steep : bool
        Whether some slopes exceed 1. Then it is ``a x + s relu(|1 - a| x)`` with the sign s of
        ``1 - a``, which takes longer.
    """

    def __init__(self, steep: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.steep = steep

    def build(self, input_shape: tuple) -> None:
        """Create the slopes, in the shape of `keras.layers.PReLU`'s weights."""
        self.slopes = self.add_weight(shape=(1, 1, input_shape[-1]), name="slopes")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "steep": self.steep}

    def call(self, inputs: Any) -> Any:
        """Multiply negative inputs by their channel's slope."""
        slopes = ops.convert_to_tensor(self.slopes)
        if not self.steep:
            return ops.maximum(inputs, inputs * slopes)
        rest = 1.0 - slopes
        return inputs * slopes + ops.relu(inputs * ops.abs(rest)) * ops.sign(rest)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the input."""
        return input_shape


def split_prelu(model: keras.Model) -> keras.Model:
    """Replace PReLU with slopes of the channels by `SplitPReLU`.

    litert-quantizer leaves PReLU in float32, with a conversion before and after each.

    Parameters
    ----------
    model : keras.Model
        Functional; not modified.

    Returns
    -------
    keras.Model
        Same outputs up to rounding. PReLU with slopes of its own at every place stays.
    """

    def split(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if not isinstance(layer, keras.layers.PReLU) or layer.alpha.shape[:-1] != (1, 1):
            return None
        return SplitPReLU(bool(np.any(np.asarray(layer.alpha) > 1.0)), name=layer.name)

    return copy_model(model, {}, split)
