from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from iris_tf.config.quantization_recipe import FineTuningRecipe
from iris_tf.quantization.bit_masks import average_bits
from iris_tf.quantization.schemes import FixedStep, MixedScheme

RNG = np.random.default_rng(5)
WEIGHTS = {"a": RNG.normal(size=(3, 3, 2, 8)), "b": RNG.normal(size=(7, 16)) / 3.0}
WEIGHTS["b"][0, :3] = 0.25  # equal magnitudes


def naive_bits(iterations, fraction, minimum):
    """Sorted list of [magnitude, bits] pairs, iteration by iteration."""
    pairs = [[abs(x), 8] for part in WEIGHTS.values() for x in part.ravel()]
    yield [bits for _, bits in pairs]
    for _ in range(iterations - 2):
        above = sorted((pair for pair in pairs if pair[1] > minimum), key=lambda pair: pair[0])
        for pair in above[: int(np.ceil(fraction * len(above)))]:
            pair[1] = max(pair[1] // 2, minimum)
        yield [bits for _, bits in pairs]
    yield [minimum] * len(pairs)


@pytest.mark.parametrize(("iterations", "fraction", "minimum"), [(12, 0.5, 2), (5, 0.3, 3)])
def test_masks_of_all_iterations(iterations, fraction, minimum):
    scheme = MixedScheme(iterations, fraction, minimum)
    masks = [scheme.mask(WEIGHTS, step.iteration) for step in scheme.steps()]
    for mask, expected in zip(masks, naive_bits(iterations, fraction, minimum), strict=True):
        found = np.concatenate([part.ravel() for part in mask.values()])
        assert found.tolist() == expected
        assert average_bits(mask) == pytest.approx(sum(expected) / len(expected))
    for before, after in pairwise(masks):
        assert all((after[name] <= before[name]).all() for name in WEIGHTS)


def test_half_of_the_weights_lose_half_of_their_bits():
    scheme, many = MixedScheme(), {"a": RNG.normal(size=4096)}
    bits = [average_bits(scheme.mask(many, i)) for i in range(1, 13)]
    # 8; half at 4; that half at 2; half of the others at 4 ...; all that are left at 2.
    assert bits[:8] == [8, 6, 5, 4, 3.5, 3, 2.75, 2.5]
    assert bits[-1] == 2
    assert Counter(scheme.mask(many, 4)["a"].tolist()) == {2: 2048, 4: 1024, 8: 1024}


def test_names_order_and_length_of_the_steps():
    steps = MixedScheme(3).steps()
    assert [(step.name, step.first) for step in steps] == [
        ("mixed01", None), ("mixed02", "mixed01"), ("mixed03", "mixed01"),
    ]  # fmt: skip
    tuning = FineTuningRecipe(epochs=3, first_epochs=7)
    assert [step.epochs(tuning) for step in (*steps, FixedStep(6))] == [7, 3, 3, 3]
    assert (FixedStep(6).name, FixedStep(6).first) == ("fixed6", None)


def test_settings_are_what_bits_follow_from():
    """Steps of two schemes with the same name and the same settings have the same mask."""
    schemes = [MixedScheme(*each) for each in ((3,), (4,), (3, 0.1), (3, 0.5, 4), (2,), (2, 0.1))]
    steps = [step for scheme in schemes for step in scheme.steps()]
    for first, second in product(steps, repeat=2):
        if first.name == second.name and first.settings == second.settings:
            masks = [step.scheme.mask(WEIGHTS, step.iteration) for step in (first, second)]
            assert all((masks[0][name] == masks[1][name]).all() for name in WEIGHTS)
    assert steps[0].settings == steps[3].settings  # the first iterations
    assert steps[1].settings == steps[4].settings  # second ones of 3 and of 4 iterations
    assert steps[2].settings != steps[5].settings  # a last and a third one
    assert FixedStep(4).settings == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 1}, "iterations is 1; choose at least 2"),
        ({"fraction": 0.0}, "fraction is 0.0; choose a share"),
        ({"fraction": 1.5}, "fraction is 1.5; choose a share"),
        ({"minimum_bits": 1}, "bits is 1; choose from 2 to 8"),
        ({"minimum_bits": 8}, "minimum_bits is 8, which every weight has at first"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        MixedScheme(**settings)


def test_fixed_bits_out_of_range():
    with pytest.raises(ValueError, match="bits is 9; choose from 2 to 8"):
        FixedStep(9)
