import math

import keras
import numpy as np
import pytest

from iris_tf.config import names
from iris_tf.config.training_recipe import OptimizerRecipe, ParameterGroupRecipe
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.support.errors import RecipeError
from iris_tf.training.optimizer import OPTIMIZERS, OwnStepsAdamW, TrainingLength, build_optimizer

RECIPE = OptimizerRecipe(
    backbone=ParameterGroupRecipe(5e-4, 1e-5, 0.1),
    attention=ParameterGroupRecipe(1e-3, 1e-4, 0.2),
    head=ParameterGroupRecipe(5e-3, 5e-4, 0.3),
)
STEPS, WARM, EPOCHS = 10, 2, 5  # 20 steps of warm-up, 50 in all
LENGTH = TrainingLength(STEPS, WARM, EPOCHS)
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


@pytest.fixture
def variables(tiny):
    model = build_embedding_model(tiny, (32, 32), 8, attention=["conv2_relu"])
    return {variable.path: variable for variable in model.trainable_variables}


def group_of(path):
    """The parameter group by the layer's name, as the design says."""
    if path.startswith("spatial_attention_"):
        return RECIPE.attention
    return RECIPE.head if path.startswith("head_") else RECIPE.backbone


def rate(group, step):
    """Eq. 12 for 20 steps of warm-up and 50 in all."""
    if step < 20:
        return group.maximum * step / 20
    return group.minimum + (group.maximum - group.minimum) / 2 * (
        1 + math.cos(math.pi * (step - 20) / 30)
    )


def test_the_network_has_all_three_groups(variables):
    groups = [group_of(path) for path in variables]
    for group in (RECIPE.backbone, RECIPE.attention, RECIPE.head):
        assert group in groups


@pytest.mark.parametrize("step", [0, 7, 20, 35, 49, 50])
def test_each_variable_moves_by_its_groups_rate_and_decay(variables, step):
    optimizer = build_optimizer(RECIPE, LENGTH)
    optimizer.build(list(variables.values()))
    for part in optimizer.optimizers:
        part.iterations.assign(step)
    rng = np.random.default_rng(0)
    before, gradients = {}, {}
    for path, variable in variables.items():
        variable.assign(rng.normal(size=variable.shape))
        before[path] = variable.numpy().astype(np.float64)
        gradients[path] = rng.normal(size=variable.shape)
    optimizer.apply(
        [keras.ops.convert_to_tensor(gradients[path], "float32") for path in variables],
        list(variables.values()),
    )
    for path, variable in variables.items():
        group, gradient = group_of(path), gradients[path]
        learning_rate = rate(group, step)
        expected = before[path]
        if path.rpartition("/")[2] == "kernel":  # not biases, nor BatchNorm's shift and scale
            expected = expected * (1 - learning_rate * group.weight_decay)
        # Corrected, the moments of a first step are the gradient and its square.
        epsilon = EPSILON / math.sqrt(1 - BETA_2)
        expected = expected - learning_rate * gradient / (np.abs(gradient) + epsilon)
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_a_variable_without_gradient_stays_as_it_is(variables):
    optimizer = build_optimizer(RECIPE, TrainingLength(STEPS, 0, EPOCHS))
    optimizer.build(list(variables.values()))
    before = {path: variable.numpy() for path, variable in variables.items()}
    frozen = {path for path in variables if path.startswith(("conv1", "conv3"))}
    for _ in range(3):
        optimizer.apply(
            [None if path in frozen else keras.ops.ones_like(v) for path, v in variables.items()],
            list(variables.values()),
        )
    for path, variable in variables.items():
        assert np.array_equal(variable.numpy(), before[path]) == (path in frozen), path
    moments = [v for part in optimizer.optimizers for v in part.variables if "conv1" in v.path]
    assert moments
    for moment in moments:
        assert not np.any(moment.numpy())


