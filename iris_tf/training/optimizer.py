"""Optimisers by name, with separate learning rates and weight decay per parameter group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from iris_tf.config.training_recipe import OptimizerRecipe, ParameterGroupRecipe
from iris_tf.networks.parameter_groups import GROUP_PATTERNS, parameter_group
from iris_tf.support.errors import RecipeError
from iris_tf.training.warmup_cosine import WarmupCosine

# As is common, weight decay is not applied to biases, shifts and scales.
_NEVER_DECAYED = ["bias", "beta", "gamma"]


@keras.saving.register_keras_serializable(package="iris_tf")
class OwnStepsAdamW(keras.optimizers.AdamW):
    """AdamW (Loshchilov and Hutter, 2019) with a step counter per variable.

    Adam's bias correction depends on the number of updates of the moments. Keras uses the step
    count of the optimiser for all variables, so the first updates of a stage that is unfrozen late
    are up to six times the learning rate. With a counter per variable, they are not.

    Training also starts faster: the update of a variable is one fused TensorFlow operation, where
    Keras emits a dozen, which are half of a network's graph.

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
        """Create moments and a step counter for each variable."""
        if self.built:
            return
        super().build(variables)
        self._own_steps = [
            self.add_variable((), dtype="int64", name=f"steps_{index}")
            for index in range(len(variables))
        ]

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        """Update one variable from its gradient."""
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
class TrainingLength:
    """Length of a training run, for learning-rate schedules.

    Attributes
    ----------
    steps_per_epoch, warm_epochs, epochs : int
    """

    steps_per_epoch: int
    warm_epochs: int
    epochs: int


def _adamw(
    recipe: OptimizerRecipe, group: ParameterGroupRecipe, length: TrainingLength, name: str
) -> keras.optimizers.Optimizer:
    """AdamW with linear warm-up and cosine decay (Eq. 12)."""
    return OwnStepsAdamW(
        learning_rate=WarmupCosine(
            maximum=group.maximum,
            minimum=group.minimum,
            warm_steps=length.warm_epochs * length.steps_per_epoch,
            total_steps=length.epochs * length.steps_per_epoch,
        ),
        weight_decay=group.weight_decay,
        name=f"adamw_{name}",
    )


def _sgd(
    recipe: OptimizerRecipe, group: ParameterGroupRecipe, length: TrainingLength, name: str
) -> keras.optimizers.Optimizer:
    """SGD with momentum and step decay: a factor at each milestone.

    Weight decay is decoupled from the momentum, as in AdamW.
    """
    rates = [group.maximum * recipe.factor**passed for passed in range(len(recipe.milestones) + 1)]
    return keras.optimizers.SGD(
        learning_rate=keras.optimizers.schedules.PiecewiseConstantDecay(
            # In Keras, a rate holds up to and including its boundary, in steps from 0.
            [epoch * length.steps_per_epoch - 1 for epoch in recipe.milestones],
            rates,
        ),
        momentum=recipe.momentum,
        weight_decay=group.weight_decay,
        name=f"sgd_{name}",
    )


OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {"adamw": _adamw, "sgd": _sgd}
"""Keyed by the recipe's `optimizer.name`; builds the optimiser of one parameter group."""


def build_optimizer(
    recipe: OptimizerRecipe,
    length: TrainingLength,
    own_groups: Mapping[str, Sequence[keras.Variable]] | None = None,
) -> keras.optimizers.MultiOptimizer:
    """Build the optimiser for a network of `networks.registry` and the variables of its objective.

    Parameters
    ----------
    recipe : OptimizerRecipe
        Name of the optimiser; learning rates and weight decay of each group.
    length : TrainingLength
    own_groups : mapping of str to sequence of keras.Variable, optional
        See `iris_tf.objectives.objective.Objective.parameter_groups`. All other variables belong
        to one of the network's groups.

    Raises
    ------
    RecipeError
        If a group has no settings, or settings refer to an unknown group.
    """
    own_groups = own_groups or {}
    names = (*GROUP_PATTERNS, *own_groups)
    for name in recipe.groups:
        if name not in own_groups:
            raise RecipeError(
                f"optimizer.groups has {name}, but the parameter groups of this training are "
                f"{', '.join(names)}; remove it."
            )
    optimizers = {
        name: OPTIMIZERS[recipe.name](recipe, _settings(recipe, name), length, name)
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
            f"optimizer.groups lacks {name}, a parameter group of the objective; add it with "
            "`maximum` and `weight_decay`."
        )
    return recipe.groups[name]
