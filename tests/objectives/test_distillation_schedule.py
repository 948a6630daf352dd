import pytest

from iris_tf.objectives.distillation_schedule import DistillationSchedule
from iris_tf.support.errors import RecipeError


def test_none_in_warm_up_then_rising_to_a_half():
    alpha = DistillationSchedule(0.0, 0.5, warm_epochs=8, epochs=41)
    assert [alpha(epoch) for epoch in range(9)] == [0.0] * 9
    assert alpha(24) == pytest.approx(0.25)  # middle of 8..40
    assert alpha(16) == pytest.approx(0.5 * 0.14644661)  # a quarter of the way
    assert alpha(40) == 0.5


def test_none_in_warm_up_even_if_it_begins_high():
    alpha = DistillationSchedule(0.5, 0.1, warm_epochs=1, epochs=4)
    assert [alpha(0), alpha(1), alpha(3)] == [0.0, 0.5, 0.1]


def test_two_epochs_distil_in_the_second():
    alpha = DistillationSchedule(0.0, 0.5, warm_epochs=1, epochs=2)
    assert [alpha(0), alpha(1)] == [0.0, 0.5]


def test_epochs_that_do_not_fit():
    with pytest.raises(RecipeError, match="warm_epochs"):
        DistillationSchedule(0.0, 0.5, warm_epochs=3, epochs=2)
