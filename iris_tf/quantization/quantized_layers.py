"""Layers of any network, computed with quantised weights and inputs."""

from typing import Any

import keras
import numpy as np
from keras import ops

from iris_tf.quantization.fake_quantizers import (
    MOST_BITS,
    check_bits,
    dorefa,
    dorefa_codes,
    dorefa_values,
    fake_quantize,
    fake_quantize_activations,
    pact,
    quantize,
    signed_pact,
)

LEAST_ALPHA = 1e-3
"""Least limit of inputs in `MixedPrecision`. From 0 on all inputs would be the same."""


class QuantizedLayer(keras.layers.Wrapper):
    """A layer with a `kernel`, called with a quantised one on quantised inputs.

    Parameters
    ----------
    layer : keras.layers.Layer
        Convolution, depthwise convolution, linear layer or spatial attention.
    packed : bool, optional
        Whether the kernel of `layer` is the quantised one already, as in a packed file.
    """

    def __init__(self, layer: keras.layers.Layer, packed: bool = False, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.packed = packed

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "packed": self.packed}

    def quantized_kernel(self) -> Any:
        """Quantised and dequantised kernel."""
        raise NotImplementedError

    def quantize_inputs(self, inputs: Any) -> Any:
        """Quantised and dequantised inputs."""
        raise NotImplementedError

    def bits_of_weights(self) -> np.ndarray:
        """Bits of every weight, uint8."""
        raise NotImplementedError

    def codes(self) -> np.ndarray:
        """Levels of all weights, uint8, from 0."""
        raise NotImplementedError

    def constants(self) -> list[np.ndarray]:
        """Numbers besides the layer's own that `restore` needs."""
        raise NotImplementedError

    def restore(self, codes: np.ndarray, bits: np.ndarray, constants: list[np.ndarray]) -> None:
        """Set the kernel of a packed layer from what the methods above gave."""
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        """Call the layer."""
        inputs = self.quantize_inputs(inputs)
        if self.packed:
            return self.layer.call(inputs)
        # The layer reads the quantised kernel in place of its variable, whatever its type.
        with keras.StatelessScope(state_mapping=[(self.layer.kernel, self.quantized_kernel())]):
            return self.layer.call(inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the layer's output."""
        return self.layer.compute_output_shape(input_shape)


@keras.saving.register_keras_serializable(package="iris_tf")
class FixedPrecision(QuantizedLayer):
    """Weights and inputs of the same bits, asymmetric (fixed precision of Kolf et al.).

    The range of weights is that of each output channel. The range of inputs is the least and the
    largest value seen while `calibrating`, and then frozen. Both contain 0.

    Parameters
    ----------
    layer : keras.layers.Layer
        See `QuantizedLayer`.
    bits : int
        2..8.

    Attributes
    ----------
    calibrating : bool
        Whether calls record the range of their inputs and leave them as they are.
    """

    def __init__(self, layer: keras.layers.Layer, bits: int, **kwargs: Any):
        check_bits(bits)
        super().__init__(layer, **kwargs)
        self.bits = bits
        self.calibrating = False

    def build(self, input_shape: Any = None) -> None:
        """Create the range of inputs, which is empty before calibration."""
        super().build(input_shape)
        self.low = self.add_weight(name="low", shape=(), initializer="zeros", trainable=False)
        self.high = self.add_weight(name="high", shape=(), initializer="zeros", trainable=False)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "bits": self.bits}

    def _range(self) -> tuple[Any, Any]:
        kernel, axes = self.layer.kernel.value, self._within_channel()
        low = ops.minimum(ops.min(kernel, axis=axes, keepdims=True), 0.0)
        high = ops.maximum(ops.max(kernel, axis=axes, keepdims=True), 0.0)
        return low, high

    def _within_channel(self) -> tuple[int, ...]:
        """Axes of the kernel over which an output channel extends."""
        if isinstance(self.layer, keras.layers.DepthwiseConv2D):
            return (0, 1)
        rank = len(self.layer.kernel.shape)
        if isinstance(self.layer, keras.layers.Conv2DTranspose):  # outputs come before inputs
            return (0, 1, rank - 1)
        return tuple(range(rank - 1))

    def quantized_kernel(self) -> Any:
        """Kernel within the range of each output channel."""
        return fake_quantize(self.layer.kernel.value, *self._range(), self.bits)

    def bits_of_weights(self) -> np.ndarray:
        """The same for all."""
        return np.full(self.layer.kernel.shape, self.bits, np.uint8)

    def codes(self) -> np.ndarray:
        """Integers, shifted to start at 0."""
        integers, _, _ = quantize(self.layer.kernel.value, *self._range(), self.bits)
        return np.asarray(integers + 2.0 ** (self.bits - 1)).astype(np.uint8)

    def constants(self) -> list[np.ndarray]:
        """Step and zero of each output channel."""
        _, step, zero = quantize(self.layer.kernel.value, *self._range(), self.bits)
        return [np.asarray(step), np.asarray(zero)]

    def restore(self, codes: np.ndarray, bits: np.ndarray, constants: list[np.ndarray]) -> None:
        """Set the kernel."""
        step, zero = constants
        integers = ops.cast(codes, "float32") - 2.0 ** (self.bits - 1)
        self.layer.kernel.assign(step * (integers + zero))

    def quantize_inputs(self, inputs: Any) -> Any:
        """Inputs in the calibrated range."""
        if self.calibrating:
            self.low.assign(ops.minimum(self.low, ops.min(inputs)))
            self.high.assign(ops.maximum(self.high, ops.max(inputs)))
            return inputs
        return fake_quantize_activations(inputs, self.low.value, self.high.value, self.bits)


