import math

import pytest

from iris_tf.objectives.cosine_anneal import cosine_anneal


@pytest.mark.parametrize(
    ("t", "expected"),
    [
        # 0.4 + 0.05 (1 - cos(pi k / 4)), by hand; cos(pi / 4) = sqrt(1/2)
        (10, 0.4),
        (12, 0.4 + 0.05 * (1 - math.sqrt(0.5))),
        (14, 0.45),
        (16, 0.4 + 0.05 * (1 + math.sqrt(0.5))),
        (18, 0.5),
    ],
)
def test_eq_4_at_quarter_points(t, expected):
    assert cosine_anneal(0.4, 0.5, t, 10, 18) == pytest.approx(expected, abs=1e-12)


def test_ends_are_exact_and_hold_outside():
    # 0.1 and 0.7 have no exact binary form: the ends must be the very numbers given.
    assert cosine_anneal(0.7, 0.1, 5, 5, 9) == 0.7
    assert cosine_anneal(0.7, 0.1, 9, 5, 9) == 0.1
    assert cosine_anneal(0.7, 0.1, -3, 5, 9) == 0.7
    assert cosine_anneal(0.7, 0.1, 100, 5, 9) == 0.1


def test_one_instant_takes_the_last_value():
    assert cosine_anneal(0.4, 0.5, 3, 3, 3) == 0.5


def test_thirds():
    # cos(pi / 3) = 1/2: a quarter of the way after a third of the time.
    assert cosine_anneal(1.0, 0.0, 1, 0, 3) == pytest.approx(0.75)
    assert cosine_anneal(1.0, 0.0, 2, 0, 3) == pytest.approx(0.25)
