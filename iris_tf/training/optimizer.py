"""AdamW in three parameter groups, each with its own schedule (Eq. 12)."""

import keras
import tensorflow as tf

from iris_tf.config.training_recipe import OptimizerRecipe
from iris_tf.networks.parameter_groups import parameter_group
from iris_tf.training.warmup_cosine import WarmupCosine


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

    def __init__(self, learning_rate=0.001, **kwargs):
        super().__init__(learning_rate, **kwargs)
        if self.amsgrad:
            raise ValueError("OwnStepsAdamW has no amsgrad; leave it out.")

    def build(self, variables):
        """Make moments, and a counter, for each variable."""
        if self.built:
            return
        super().build(variables)
        self._own_steps = [
            self.add_variable((), dtype="int64", name=f"steps_{index}")
            for index in range(len(variables))
        ]

    def update_step(self, gradient, variable, learning_rate):
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


def build_optimizer(
    recipe: OptimizerRecipe, steps_per_epoch: int, warm_epochs: int, epochs: int
) -> keras.optimizers.MultiOptimizer:
    """Optimiser for a network of `networks.registry`.

    Parameters
    ----------
    recipe : OptimizerRecipe
        Maximum and minimum learning rate and weight decay of each group.
    steps_per_epoch, warm_epochs, epochs : int
        Length of the linear warm-up and of the whole course.
    """
    groups = {
        name: OwnStepsAdamW(
            learning_rate=WarmupCosine(
                maximum=getattr(recipe, name).maximum,
                minimum=getattr(recipe, name).minimum,
                warm_steps=warm_epochs * steps_per_epoch,
                total_steps=epochs * steps_per_epoch,
            ),
            weight_decay=getattr(recipe, name).weight_decay,
            name=f"adamw_{name}",
        )
        for name in ("backbone", "attention", "head")
    }
    for optimizer in groups.values():
        # Shifts and scales are not pulled towards zero, as is usual with AdamW.
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return keras.optimizers.MultiOptimizer(lambda variable: groups[parameter_group(variable)])
