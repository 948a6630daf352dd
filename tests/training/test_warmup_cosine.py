import keras
import numpy as np
import pytest

from iris_tf.support.errors import RecipeError
from iris_tf.training.warmup_cosine import WarmupCosine


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # Eq. 12 by hand for 5e-4 -> 1e-5, 100 warm steps of 500.
        (0, 0.0),
        (1, 5e-6),
        (50, 2.5e-4),
        (99, 4.95e-4),
        (100, 5e-4),
        (200, 1e-5 + 2.45e-4 * (1 + 0.70710678)),  # a quarter: cos(pi / 4)
        (300, 2.55e-4),
        (400, 1e-5 + 2.45e-4 * (1 - 0.70710678)),
        (500, 1e-5),
        (900, 1e-5),
    ],
)
def test_eq_12(step, expected):
    rate = WarmupCosine(5e-4, 1e-5, warm_steps=100, total_steps=500)
    assert float(rate(step)) == pytest.approx(expected, rel=1e-5, abs=1e-10)


def test_without_warm_up_and_without_decay():
    assert float(WarmupCosine(1e-3, 1e-4, 0, 10)(0)) == pytest.approx(1e-3)
    only_warm = WarmupCosine(1e-3, 1e-4, 10, 10)
    assert [float(only_warm(step)) for step in (0, 5)] == pytest.approx([0, 5e-4])


def test_drives_an_optimizer_and_survives_serialisation():
    rate = WarmupCosine(0.5, 0.1, warm_steps=2, total_steps=4)
    optimizer = keras.optimizers.SGD(rate)
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    weight = keras.Variable(10.0)
    seen = []
    for _ in range(5):
        before = float(weight)
        optimizer.apply([np.float32(1.0)], [weight])
        seen.append(before - float(weight))
    # Steps 0..4: 0, half of 0.5, 0.5, middle of 0.5 and 0.1, 0.1.
    assert seen == pytest.approx([0.0, 0.25, 0.5, 0.3, 0.1], abs=1e-5)


def test_more_warm_steps_than_steps():
    with pytest.raises(RecipeError, match="warm_steps is 11"):
        WarmupCosine(1e-3, 1e-4, warm_steps=11, total_steps=10)
