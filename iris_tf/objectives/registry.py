"""Objectives, distillers and term weights, by their names in recipes."""

from collections.abc import Callable

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.contrastive_objective import ContrastiveObjective
from iris_tf.objectives.cosine_distiller import CosineDistiller
from iris_tf.objectives.distillation_schedule import DistillationSchedule
from iris_tf.objectives.distilled_objective import DistilledObjective
from iris_tf.objectives.objective import Distiller, Objective
from iris_tf.objectives.term_weights import (
    ConstantWeights,
    ScheduledWeight,
    ScheduledWeights,
    TermWeights,
)
from iris_tf.objectives.triplet_objective import TripletObjective

OBJECTIVES: dict[str, type[Objective]] = {
    "triplet": TripletObjective,
    "contrastive": ContrastiveObjective,
}
"""Keyed by the recipe's `objective`; each has a class method ``from_recipe(recipe)``."""

DISTILLERS: dict[str, type[Distiller]] = {"cosine": CosineDistiller}
"""Keyed by `distillation.distiller`; each has a class method ``from_recipe(recipe)``."""


def _constant(recipe: TrainRecipe) -> TermWeights:
    return ConstantWeights({"distillation": recipe.distillation.weight[0]})


def _scheduled(recipe: TrainRecipe) -> TermWeights:
    first, last = recipe.distillation.weight
    alpha = DistillationSchedule(first, last, recipe.warm_epochs, recipe.epochs)
    return ScheduledWeights(ScheduledWeight("distillation", "distill_weight", alpha))


TERM_WEIGHTS: dict[str, Callable[[TrainRecipe], TermWeights]] = {
    "constant": _constant,
    "scheduled": _scheduled,
}
"""Keyed by the recipe's `distillation.term_weights`."""


def build_objective(recipe: TrainRecipe) -> Objective:
    """Build the objective of a recipe, with its distiller if the recipe has a teacher."""
    objective = OBJECTIVES[recipe.objective].from_recipe(recipe)
    if recipe.distillation.teacher is None:
        return objective
    distiller = DISTILLERS[recipe.distillation.distiller].from_recipe(recipe)
    return DistilledObjective(objective, distiller)


def build_term_weights(recipe: TrainRecipe) -> TermWeights:
    """Build the term weights of a recipe: alpha of Eq. 9 for distillation, 1 for other terms."""
    return TERM_WEIGHTS[recipe.distillation.term_weights](recipe)
