"""PReLU as a sum of products, for which quantisers and runtimes have 8-bit kernels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from iris_tf.networks.layer_graph import copy_model


@keras.saving.register_keras_serializable(package="iris_tf")
class SplitPReLU(keras.layers.Layer):
    """PReLU with slopes a of the channels, as ``a x + relu((1 - a) x)``.

    XNNPACK, which runs TFLite files on CPUs, has fast 8-bit kernels of products, ReLU after them,
    and sums, but none of PReLU, of ReLU by itself, or of differences. Input and output have the
    shape (batch, height, width, channels).

    Parameters
    ----------
    steep : bool
        Whether some slopes exceed 1, which takes one product more: ``1 - a`` is negative then,
        and its sign has to stay outside the ReLU.
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
        """Add what both signs share and what positive inputs have besides."""
        slopes = ops.convert_to_tensor(self.slopes)
        rest = 1.0 - slopes
        positive = ops.relu(inputs * ops.abs(rest))
        if self.steep:
            positive = positive * ops.sign(rest)
        return positive + inputs * slopes

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
