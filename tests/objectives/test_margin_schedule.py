import math

import pytest

from iris_tf.objectives.margin_schedule import MarginSchedule
from iris_tf.support.errors import RecipeError

PAPER = MarginSchedule(0.4, medi=(0.42, 0.5), post=(0.48, 0.41), warm_epochs=8, epochs=40)


def test_warm_up_is_the_papers_epochs_1_to_8():
    assert [PAPER(paper_epoch - 1) for paper_epoch in range(1, 9)] == [0.4] * 8


def test_phases_begin_and_end_exactly():
    assert PAPER(8) == 0.42  # the paper's epoch 9
    assert PAPER(23) == 0.5
    assert PAPER(24) == 0.48
    assert PAPER(39) == 0.41


def test_within_a_phase():
    # A third of the way, epochs 8 + 5 of 8..23: cos(pi / 3) = 1/2.
    assert PAPER(13) == pytest.approx(0.42 + 0.08 * 0.25)
    assert PAPER(18) == pytest.approx(0.42 + 0.08 * 0.75)
    # One epoch of fifteen.
    assert PAPER(25) == pytest.approx(0.48 - 0.035 * (1 - math.cos(math.pi / 15)))


def test_holds_its_last_value_after_the_end():
    assert PAPER(45) == 0.41


@pytest.mark.parametrize(
    ("warm_epochs", "epochs", "expected"),
    [
        (1, 2, [0.4, 0.5]),  # no second half
        (1, 3, [0.4, 0.5, 0.41]),  # halves of one epoch take their last values
        (0, 1, [0.5]),
        (0, 3, [0.42, 0.5, 0.41]),  # the odd epoch is in the first half
        (2, 2, [0.4, 0.4]),
    ],
)
def test_tiny_runs(warm_epochs, epochs, expected):
    margin = MarginSchedule(0.4, (0.42, 0.5), (0.48, 0.41), warm_epochs, epochs)
    assert [margin(epoch) for epoch in range(epochs)] == expected


def test_epochs_that_do_not_fit():
    with pytest.raises(RecipeError, match="warm_epochs is 9"):
        MarginSchedule(0.4, (0.4, 0.5), (0.5, 0.4), warm_epochs=9, epochs=8)
