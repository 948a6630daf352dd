"""Objectives and distillers by name."""

import pytest

from iris_tf.config import names
from iris_tf.config.training_recipe import BatchRecipe, DistillationRecipe, TrainRecipe
from iris_tf.objectives.contrastive_objective import ContrastiveObjective
from iris_tf.objectives.registry import (
    DISTILLERS,
    OBJECTIVES,
    TERM_WEIGHTS,
    build_objective,
)
from iris_tf.objectives.triplet_objective import TripletObjective


def test_recipes_know_the_names_of_the_registry():
    assert tuple(OBJECTIVES) == names.OBJECTIVES
    assert tuple(DISTILLERS) == names.DISTILLERS
    assert tuple(TERM_WEIGHTS) == names.TERM_WEIGHTS
    terms = {name: [t for one in own for t in one.term_names] for name, own in DISTILLERS.items()}
    assert tuple(terms.pop("afl")) == names.AFL_TERMS
    assert all(len(own) == 1 for own in terms.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_records_its_terms_and_metrics(name):
    recipe = TrainRecipe(objective=name, batch=BatchRecipe(layout="balanced"))
    objective = build_objective(recipe)
    assert isinstance(objective, OBJECTIVES[name])
    assert objective.recorded[0] == f"{name}_loss"
    assert objective.teacher_terms == ()
    assert objective.saved_variables == []  # what follows a schedule is not saved
    recipe.distillation = DistillationRecipe(teacher="run")
    distilled = build_objective(recipe)
    assert distilled.recorded == (
        *(f"{term}_loss" for term in objective.term_names), "distillation_loss",
        *objective.metric_names, "teacher_distance",
    )  # fmt: skip
    assert distilled.teacher_terms == ("distillation",)
    assert distilled.scheduled_values().keys() == objective.scheduled_values().keys()


def test_settings_come_from_the_recipe():
    recipe = TrainRecipe(seed=9, triplet_reduction="active", temperature=0.25)
    recipe.mining.hardest = 2
    recipe.batch.layout = "balanced"
    triplet = build_objective(recipe)
    assert isinstance(triplet, TripletObjective)
    assert (triplet.layout, triplet.hardest, triplet.reduction, triplet.seed) == (
        "balanced", 2, "active", 9,
    )  # fmt: skip
    recipe.objective = "contrastive"
    contrastive = build_objective(recipe)
    assert isinstance(contrastive, ContrastiveObjective)
    assert contrastive.temperature == 0.25
