"""Quantisation and dequantisation in the forward pass, with straight-through gradients.

All functions take and return float tensors. Their gradient is that of the clipped identity: 1
where a value lies in the range that the quantiser was given, 0 outside. (Levels are multiples of
the step, so the outermost ones lie up to half a step inside or outside that range.) Values halfway
between two levels go to the even one, as in IEEE 754.
"""

from typing import Any

import tensorflow as tf
from keras import ops

from iris_tf.support.errors import ArgumentError

LEAST_BITS, MOST_BITS = 2, 8
"""Bits that weights and activations can have."""

_TINY = 1e-12  # keeps the step of a range without width above 0


def check_bits(bits: int) -> None:
    """Refuse numbers of bits that no quantiser here has.

    Raises
    ------
    ArgumentError
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ArgumentError(f"bits is {bits}; choose from {LEAST_BITS} to {MOST_BITS}.")


def quantize(values: Any, low: Any, high: Any, bits: int) -> tuple[Any, Any, Any]:
    """Asymmetric uniform quantisation of [low, high] (fixed precision of Kolf et al.).

    ``Q(r) = round(r / S) - Z`` with ``S = (high - low) / (2^b - 1)``. `low` has to map to the
    least integer, -2^(b-1), hence ``Z = round(low / S) + 2^(b-1)``, and `high` to the largest,
    ``Q(high) = 2^(b-1) - 1``. (Where ``low / S`` lies halfway between two whole numbers, so does
    ``high / S``, and both round to the even one: `high` is then one level lower, at most half a
    step from its value like all others. Their printed Eq. 3, Z = round(high / S - 2^b - 1), would
    put `high` at 2^b + 1, beyond b bits.)

    Parameters
    ----------
    values : tensor
        Any real numbers; those outside the range are clipped.
    low, high : tensor
        Ends of the range, broadcast to `values`; ``low <= 0 <= high``, so that 0 is exact.
    bits : int
        2..8.

    Returns
    -------
    integers, step, zero : tensor
        Whole numbers in -2^(b-1)..2^(b-1) - 1 (as floats), S, and Z. ``S (integers + Z)``
        dequantises.
    """
    check_bits(bits)
    half = 2.0 ** (bits - 1)
    # TensorFlow's graphs replace a division by a constant by this product; eagerly, and when a
    # model is packed, the step has to be the same to the last bit.
    step = ops.maximum((high - low) * (1.0 / (2.0**bits - 1.0)), _TINY)
    zero = ops.round(low / step) + half
    integers = ops.clip(ops.round(values / step) - zero, -half, half - 1.0)
    return integers, step, zero


def fake_quantize(values: Any, low: Any, high: Any, bits: int) -> Any:
    """Quantise and dequantise with `quantize`; straight-through within the range.

    Parameters
    ----------
    values, low, high, bits
        See `quantize`. Only `values` get a gradient.

    Returns
    -------
    tensor
        At most half a step from `values` within the range.
    """
    integers, step, zero = quantize(values, low, high, bits)
    # A kernel's range comes from the kernel itself. No gradient reaches its extreme weights by it.
    clipped = ops.clip(values, ops.stop_gradient(low), ops.stop_gradient(high))
    return straight_through(clipped, step * (integers + zero))


def fake_quantize_activations(values: Any, low: Any, high: Any, bits: int) -> Any:
    """Compute `fake_quantize` for one range of all values, several times as fast in training.

    Parameters
    ----------
    values : tensor, float32
    low, high : tensor
        Scalars, see `quantize`; not trained.
    bits : int
        2..8.
    """
    _, step, zero = quantize(low, low, high, bits)
    half = 2.0 ** (bits - 1)
    least, most = step * (zero - half), step * (zero + half - 1.0)

    @tf.custom_gradient
    def rounded(values: tf.Tensor) -> Any:
        within = tf.raw_ops.ClipByValue(t=values, clip_value_min=least, clip_value_max=most)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            inside = tf.logical_and(values >= low, values <= high)
            return tf.where(inside, upstream, 0.0)

        return tf.round(within / step) * step, gradient

    return rounded(values)


def straight_through(differentiable: Any, value: Any) -> Any:
    """Return a tensor with the values of `value` and the gradient of `differentiable`."""

    # Adding the difference of both would round: what is stored would not be what was computed.
    @ops.custom_gradient
    def replaced(differentiable: Any, value: Any) -> Any:
        def gradient(*arguments: Any, upstream: Any = None) -> Any:
            upstream = arguments[0] if upstream is None else upstream
            return upstream, ops.zeros_like(value)

        return value, gradient

    return replaced(differentiable, ops.stop_gradient(value))


def dorefa(weights: Any, bits: Any) -> Any:
    """Weights of DoReFa-Net: ``2 Q_b(tanh(r) / (2 max |tanh(r)|) + 1/2) - 1``.

    ``Q_b(x) = round((2^b - 1) x) / (2^b - 1)``.

    Parameters
    ----------
    weights : tensor
        Of one layer.
    bits : int or tensor
        One number, or one for every weight.

    Returns
    -------
    tensor
        In -1..1, with 2^b levels that are symmetric about 0 and do not contain it. The gradient
        is that of the expression without Q_b.

    References
    ----------
    S. Zhou et al., "DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with Low
    Bitwidth Gradients", arXiv:1606.06160.
    """
    shares = _shares(weights)
    return straight_through(2.0 * shares - 1.0, dorefa_values(dorefa_codes(weights, bits), bits))


def dorefa_codes(weights: Any, bits: Any) -> Any:
    """Levels of `dorefa`, whole numbers in 0..2^b - 1 (as floats)."""
    return ops.round(_levels(bits) * _shares(weights))


def dorefa_values(codes: Any, bits: Any) -> Any:
    """Values of `dorefa` at levels."""
    return 2.0 * (codes / _levels(bits)) - 1.0


def _levels(bits: Any) -> Any:
    """Largest level."""
    return ops.power(2.0, ops.cast(bits, "float32")) - 1.0


def _shares(weights: Any) -> Any:
    """Weights between the least (0) and the largest (1) that the layer's largest allows."""
    bent = ops.tanh(weights)
    largest = ops.maximum(ops.max(ops.abs(bent)), _TINY)
    return bent / (2.0 * largest) + 0.5


