"""AdamW in three parameter groups, each with its own schedule (Eq. 12)."""

import keras

from iris_tf.config.recipe import OptimizerRecipe
from iris_tf.networks.parameter_groups import parameter_group
from iris_tf.schedules.warmup_cosine import WarmupCosine


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
        name: keras.optimizers.AdamW(
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