def test_a_variable_that_is_unfrozen_late_begins_like_any_other():
    # Kingma and Ba (2015), Algorithm 1, with decoupled weight decay, in numpy.
    def adam(gradients, rate=0.1, decay=0.01):
        value, first, second = np.ones(3), 0.0, 0.0
        for step, gradient in enumerate(gradients, start=1):
            value = value * (1 - rate * decay)
            first = BETA_1 * first + (1 - BETA_1) * gradient
            second = BETA_2 * second + (1 - BETA_2) * gradient**2
            corrected = first / (1 - BETA_1**step), second / (1 - BETA_2**step)
            value = value - rate * corrected[0] / (np.sqrt(corrected[1]) + EPSILON)
        return value

    gradients = np.random.default_rng(0).normal(size=(30, 2, 3)).astype(np.float32)
    early, late = keras.Variable(np.ones(3)), keras.Variable(np.ones(3))
    optimizer = OwnStepsAdamW(0.1, weight_decay=0.01)
    optimizer.build([early, late])
    parts = keras.optimizers.MultiOptimizer(lambda _: optimizer)
    for step, (one, other) in enumerate(gradients):
        parts.apply([one, other if step >= 20 else None], [early, late])
    np.testing.assert_allclose(early.numpy(), adam(gradients[:, 0]), atol=2e-4)
    np.testing.assert_allclose(late.numpy(), adam(gradients[20:, 1]), atol=2e-4)


def test_all_groups_keep_one_count_of_steps(variables):
    optimizer = build_optimizer(RECIPE, LENGTH)
    optimizer.build(list(variables.values()))
    # Half of the backbone is frozen, as in gradual unfreezing.
    gradients = [
        None if path.startswith("conv1") else keras.ops.ones_like(v)
        for path, v in variables.items()
    ]
    for _ in range(4):
        optimizer.apply(gradients, list(variables.values()))
    assert [int(part.iterations.numpy()) for part in optimizer.optimizers] == [4, 4, 4]


# -- SGD and further groups -----------------------------------------------------------------------


def sgd(**changes):
    return OptimizerRecipe(
        name="sgd",
        backbone=ParameterGroupRecipe(0.1, weight_decay=0.01),
        attention=ParameterGroupRecipe(0.2, weight_decay=0.0),
        head=ParameterGroupRecipe(0.4, weight_decay=0.0),
        milestones=[1, 3],
        factor=0.5,
        **changes,
    )


def test_recipes_know_the_names_of_the_optimisers():
    assert tuple(OPTIMIZERS) == names.OPTIMIZERS


def test_sgd_has_momentum_and_rates_that_fall_at_milestones(variables):
    optimizer = build_optimizer(sgd(momentum=0.9), TrainingLength(2, 0, 4))  # 8 steps
    kernel = next(v for path, v in variables.items() if path == "conv1_conv/kernel")
    bias = next(v for path, v in variables.items() if path == "conv1_conv/bias")
    optimizer.build(list(variables.values()))
    for variable in (kernel, bias):
        variable.assign(np.ones(variable.shape))
    # By hand: rates of steps 0-1, 2-5 and 6-7; velocity = 0.9 * velocity - rate * gradient; a
    # kernel decays by rate * 0.01 of itself before each step, a bias does not.
    expected_kernel, expected_bias, velocity = 1.0, 1.0, 0.0
    for rate in (0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025, 0.025):
        optimizer.apply(
            [keras.ops.ones_like(v) for v in variables.values()], list(variables.values())
        )
        velocity = 0.9 * velocity - rate
        expected_kernel = expected_kernel * (1 - rate * 0.01) + velocity
        expected_bias += velocity
        np.testing.assert_allclose(kernel.numpy(), expected_kernel, rtol=1e-5)
        np.testing.assert_allclose(bias.numpy(), expected_bias, rtol=1e-5)


def test_an_objective_s_parameters_are_a_group_of_their_own(variables):
    centres = keras.Variable(np.ones((3, 4)), name="centres")
    recipe = sgd(momentum=0.0, groups={"centres": ParameterGroupRecipe(0.7, weight_decay=0.0)})
    optimizer = build_optimizer(recipe, TrainingLength(2, 0, 4), {"centres": [centres]})
    head = next(v for path, v in variables.items() if path.startswith("head_"))
    trained = [*variables.values(), centres]
    before = head.numpy()
    optimizer.build(trained)
    optimizer.apply([keras.ops.ones_like(v) for v in trained], trained)
    np.testing.assert_allclose(centres.numpy(), 0.3, rtol=1e-6)
    np.testing.assert_allclose(head.numpy(), before - 0.4, rtol=1e-5, atol=1e-6)


def test_groups_and_their_settings_must_fit():
    with pytest.raises(RecipeError, match=r"optimizer\.groups lacks centres"):
        build_optimizer(sgd(), LENGTH, {"centres": []})
    recipe = sgd(groups={"centers": ParameterGroupRecipe(0.7, weight_decay=0.0)})
    with pytest.raises(RecipeError, match=r"has centers, .* backbone, attention, head, centres"):
        build_optimizer(recipe, LENGTH, {"centres": []})
