import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.gradient_norm_weights import GradientNormWeights

TERMS = ("labels", "soft_labels", "features")


def step(weights, factors=((3, 0), (0, 4), (3, 4)), values=(1.0, 1.0)):
    """Gradient of the loss of a model with two parameters; each term is linear in them."""
    parameters = tf.Variable(values)
    with tf.GradientTape(persistent=True) as tape:
        terms = {
            name: tf.reduce_sum(parameters * tf.constant(factor, tf.float32))
            for name, factor in zip(TERMS, factors, strict=True)
        }

        def norm(term, student_only=False):
            assert student_only
            with tape.stop_recording():
                return tf.linalg.global_norm([tape.gradient(term, parameters)])

        loss = tf.add_n(list(weights.weigh(terms, norm).values()))
    return tape.gradient(loss, parameters).numpy()


def found(weights):
    return [float(value) for value in weights.measured().values()]


def test_weights_by_hand():
    weights = GradientNormWeights(TERMS)
    np.testing.assert_allclose(found(weights), [1 / 3] * 3, rtol=1e-6)  # at first
    gradient = step(weights)
    # Norms 3, 4 and 5: their inverses are 20, 15 and 12 sixtieths, 47 together.
    np.testing.assert_allclose(found(weights), np.array([20, 15, 12]) / 47, rtol=1e-6)
    # 20/47 (3, 0) + 15/47 (0, 4) + 12/47 (3, 4); no gradient flows through the weights.
    np.testing.assert_allclose(gradient, [96 / 47, 108 / 47], rtol=1e-6)
    assert list(weights.measured()) == ["weight_labels", "weight_soft_labels", "weight_features"]


def test_the_printed_order_swaps_the_first_two():
    weights = GradientNormWeights(TERMS, order="printed")
    step(weights)
    np.testing.assert_allclose(found(weights), np.array([15, 20, 12]) / 47, rtol=1e-6)


def test_smoothing_by_hand():
    weights = GradientNormWeights(TERMS, smoothing=0.75)
    step(weights)
    expected = 0.75 / 3 + 0.25 * np.array([20, 15, 12]) / 47
    np.testing.assert_allclose(found(weights), expected, rtol=1e-6)
    step(weights)
    expected = 0.75 * expected + 0.25 * np.array([20, 15, 12]) / 47
    np.testing.assert_allclose(found(weights), expected, rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_weights_are_kept_between(compiled):
    weights = GradientNormWeights(TERMS, every=2)
    factor = tf.Variable([[3.0, 0], [0, 4], [3, 4]])
    parameters = tf.Variable([1.0, 1.0])

    def one_step():
        with tf.GradientTape(persistent=True) as tape:
            terms = dict(zip(TERMS, tf.unstack(tf.linalg.matvec(factor, parameters)), strict=True))

            def norm(term, student_only=False):
                with tape.stop_recording():
                    return tf.linalg.global_norm([tape.gradient(term, parameters)])

            loss = tf.add_n(list(weights.weigh(terms, norm).values()))
        return tape.gradient(loss, parameters)

    run = tf.function(one_step) if compiled else one_step
    seen = []
    for scale in (1.0, 2.0, 2.0):
        factor.assign([[3.0 * scale, 0], [0, 4], [3, 4]])
        run()
        seen.append(found(weights))
    np.testing.assert_allclose(seen[0], np.array([20, 15, 12]) / 47, rtol=1e-6)
    assert seen[1] == seen[0]
    # Norms 6, 4 and 5: inverses 10, 15 and 12 sixtieths.
    np.testing.assert_allclose(seen[2], np.array([10, 15, 12]) / 37, rtol=1e-6)


@pytest.mark.parametrize("small", [0.0, 1e-9])
def test_a_term_without_a_gradient_gets_no_weight(small):
    weights = GradientNormWeights(TERMS)
    gradient = step(weights, factors=((3, 0), (0, small), (3, 4)))
    # The others share it as 1/3 to 1/5.
    np.testing.assert_allclose(found(weights), [5 / 8, 0, 3 / 8], rtol=1e-5)
    np.testing.assert_allclose(gradient, [15 / 8 + 9 / 8, 12 / 8], rtol=1e-5)
    step(weights, factors=((0, 0), (0, 0), (0, 0)))
    np.testing.assert_allclose(found(weights), [5 / 8, 0, 3 / 8], rtol=1e-5)


def test_a_term_of_far_larger_values_leaves_the_others_their_pull():
    """FEAT is a sum over whole feature maps."""
    weights = GradientNormWeights(TERMS)
    gradient = step(weights, factors=((3, 0), (0, 4), (0, 4e4)))
    total = 1 / 3 + 1 / 4 + 1 / 4e4
    np.testing.assert_allclose(gradient, [1 / total, 2 / total], rtol=1e-5)


def test_norms_that_are_not_finite_leave_the_weights():
    weights = GradientNormWeights(TERMS)
    step(weights)
    before = found(weights)
    step(weights, factors=((3, 0), (float("inf"), 4), (float("nan"), 4)))
    assert found(weights) == before


def test_weights_are_saved():
    weights = GradientNormWeights(TERMS)
    assert [tuple(v.shape) for v in weights.saved_variables] == [(3,), ()]
