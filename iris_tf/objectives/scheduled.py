"""Scheduled values, held in variables that the compiled training step reads."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

Schedule = Callable[[int], float]
"""Maps an epoch, counted from 0, to a value."""


class Scheduled(keras.layers.Layer):
    """Holder of values that are updated once per epoch.

    It is a Keras layer, although never called, because layers track their own and nested
    variables and place them as the distribution strategy requires.

    Parameters
    ----------
    schedules : mapping of str to Schedule
        Keyed by the names under which the values are recorded.
    **kwargs
        Passed to `keras.layers.Layer`.

    Attributes
    ----------
    scheduled : dict of str to keras.Variable
        Current values, float32 scalars; 0 until `begin_epoch`. Not saved in checkpoints, because
        the epoch determines them.
    """

    def __init__(self, schedules: Mapping[str, Schedule], **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        self._schedules = tuple(schedules.items())
        self.scheduled = {
            name: self.add_weight(
                name=name, shape=(), initializer="zeros", trainable=False,
                aggregation="only_first_replica",
            )
            for name in schedules
        }  # fmt: skip
        self.built = True

    @property
    def saved_variables(self) -> list[keras.Variable]:
        """Variables needed to resume training, in a fixed order."""
        return self.trainable_variables

    def begin_epoch(self, epoch: int) -> None:
        """Update all values for `epoch`, counted from 0."""
        for name, schedule in self._schedules:
            self.scheduled[name].assign(schedule(epoch))

    def scheduled_values(self) -> dict[str, float]:
        """Current values by name, for the history."""
        return {name: float(variable.numpy()) for name, variable in self.scheduled.items()}
