"""Objectives, distillers and term weights, by their names in recipes."""

from collections.abc import Callable

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.classifier_objectives import (
    ArcFaceObjective,
    CosFaceObjective,
    SoftmaxObjective,
)
from iris_tf.objectives.contrastive_objective import ContrastiveObjective
from iris_tf.objectives.cosine_distiller import CosineDistiller
from iris_tf.objectives.distillation_schedule import DistillationSchedule
from iris_tf.objectives.distilled_objective import DistilledObjective
from iris_tf.objectives.features_distiller import FeaturesDistiller
from iris_tf.objectives.gradient_norm_weights import GradientNormWeights
from iris_tf.objectives.objective import Distiller, Objective
from iris_tf.objectives.relational_distiller import RelationalDistiller
from iris_tf.objectives.soft_labels_distiller import SoftLabelsDistiller
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
    "arcface": ArcFaceObjective,
    "cosface": CosFaceObjective,
    "softmax": SoftmaxObjective,
}
"""Keyed by the recipe's `objective`; each has a class method ``from_recipe(recipe)``."""

DISTILLERS: dict[str, tuple[type[Distiller], ...]] = {
    "cosine": (CosineDistiller,),
    "soft_labels": (SoftLabelsDistiller,),
    "features": (FeaturesDistiller,),
    "relational": (RelationalDistiller,),
    "hybrid": (SoftLabelsDistiller,),
    "afl": (SoftLabelsDistiller, FeaturesDistiller),
}
"""Distillers that `distillation.distiller` adds; each has a class method ``from_recipe(recipe)``.

With "hybrid", the objective has weight 1 - alpha.
"""


def _terms(recipe: TrainRecipe) -> tuple[list[str], list[str]]:
    """Names of the terms of objective and distillers."""
    distillers = DISTILLERS[recipe.distillation.distiller]
    return (
        list(OBJECTIVES[recipe.objective].term_names),
        [name for distiller in distillers for name in distiller.term_names],
    )


def _complementary(recipe: TrainRecipe) -> bool:
    """Whether the weights of objective and distillation sum to 1."""
    return recipe.distillation.teacher is not None and recipe.distillation.distiller == "hybrid"


def _constant(recipe: TrainRecipe) -> TermWeights:
    own, distilled = _terms(recipe)
    alpha, factors = recipe.distillation.weight[0], recipe.distillation.term_factors
    weights = {name: alpha * factors.get(name, 1.0) for name in distilled}
    if _complementary(recipe):
        weights |= dict.fromkeys(own, 1.0 - alpha)
    return ConstantWeights(weights)


def _scheduled(recipe: TrainRecipe) -> TermWeights:
    own, distilled = _terms(recipe)
    first, last = recipe.distillation.weight
    alpha = DistillationSchedule(first, last, recipe.warm_epochs, recipe.epochs)
    factors = recipe.distillation.term_factors

    def weight(name: str) -> ScheduledWeight:
        if name not in factors:
            return ScheduledWeight(name, "distill_weight", alpha)
        return ScheduledWeight(name, f"{name}_weight", lambda epoch: factors[name] * alpha(epoch))

    weights = list(map(weight, distilled))
    if _complementary(recipe):
        weights += [
            ScheduledWeight(name, "label_weight", lambda epoch: 1.0 - alpha(epoch)) for name in own
        ]
    return ScheduledWeights(*weights)


def _gradient_norm(recipe: TrainRecipe) -> TermWeights:
    own, distilled = _terms(recipe)
    settings = recipe.distillation.gradient_norm
    return GradientNormWeights(
        [*own, *distilled], settings.every, settings.smoothing, settings.order
    )


TERM_WEIGHTS: dict[str, Callable[[TrainRecipe], TermWeights]] = {
    "constant": _constant,
    "scheduled": _scheduled,
    "gradient_norm": _gradient_norm,
}
"""Keyed by the recipe's `distillation.term_weights`."""


def build_objective(recipe: TrainRecipe) -> Objective:
    """Build the objective of a recipe, with its distillers if the recipe has a teacher."""
    objective = OBJECTIVES[recipe.objective].from_recipe(recipe)
    if recipe.distillation.teacher is None:
        return objective
    for distiller in DISTILLERS[recipe.distillation.distiller]:
        objective = DistilledObjective(objective, distiller.from_recipe(recipe))
    return objective


def build_term_weights(recipe: TrainRecipe) -> TermWeights:
    """Build the term weights of a recipe: alpha of Eq. 9 for distillation, 1 for other terms."""
    return TERM_WEIGHTS[recipe.distillation.term_weights](recipe)
