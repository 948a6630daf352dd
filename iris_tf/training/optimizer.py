"""Optimisers by name, for parameter groups with rates and weight decay of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from iris_tf.config.training_recipe import OptimizerRecipe, ParameterGroupRecipe
from iris_tf.networks.parameter_groups import GROUP_PATTERNS, parameter_group
from iris_tf.support.errors import RecipeError
from iris_tf.training.warmup_cosine import WarmupCosine

# Shifts and scales are not pulled towards zero, as is usual.
_NEVER_DECAYED = ["bias", "beta", "gamma"]


@keras.saving.register_keras_serializable(package="iris_tf")
class OwnStepsAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter, 2019) that counts each variable's own steps.

    Moments begin at 0, and Adam corrects for it by the number of steps. Keras counts those of
    the optimiser, so that a stage that is unfrozen late is taken for settled, and its first
    steps are up to six times the learning rate. Here it begins like any other. And a training
    starts sooner, for a variable's update is one operation of TensorFlow's, where Keras writes out
    a dozen, which are half of a network's graph.

    Parameters
    ----------
    learning_rate, **kwargs
        See `keras.optimizers.AdamW`; `amsgrad` is not supported.
    """

    def __init__(self, learning_rate: Any = 0.001, **kwargs: Any):
        super().__init__(learning_rate, **kwargs)
        if self.amsgrad:
            raise ValueError("OwnStepsAdamW has no amsgrad; leave it out.")

    def build(self, variables: list[keras.Variable]) -> None:
        """Make moments, and a counter, for each variable."""
        if self.built:
            return
        super().build(variables)
        self._own_steps = [
            self.add_variable((), dtype="int64", name=f"steps_{index}")
            for index in range(len(variables))
        ]

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Change one variable by its gradient."""
        index = self._get_variable_index(variable)
        steps = self._own_steps[index]
        self.assign_add(steps, tf.ones((), steps.dtype))
        taken = tf.cast(steps.value, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, taken),
            beta2_power=tf.pow(self.beta_2, taken),
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


@dataclass(frozen=True)
class Course:
    """Length of a training, for learning rates.

    Attributes
    ----------
    steps_per_epoch, warm_epochs, epochs : int
    """

    steps_per_epoch: int
    warm_epochs: int
    epochs: int


def _adamw(
    recipe: OptimizerRecipe, group: ParameterGroupRecipe, course: Course, name: str
) -> keras.optimizers.Optimizer:
    """AdamW with a warm-up and a cosine (Eq. 12)."""
    return OwnStepsAdamW(
        learning_rate=WarmupCosine(
            maximum=group.maximum,
            minimum=group.minimum,
            warm_steps=course.warm_epochs * course.steps_per_epoch,
            total_steps=course.epochs * course.steps_per_epoch,
        ),
        weight_decay=group.weight_decay,
        name=f"adamw_{name}",
    )


def _sgd(
    recipe: OptimizerRecipe, group: ParameterGroupRecipe, course: Course, name: str
) -> keras.optimizers.Optimizer:
    """SGD with momentum, and rates that fall by a factor at each milestone.

    Weight decay is decoupled from the momentum, as in AdamW.
    """
    rates = [group.maximum * recipe.factor**passed for passed in range(len(recipe.milestones) + 1)]
    return keras.optimizers.SGD(
        learning_rate=keras.optimizers.schedules.PiecewiseConstantDecay(
            # Keras keeps a rate up to and including its boundary, counted in steps from 0.
            [epoch * course.steps_per_epoch - 1 for epoch in recipe.milestones],
            rates,
        ),
        momentum=recipe.momentum,
        weight_decay=group.weight_decay,
        name=f"sgd_{name}",
    )


OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {"adamw": _adamw, "sgd": _sgd}
"""By the recipe's `optimizer.name`: makes the optimiser of one parameter group."""


def build_optimizer(
    recipe: OptimizerRecipe,
    course: Course,
    own_groups: Mapping[str, Sequence[keras.Variable]] | None = None,
) -> keras.optimizers.MultiOptimizer:
    """Optimiser for a network of `networks.registry` and what its objective trains.

    Parameters
    ----------
    recipe : OptimizerRecipe
        Name, and rates and weight decay of each group.
    course : Course
    own_groups : mapping of str to sequence of keras.Variable, optional
        See `iris_tf.objectives.objective.Objective.parameter_groups`. Every other variable is in
        one of the network's groups.

    Raises
    ------
    RecipeError
        When a group has no settings, or there is no group for some settings.
    """
    own_groups = own_groups or {}
    names = (*GROUP_PATTERNS, *own_groups)
    for name in recipe.groups:
        if name not in own_groups:
            raise RecipeError(
                f"optimizer.groups has {name}, but the parameters of this training are of the "
                f"groups {', '.join(names)}; remove it."
            )
    optimizers = {
        name: OPTIMIZERS[recipe.name](recipe, _settings(recipe, name), course, name)
        for name in names
    }
    for optimizer in optimizers.values():
        optimizer.exclude_from_weight_decay(var_names=_NEVER_DECAYED)
    group_of = {id(variable): name for name, some in own_groups.items() for variable in some}
    return keras.optimizers.MultiOptimizer(
        lambda variable: optimizers[group_of.get(id(variable)) or parameter_group(variable)]
    )


def _settings(recipe: OptimizerRecipe, name: str) -> ParameterGroupRecipe:
    if name in GROUP_PATTERNS:
        return getattr(recipe, name)
    if name not in recipe.groups:
        raise RecipeError(
            f"optimizer.groups needs {name}, parameters of the objective: give it `maximum` and "
            "`weight_decay`."
        )
    return recipe.groups[name]
