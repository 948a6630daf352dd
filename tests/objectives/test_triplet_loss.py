import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.triplet_loss import triplet_loss


def naive_losses(d_ap, d_an, margin):
    return [max(float(p) - float(n) + margin, 0.0) for p, n in zip(d_ap, d_an, strict=True)]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_equals_a_loop(dtype):
    rng = np.random.default_rng(3)
    d_ap, d_an = rng.uniform(0, 2, (2, 50)).astype(dtype)
    losses = naive_losses(d_ap, d_an, 0.4)
    active = [loss for loss in losses if loss > 0]
    assert 5 < len(active) < 45
    assert float(triplet_loss(d_ap, d_an, 0.4)) == pytest.approx(sum(losses) / 50, rel=1e-5)
    assert float(triplet_loss(d_ap, d_an, 0.4, "active")) == pytest.approx(
        sum(active) / len(active), rel=1e-5
    )


@pytest.mark.parametrize("reduction", ["mean", "active"])
def test_all_easy_is_zero_with_zero_gradient(reduction):
    d_ap = tf.constant([0.1, 0.2])
    with tf.GradientTape() as tape:
        tape.watch(d_ap)
        loss = triplet_loss(d_ap, tf.constant([1.5, 1.5]), 0.4, reduction)
    assert float(loss) == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, d_ap), [0.0, 0.0])


def test_active_keeps_the_gradient_of_a_lone_hard_triplet():
    d_ap = tf.constant([0.5] * 10)
    d_an = tf.constant([0.6] + [1.9] * 9)
    gradients = {}
    for reduction in ("mean", "active"):
        with tf.GradientTape() as tape:
            tape.watch(d_ap)
            loss = triplet_loss(d_ap, d_an, 0.2, reduction)
        gradients[reduction] = float(tape.gradient(loss, d_ap)[0])
    assert gradients == {"mean": pytest.approx(0.1), "active": pytest.approx(1.0)}


def test_unknown_reduction():
    with pytest.raises(ValueError, match="mean, active"):
        triplet_loss([0.1], [0.2], 0.1, "sum")