@keras.saving.register_keras_serializable(package="iris_tf")
class MixedPrecision(QuantizedLayer):
    """Weights by DoReFa-Net with bits of their own, inputs by PACT with 8 bits.

    Weights keep the scale that they had when the layer was wrapped, because not every layer is
    followed by batch normalisation; DoReFa-Net's own are in -1..1.

    Parameters
    ----------
    layer : keras.layers.Layer
        See `QuantizedLayer`.
    signed : bool
        Whether inputs may be negative, as after h-swish or a linear layer: `signed_pact`, which is
        ours, instead of `pact`.
    """

    def __init__(self, layer: keras.layers.Layer, signed: bool, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.signed = signed

    def build(self, input_shape: Any = None) -> None:
        """Create bits and scale of the weights, and the learned limit of the inputs."""
        super().build(input_shape)
        bits = keras.initializers.Constant(MOST_BITS)
        self.bits = self.add_weight(
            name="bits", shape=self.layer.kernel.shape, initializer=bits, trainable=False
        )
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones", trainable=False)
        # Of activations after batch normalisation; `wrap_model` sets it from crops.
        self.alpha = self.add_weight(
            name="alpha",
            shape=(),
            initializer=keras.initializers.Constant(6.0),
            constraint=lambda alpha: ops.maximum(alpha, LEAST_ALPHA),
        )

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "signed": self.signed}

    def quantized_kernel(self) -> Any:
        """Kernel of as many levels as each weight has."""
        return self.scale.value * dorefa(self.layer.kernel.value, self.bits.value)

    def bits_of_weights(self) -> np.ndarray:
        """Those of the mask."""
        return np.asarray(self.bits).astype(np.uint8)

    def codes(self) -> np.ndarray:
        """Levels of DoReFa-Net."""
        codes = dorefa_codes(self.layer.kernel.value, self.bits.value)
        return np.asarray(codes).astype(np.uint8)

    def constants(self) -> list[np.ndarray]:
        """None."""
        return []

    def restore(self, codes: np.ndarray, bits: np.ndarray, constants: list[np.ndarray]) -> None:
        """Set the kernel; `scale` must be set before."""
        self.bits.assign(bits)
        values = dorefa_values(ops.cast(codes, "float32"), self.bits.value)
        self.layer.kernel.assign(self.scale.value * values)

    def quantize_inputs(self, inputs: Any) -> Any:
        """Inputs up to the learned limit."""
        quantizer = signed_pact if self.signed else pact
        return quantizer(inputs, self.alpha.value, MOST_BITS)
