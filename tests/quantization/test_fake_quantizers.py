import numpy as np
import pytest
import tensorflow as tf

from iris_tf.quantization.fake_quantizers import (
    dorefa,
    fake_quantize,
    fake_quantize_activations,
    pact,
    quantize,
    signed_pact,
)


def integers(values, low, high, bits):
    found, step, zero = quantize(tf.constant(values, tf.float32), low, high, bits)
    return np.asarray(found).tolist(), float(step), float(zero)


@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_both_ends_of_a_range_are_the_ends_of_the_integers(bits):
    # Steps of 1/4 and 1/2, which binary floats have exactly.
    for step, below in ((0.25, 1), (0.5, 2 ** (bits - 1) - 1), (0.5, 0)):
        low = -step * below
        high = low + step * (2**bits - 1)
        found, size, zero = integers([low, high, 0.0, low - 9.0, high + 9.0], low, high, bits)
        least, largest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        assert found == [least, largest, least + below, least, largest]
        assert size == step
        # 0 is exact, and dequantised ends are the ends.
        assert [step * (n + zero) for n in found[:3]] == [low, high, 0.0]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_ends_of_any_range_are_within_half_a_step(bits):
    rng = np.random.default_rng(bits)
    least, largest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    for low, high in zip(-rng.uniform(0.0, 9.0, 50), rng.uniform(0.0, 9.0, 50), strict=True):
        low, high = float(np.float32(low)), float(np.float32(high))
        found, step, zero = integers([low, high], low, high, bits)
        assert found == [least, largest]
        values = [step * (n + zero) for n in found]
        assert np.abs(np.subtract(values, [low, high])).max() <= 0.5001 * step
    # Both ends lie halfway between levels, and round to the even one.
    low = -(2 ** (bits - 1)) + 0.5
    found, step, zero = integers([low, low + 2**bits - 1], low, low + 2**bits - 1, bits)
    assert step == 1.0 and found in ([least, largest], [least, largest - 1])


def test_the_printed_equation_3_is_off_by_a_shift():
    # 4 bits, [-1, 2.75], S = 0.25: low has to be -8 and high 7, so Z = 4.
    assert integers([-1.0, 2.75], -1.0, 2.75, 4) == ([-8.0, 7.0], 0.25, 4.0)
    printed = round(2.75 / 0.25 - 2**4 - 1)
    assert round(2.75 / 0.25) - printed == 2**4 + 1  # instead of 7


def test_ties_go_to_the_even_level():
    # S = 1, Z = 0 for 4 bits in [-8, 7].
    found, *_ = integers([0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 0.51], -8.0, 7.0, 4)
    assert found == [0.0, 2.0, 2.0, 0.0, -2.0, 0.0, 1.0]


def test_a_range_without_width_gives_zero():
    assert np.asarray(fake_quantize(tf.zeros(3), 0.0, 0.0, 4)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("bits", [1, 9, 0])
def test_bits_out_of_range(bits):
    with pytest.raises(ValueError, match=f"bits is {bits}; choose from 2 to 8"):
        quantize(tf.zeros(1), -1.0, 1.0, bits)
    for function in (pact, signed_pact):
        with pytest.raises(ValueError, match=f"bits is {bits}"):
            function(tf.zeros(1), 1.0, bits)


def test_dorefa_by_hand():
    # tanh of +-atanh(1/2), of atanh(1): the largest is 0.8, so shares are tanh / 1.6 + 1/2.
    weights = np.arctanh([0.8, -0.8, 0.4, 0.0, -0.1])
    shares = [1.0, 0.0, 0.75, 0.5, 0.4375]
    two = [round(3 * share) / 3 * 2 - 1 for share in shares]
    found = np.asarray(dorefa(tf.constant(weights, tf.float32), 2))
    np.testing.assert_allclose(found, two, atol=1e-6)
    np.testing.assert_allclose(found, [1.0, -1.0, 1 / 3, 1 / 3, -1 / 3], atol=1e-6)
    mixed = dorefa(tf.constant(weights, tf.float32), tf.constant([2, 2, 4, 8, 4]))
    expected = [1.0, -1.0, 22 / 15 - 1, 2 * 128 / 255 - 1, 14 / 15 - 1]
    np.testing.assert_allclose(np.asarray(mixed), expected, atol=1e-6)


def test_pact_by_hand():
    # alpha 1.5 and 2 bits: steps of 0.5.
    values = tf.constant([-1.0, 0.0, 0.2, 0.3, 0.74, 1.0, 1.5, 7.0])
    expected = [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.5, 1.5]
    np.testing.assert_allclose(np.asarray(pact(values, 1.5, 2)), expected)
    # Signed, 3 bits: 7 levels, steps of 0.5.
    values = tf.constant([-9.0, -1.5, -0.74, -0.2, 0.0, 0.3, 1.4, 2.0])
    expected = [-1.5, -1.5, -0.5, 0.0, 0.0, 0.5, 1.5, 1.5]
    np.testing.assert_allclose(np.asarray(signed_pact(values, 1.5, 3)), expected)


def gradients(function, *arguments):
    variables = [tf.Variable(argument, dtype=tf.float32) for argument in arguments]
    weights = tf.constant(np.linspace(0.5, 2.0, len(arguments[0])), tf.float32)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * function(*variables))
    return [np.asarray(found) for found in tape.gradient(total, variables)], np.asarray(weights)


