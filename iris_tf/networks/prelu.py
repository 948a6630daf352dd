"""PReLU as ReLUs and a difference, for which quantisers and runtimes have 8-bit kernels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from iris_tf.networks.layer_graph import copy_model


@keras.saving.register_keras_serializable(package="iris_tf")
class SplitPReLU(keras.layers.Layer):
    """PReLU, ``max(x, 0) + a min(x, 0)``, as ``relu(x) - relu(-a x)`` for slopes a >= 0.

    The output has the shape of the input.

    Parameters
    ----------
    signed : bool
        Whether slopes may be negative, which takes one product more.
    shared_axes : sequence of int or None
        Axes without slopes of their own, as of `keras.layers.PReLU`.
    """

    def __init__(self, signed: bool, shared_axes: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.signed = signed
        self.shared_axes = shared_axes

    def build(self, input_shape: tuple) -> None:
        """Create the slopes, in the order and shape of `keras.layers.PReLU`'s weights."""
        shared = self.shared_axes or ()
        shape = [
            1 if axis in shared else side for axis, side in enumerate(input_shape[1:], start=1)
        ]
        self.slopes = self.add_weight(shape=shape, name="slopes")

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "signed": self.signed, "shared_axes": self.shared_axes}

    def call(self, inputs: Any) -> Any:
        """Subtract the rectified negative part."""
        slopes = ops.convert_to_tensor(self.slopes)
        negative = ops.relu(inputs * -ops.abs(slopes))
        if self.signed:
            negative = negative * ops.sign(slopes)
        return ops.relu(inputs) - negative

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the input."""
        return input_shape


def split_prelu(model: keras.Model) -> keras.Model:
    """Replace PReLU by `SplitPReLU`.

    litert-quantizer leaves PReLU in float32, with a conversion before and after each.

    Parameters
    ----------
    model : keras.Model
        Functional; not modified.

    Returns
    -------
    keras.Model
        Same outputs up to rounding.
    """

    def split(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if not isinstance(layer, keras.layers.PReLU):
            return None
        signed = bool(np.any(np.asarray(layer.alpha) < 0.0))
        return SplitPReLU(signed, layer.shared_axes, name=layer.name)

    return copy_model(model, {}, split)
