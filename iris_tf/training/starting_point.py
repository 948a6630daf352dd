"""What a training starts from."""

from typing import Any

import keras

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.objective import Objective
from iris_tf.training.build_student import build_student


class StartingPoint:
    """Network and objective before the first step: those of the recipe.

    Subclasses start from another network, such as a quantised one.
    """

    def student(self, recipe: TrainRecipe, channels: int) -> keras.Model:
        """Build the network, for crops of 1 or 3 channels; the same one for the same recipe."""
        return build_student(recipe, channels)

    def inputs(self) -> dict[str, Any]:
        """What it depends on besides the recipe: inputs of the stage that trains."""
        return {}

    def load_objective(self, objective: Objective) -> None:
        """Set trainable variables of the objective, which have their random initial values."""


FROM_RECIPE = StartingPoint()
