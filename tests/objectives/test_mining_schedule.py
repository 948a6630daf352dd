import pytest

from iris_tf.objectives.mining_schedule import MiningSchedule
from iris_tf.support.errors import RecipeError


def test_the_papers_ratios():
    ratios = MiningSchedule((0.2, 0.1), (1.0, 0.9), warm_epochs=8, epochs=41)
    assert [ratios(epoch) for epoch in range(8)] == [(0.2, 1.0)] * 8
    assert ratios(8) == (0.2, 1.0)
    assert ratios(24) == pytest.approx((0.15, 0.95))  # middle of 8..40
    assert ratios(40) == (0.1, 0.9)


def test_a_quarter_of_the_way():
    # Epoch 3 of 1..9: (1 - cos(pi / 4)) / 2 = 0.1464466 of the way.
    ratios = MiningSchedule((0.2, 0.1), (1.0, 0.8), warm_epochs=1, epochs=10)
    assert ratios(3) == pytest.approx((0.2 - 0.01464466, 1.0 - 0.02928932), abs=1e-8)


def test_two_epochs():
    ratios = MiningSchedule((0.2, 0.1), (1.0, 0.9), warm_epochs=1, epochs=2)
    assert [ratios(0), ratios(1)] == [(0.2, 1.0), (0.1, 0.9)]


def test_epochs_that_do_not_fit():
    with pytest.raises(RecipeError, match="warm_epochs"):
        MiningSchedule((0.2, 0.1), (1.0, 0.9), warm_epochs=3, epochs=2)