def pact(values: Any, alpha: Any, bits: int) -> Any:
    """PACT: clip to [0, alpha] with a learned alpha, then uniform.

    Parameters
    ----------
    values : tensor
    alpha : tensor
        Positive scalar. Its gradient is the sum of the incoming gradient over values above it.
    bits : int
        2..8.

    References
    ----------
    J. Choi et al., "PACT: Parameterized Clipping Activation for Quantized Neural Networks",
    arXiv:1805.06085.
    """
    check_bits(bits)
    alpha = ops.convert_to_tensor(alpha, "float32")
    return _round_within(values, ops.zeros_like(alpha), alpha, _step(alpha, 2.0**bits - 1.0))


def signed_pact(values: Any, alpha: Any, bits: int) -> Any:
    """PACT for values on both sides of 0: clip to [-alpha, alpha], then uniform.

    This variant is ours. PACT as printed is made for ReLU; h-swish and linear outputs go below 0.
    There are 2^b - 1 levels, symmetric about 0 and containing it.

    Parameters
    ----------
    values, alpha, bits
        See `pact`. The gradient of alpha also has the values below -alpha, with the opposite
        sign.
    """
    check_bits(bits)
    alpha = ops.convert_to_tensor(alpha, "float32")
    return _round_within(values, -alpha, alpha, _step(alpha, 2.0 ** (bits - 1) - 1.0))


def _step(alpha: Any, steps: float) -> Any:
    return ops.maximum(alpha, _TINY) * (1.0 / steps)  # see `quantize`


def _round_within(values: Any, low: Any, high: Any, step: Any) -> Any:
    """Clip to [low, high], multiples of `step`, and round to multiples of `step`.

    Activations are most of what a network computes, so this uses as few operations as possible:
    Keras's clipping and its gradient are a dozen passes over the values, these are five. Gradients
    are those of the clipped identity, also of `low` and `high`.
    """

    @tf.custom_gradient
    def rounded(values: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> Any:
        within = tf.raw_ops.ClipByValue(t=values, clip_value_min=low, clip_value_max=high)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            # That of TensorFlow's own fake quantiser, one pass. Its forward pass rounds ties and
            # ends differently; its finest grid moves the ends by less than 1/65535 of the range.
            return tf.raw_ops.FakeQuantWithMinMaxVarsGradient(
                gradients=upstream, inputs=values, min=low, max=high, num_bits=16
            )

        return tf.round(within / step) * step, gradient

    return rounded(values, low, high)
