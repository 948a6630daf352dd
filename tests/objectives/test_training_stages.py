import pytest

from iris_tf.objectives.training_stages import TrainingStages
from iris_tf.support.errors import RecipeError


@pytest.mark.parametrize(
    ("warm", "epochs", "first_half", "second_half"),
    [
        (8, 40, (8, 23), (24, 39)),  # the paper: 8, 16 and 16 epochs
        (8, 41, (8, 24), (25, 40)),  # odd: 17 and 16
        (1, 4, (1, 2), (3, 3)),  # 2 and 1
        (0, 2, (0, 0), (1, 1)),
        (1, 3, (1, 1), (2, 2)),
    ],
)
def test_halves(warm, epochs, first_half, second_half):
    stages = TrainingStages(warm, epochs)
    assert stages.first_half == first_half
    assert stages.second_half == second_half
    assert stages.semi_hard == (first_half[0], second_half[1])


def test_each_epoch_is_in_exactly_one_phase():
    for epochs in range(1, 12):
        for warm in range(epochs + 1):
            stages = TrainingStages(warm, epochs)
            counted = [e for e in range(epochs) if stages.is_warm(e)]
            for first, last in (stages.first_half, stages.second_half):
                counted += range(first, last + 1)
            assert counted == list(range(epochs))


@pytest.mark.parametrize(("warm", "epochs"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts(warm, epochs):
    with pytest.raises(RecipeError, match="epochs"):
        TrainingStages(warm, epochs)
