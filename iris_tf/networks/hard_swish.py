"""H-swish as a sum and a product, for which every runtime has fast 8-bit kernels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from iris_tf.networks.channel_scaling import absorb, absorbers
from iris_tf.networks.layer_graph import copy_model

_SIX = 6.0


@keras.saving.register_keras_serializable(package="iris_tf")
class SplitHardSwish(keras.layers.Layer):
    """H-swish times a factor, ``factor x relu6(x + 3) / 6``.

    The output has the shape of the input.

    Parameters
    ----------
    factor : float
        6 leaves no constant to multiply with; 1 is h-swish itself.
    """

    def __init__(self, factor: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "factor": self.factor}

    def call(self, inputs: Any) -> Any:
        """Multiply `inputs` by their gate."""
        gate = ops.relu6(inputs + 3.0)
        # The factor is on the input: converters fuse a division of gate or product to h-swish.
        return gate * (inputs if self.factor == _SIX else inputs * (self.factor / _SIX))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the input."""
        return input_shape


def split_hard_swish(model: keras.Model) -> keras.Model:
    """Replace h-swish by `SplitHardSwish`, and divide the kernels after it by six.

    XNNPACK, which runs TFLite files on CPUs, has no 8-bit kernel of h-swish. Each one then leaves
    its fast path, and a static 8-bit MobileNetV3 is slower than a float one.

    Parameters
    ----------
    model : keras.Model
        Functional; not modified.

    Returns
    -------
    keras.Model
        Same outputs up to rounding. Where the readers of an h-swish cannot make up for the factor
        of six, it is divided out at once.
    """
    weights: dict[str, list[np.ndarray]] = {}
    factors = {}
    for layer in model.layers:
        if _is_hard_swish(layer):
            scales = np.full(layer.output.shape[-1], 1.0 / _SIX, np.float32)
            absorbed = absorbers(model, layer, scales)
            factors[layer.name] = 1.0 if absorbed is None else _SIX
            absorb(model, absorbed or {}, weights)

    def split(layer: keras.layers.Layer) -> keras.layers.Layer | None:
        if layer.name not in factors:
            return None
        return SplitHardSwish(factors[layer.name], name=layer.name)

    return copy_model(model, weights, split)


def _is_hard_swish(layer: keras.layers.Layer) -> bool:
    return (
        isinstance(layer, keras.layers.Activation)
        and layer.activation is keras.activations.hard_silu
    )