def finite_differences(function, weights, arguments, which, step=1e-4):
    """Of sum(weights * function), by one argument's entries; of the function without rounding."""
    arguments = [np.asarray(argument, np.float64) for argument in arguments]
    found = np.zeros(arguments[which].shape)
    for place in np.ndindex(found.shape):
        totals = []
        for sign in (1, -1):
            moved = [argument.copy() for argument in arguments]
            moved[which][place] += sign * step
            totals.append(float((weights * function(*moved)).sum()))
        found[place] = (totals[0] - totals[1]) / (2 * step)
    return found


VALUES = [-3.0, -1.01, -0.99, -0.3, 0.01, 0.4, 0.9, 1.98, 2.2, 5.0]


@pytest.mark.parametrize(
    ("quantizer", "without_rounding", "arguments"),
    [
        (lambda x: fake_quantize(x, -1.0, 2.0, 4), lambda x: np.clip(x, -1.0, 2.0), [VALUES]),
        (lambda x, a: pact(x, a, 4), lambda x, a: np.clip(x, 0.0, a), [VALUES, 1.5]),
        (lambda x, a: signed_pact(x, a, 4), lambda x, a: np.clip(x, -a, a), [VALUES, 1.5]),
        (
            lambda x: dorefa(x, 3),
            lambda x: np.tanh(x) / np.abs(np.tanh(x)).max(),
            [[-1.2, 0.3, 0.1, 1.1]],
        ),
    ],
)
def test_gradients_are_those_of_the_clipped_identity(quantizer, without_rounding, arguments):
    found, weights = gradients(quantizer, *arguments)
    for which, gradient in enumerate(found):
        expected = finite_differences(without_rounding, weights, arguments, which)
        np.testing.assert_allclose(gradient, expected, atol=2e-3)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 2.0), (0.0, 3.3), (-2.7, 0.0), (0.0, 0.0)])
def test_activations_are_quantised_bit_for_bit_as_all_values_are(low, high, bits):
    drawn = np.random.default_rng(0).normal(0.0, 2.0, 500).astype(np.float32)
    values = tf.constant([low, high, 0.0, *drawn])
    low, high = tf.constant(low), tf.constant(high)
    plain = np.asarray(fake_quantize(values, low, high, bits))
    assert np.asarray(fake_quantize_activations(values, low, high, bits)).tolist() == plain.tolist()


def test_gradient_of_activations_is_that_of_the_clipped_identity():
    quantizer = lambda x: fake_quantize_activations(x, tf.constant(-1.0), tf.constant(2.0), 4)  # noqa: E731
    (found,), weights = gradients(quantizer, VALUES)
    expected = finite_differences(lambda x: np.clip(x, -1.0, 2.0), weights, [VALUES], 0)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_gradient_is_1_at_the_ends_of_ranges_off_the_grid(bits):
    values = [-1.0, -0.99, 0.0, 2.25, 2.3]
    outside = [-1.01, 2.31]
    upstream = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    for quantizer in (fake_quantize, fake_quantize_activations):
        x = tf.constant([*values, *outside])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x, tf.constant(-1.0), tf.constant(2.3), bits)
        found = np.asarray(tape.gradient(y, x, tf.constant(upstream)))
        assert found.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 0.0]


@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_gradient_passes_a_kernel_whose_range_is_its_own(bits):
    kernel = tf.constant([-0.34, 0.1, 0.2, 0.3, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        y = fake_quantize(kernel, tf.reduce_min(kernel), tf.reduce_max(kernel), bits)
    found = tape.gradient(y, kernel, tf.constant([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert np.asarray(found).tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
