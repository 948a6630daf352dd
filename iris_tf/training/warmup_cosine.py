"""Learning-rate schedule over optimiser steps."""

import math
from typing import Any

import keras
from keras import ops

from iris_tf.support.errors import RecipeError


@keras.saving.register_keras_serializable(package="iris_tf")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0, followed by cosine decay to the minimum (Eq. 12).

    ``maximum * s / warm_steps`` for ``s < warm_steps``, then a cosine that is exactly
    `maximum` at ``s = warm_steps`` and exactly `minimum` from ``s = total_steps`` on.
    The paper's text calls the first segment a decay, but its equation is a warm-up;
    the equation is implemented. The rate of step 0 is 0.

    Parameters
    ----------
    maximum, minimum : float
        Peak and final learning rate.
    warm_steps : int
        Steps of warm-up; 0 starts at the maximum.
    total_steps : int
        Steps of the whole run, including warm-up.

    Raises
    ------
    RecipeError
        If `warm_steps` is outside 0..total_steps.

    Examples
    --------
    >>> rate = WarmupCosine(1e-3, 1e-4, warm_steps=10, total_steps=30)
    >>> [round(float(rate(step)), 6) for step in (0, 5, 10, 20, 30)]
    [0.0, 0.0005, 0.001, 0.00055, 0.0001]
    """

    def __init__(self, maximum: float, minimum: float, warm_steps: int, total_steps: int):
        super().__init__()
        if not 0 <= warm_steps <= total_steps:
            raise RecipeError(
                f"warm_steps is {warm_steps}; choose 0 to {total_steps}, the run's steps."
            )
        self.maximum = maximum
        self.minimum = minimum
        self.warm_steps = warm_steps
        self.total_steps = total_steps

    def __call__(self, step: Any) -> Any:
        """Learning rate of optimiser step `step`, counted from 0; a float32 scalar."""
        step = ops.cast(step, "float32")
        rising = self.maximum * step / max(self.warm_steps, 1)
        progress = (step - self.warm_steps) / max(self.total_steps - self.warm_steps, 1)
        angle = math.pi * ops.clip(progress, 0.0, 1.0)
        falling = self.minimum + (self.maximum - self.minimum) / 2 * (1 + ops.cos(angle))
        return ops.where(step < self.warm_steps, rising, falling)

    def get_config(self) -> dict:
        """Constructor arguments, for serialisation."""
        return {
            "maximum": self.maximum,
            "minimum": self.minimum,
            "warm_steps": self.warm_steps,
            "total_steps": self.total_steps,
        }
