"""Values that follow a schedule over the epochs, as variables that a compiled step reads."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

Schedule = Callable[[int], float]
"""Epoch, counted from 0, to the value in it."""


class Scheduled(keras.layers.Layer):
    """Holds values that change from epoch to epoch.

    A Keras layer for what comes with one: its variables, and those of what it holds, are found,
    and lie where the strategy of a distributed training wants them. It is never called.

    Parameters
    ----------
    schedules : mapping of str to Schedule
        By the names under which the values are recorded.
    **kwargs
        Of `keras.layers.Layer`.

    Attributes
    ----------
    scheduled : dict of str to keras.Variable
        Current values, float32 scalars; 0 until `begin_epoch`. Not part of a training's saved
        state, since the epoch determines them.
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
        """Variables that a resumed training needs, always in the same order."""
        return self.trainable_variables

    def begin_epoch(self, epoch: int) -> None:
        """Set all values for `epoch`, counted from 0."""
        for name, schedule in self._schedules:
            self.scheduled[name].assign(schedule(epoch))

    def scheduled_values(self) -> dict[str, float]:
        """Current values by name, for the record."""
        return {name: float(variable.numpy()) for name, variable in self.scheduled.items()}
