import numpy as np
import pytest
import tensorflow as tf

from iris_tf.config.training_recipe import DistillationRecipe, TrainRecipe
from iris_tf.objectives.registry import build_term_weights
from iris_tf.objectives.term_weights import (
    ConstantWeights,
    ScheduledWeight,
    ScheduledWeights,
    TermWeights,
)

TERMS = {"triplet": tf.constant(0.5), "distillation": tf.constant(2.0)}


def weighed(weights):
    def no_norm(term):
        raise AssertionError("these weights read no gradients")

    found = weights.weigh(TERMS, no_norm)
    assert list(found) == list(TERMS)
    return {name: float(value) for name, value in found.items()}


def test_constant_weights_multiply_the_terms_that_they_name():
    weights = ConstantWeights({"distillation": 0.25})
    weights.begin_epoch(3)
    assert weighed(weights) == {"triplet": 0.5, "distillation": 0.5}
    assert weights.scheduled_values() == {}
    assert not weights.reads_gradients


@pytest.mark.parametrize(
    ("terms", "active"),
    [((), False), (("distillation",), False), (("distillation", "triplet"), True)],
)
def test_terms_are_active_where_one_of_their_weights_is_not_0(terms, active):
    assert bool(ConstantWeights({"distillation": 0.0}).active(terms)) == active
    weights = ScheduledWeights(ScheduledWeight("distillation", "alpha", lambda epoch: 0.0))
    weights.begin_epoch(0)
    assert bool(weights.active(terms)) == active


def test_scheduled_weights_follow_the_epochs():
    weights = ScheduledWeights(ScheduledWeight("distillation", "alpha", lambda epoch: epoch / 4))
    for epoch, expected in enumerate([0.0, 0.5, 1.0]):
        weights.begin_epoch(epoch)
        assert weighed(weights) == {"triplet": 0.5, "distillation": expected}
        assert weights.scheduled_values() == {"alpha": epoch / 4}
        assert bool(weights.active(["distillation"])) == (epoch > 0)


def test_a_compiled_step_reads_the_scheduled_weight_of_the_epoch():
    weights = ScheduledWeights(ScheduledWeight("distillation", "alpha", lambda epoch: epoch / 4))
    compiled = tf.function(lambda: weights.weigh(TERMS, None)["distillation"])
    found = []
    for epoch in range(3):
        weights.begin_epoch(epoch)
        found.append(float(compiled()))
    assert found == [0.0, 0.5, 1.0]


def test_a_recipe_names_its_weights():
    recipe = TrainRecipe(epochs=4, warm_epochs=1)
    recipe.distillation = DistillationRecipe(weight=[0.1, 0.3])
    scheduled = build_term_weights(recipe)
    found = []
    for epoch in range(4):
        scheduled.begin_epoch(epoch)
        found.append(scheduled.scheduled_values()["distill_weight"])
    # Eq. 9 by hand: nothing in warm-up, then from 0.1 over half of the way to 0.3.
    np.testing.assert_allclose(found, [0.0, 0.1, 0.2, 0.3], atol=1e-6)

    recipe.distillation = DistillationRecipe(weight=[0.3, 0.3], term_weights="constant")
    constant = build_term_weights(recipe)
    constant.begin_epoch(0)
    assert weighed(constant)["distillation"] == pytest.approx(0.6)


@pytest.mark.parametrize("kind", ["constant", "scheduled"])
def test_terms_of_afl_have_factors(kind):
    recipe = TrainRecipe(objective="arcface", epochs=2, warm_epochs=1)
    recipe.distillation = DistillationRecipe(
        teacher="run",
        distiller="afl",
        features={"stride8": "stride8"},
        term_weights=kind,
        weight=[0.5, 0.5],
        term_factors={"features": 0.01},
    )
    assert list(recipe.distillation.problems()) == []
    weights = build_term_weights(recipe)
    terms = dict.fromkeys(("arcface", "soft_labels", "features"), tf.constant(10.0))
    weights.begin_epoch(1)
    found = {name: float(value) for name, value in weights.weigh(terms, None).items()}
    assert found == pytest.approx({"arcface": 10.0, "soft_labels": 5.0, "features": 0.05})
    if kind == "scheduled":
        recorded = weights.scheduled_values()
        assert recorded == pytest.approx({"distill_weight": 0.5, "features_weight": 0.005})
        weights.begin_epoch(0)
        assert float(weights.weigh(terms, None)["features"]) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distiller": "hybrid"}, "must be empty with `distiller: hybrid`"),
        ({"term_weights": "gradient_norm"}, "must be empty with `term_weights: gradient_norm`"),
        ({"term_factors": {"arcface": 2.0}}, "soft_labels"),
        ({"term_factors": {"features": -1.0}}, "0.0"),
    ],
)
def test_factors_that_serve_no_term_are_refused(changes, message):
    settings = {
        "teacher": "run",
        "distiller": "afl",
        "features": {} if changes.get("distiller") else {"stride8": "stride8"},
        "term_weights": "constant",
        "weight": [0.5, 0.5],
        "term_factors": {"features": 0.01},
    }
    [(key, problem)] = DistillationRecipe(**settings | changes).problems()
    assert key.startswith("term_factors")
    assert message in problem


class InverseNorms(TermWeights):
    """Weights by gradient norms, to show that a step gives all that they need."""

    reads_gradients = True

    def __init__(self):
        super().__init__({}, name="inverse_norms")

    def active(self, terms):
        return tf.constant(True)

    def weigh(self, terms, gradient_norm):
        return {name: term / gradient_norm(term) for name, term in terms.items()}


def test_weights_can_read_the_norms_of_gradients():
    weight = tf.Variable([3.0, 4.0])
    with tf.GradientTape(persistent=InverseNorms.reads_gradients) as tape:
        terms = {"a": tf.reduce_sum(weight), "b": tf.reduce_sum(weight**2)}

        def norm(term):
            with tape.stop_recording():
                return tf.linalg.global_norm(tape.gradient(term, [weight]))

        found = InverseNorms().weigh(terms, norm)
        loss = tf.add_n(list(found.values()))
    # The gradients are (1, 1) and (6, 8), of lengths sqrt(2) and 10.
    assert float(found["a"]) == pytest.approx(7 / np.sqrt(2))
    assert float(found["b"]) == pytest.approx(25 / 10)
    expected = np.array([1, 1]) / np.sqrt(2) + np.array([6, 8]) / 10
    np.testing.assert_allclose(tape.gradient(loss, weight), expected, rtol=1e-6)
