"""Spatial attention."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="iris_tf")
class SpatialAttention(keras.layers.Layer):
    """Spatial attention F x M(F) of MobiIris (Eq. 1).

    ``M(F) = sigmoid(conv([mean over channels; max over channels]))``: one weight
    between 0 and 1 per position, shared by all channels. The convolution has zero
    padding ("same"), one output channel and no bias: ``2 * kernel_size ** 2``
    parameters. Small kernels capture local detail, large ones context.

    Parameters
    ----------
    kernel_size : int
        Side of the convolution, in positions of the feature map; odd.
    kernel_initializer : str or keras.initializers.Initializer
        Initial kernel.
    **kwargs
        Passed to `keras.layers.Layer`.

    Raises
    ------
    ValueError
        If `kernel_size` is not odd and positive.

    Examples
    --------
    >>> SpatialAttention(7)(keras.ops.ones((2, 14, 14, 40))).shape
    TensorShape([2, 14, 14, 40])
    """

    def __init__(
        self, kernel_size: int = 7, kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ):
        super().__init__(**kwargs)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; choose an odd number, such as 7.")
        self.kernel_size = kernel_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple) -> None:
        """Create the kernel of shape (kernel_size, kernel_size, 2, 1): mean, then maximum."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, 2, 1),
            initializer=self.kernel_initializer,
        )

    def call(self, inputs: Any) -> Any:
        """Multiply `inputs` of shape (batch, height, width, channels) by the mask."""
        # In float16, the sum over hundreds of channels can overflow.
        mean = ops.mean(ops.cast(inputs, "float32"), axis=-1, keepdims=True)
        maximum = ops.max(inputs, axis=-1, keepdims=True)
        summary = ops.concatenate([ops.cast(mean, inputs.dtype), maximum], axis=-1)
        return inputs * ops.sigmoid(ops.conv(summary, self.kernel, padding="same"))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """Constructor arguments, for serialisation."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
