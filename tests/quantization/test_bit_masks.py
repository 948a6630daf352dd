import numpy as np
import pytest

from iris_tf.quantization.bit_masks import average_bits, check_mask, halve_smallest, uniform_mask

KERNELS = {
    "conv": np.array([[0.1, -0.9], [0.3, -0.2]]),
    "dense": np.array([0.8, -0.05, 0.4, 0.6]),
}


def test_the_smallest_half_of_the_network_loses_half_of_its_bits():
    mask = halve_smallest(uniform_mask(KERNELS, 8), KERNELS, 0.5, 2)
    # Magnitudes in order: 0.05 0.1 0.2 0.3 | 0.4 0.6 0.8 0.9.
    assert mask["conv"].tolist() == [[4, 8], [4, 4]]
    assert mask["dense"].tolist() == [8, 4, 8, 8]
    assert average_bits(mask) == 6.0
    mask = halve_smallest(mask, KERNELS, 0.5, 2)
    assert (mask["conv"].tolist(), mask["dense"].tolist()) == ([[2, 8], [2, 2]], [8, 2, 8, 8])
    # From here on weights of 2 bits are no candidates.
    mask = halve_smallest(mask, KERNELS, 0.5, 2)
    assert (mask["conv"].tolist(), mask["dense"].tolist()) == ([[2, 8], [2, 2]], [8, 2, 4, 4])
    assert average_bits(mask) == (4 * 2 + 2 * 4 + 2 * 8) / 8


def test_masks_are_monotone_and_end_at_the_minimum():
    rng = np.random.default_rng(0)
    mask = uniform_mask({"a": np.zeros((3, 3, 5, 7)), "b": np.zeros(111)}, 8)
    averages = [average_bits(mask)]
    for _ in range(12):
        kernels = {name: rng.normal(size=part.shape) for name, part in mask.items()}
        smaller = halve_smallest(mask, kernels, 0.5, 3)
        for name in mask:
            assert (smaller[name] <= mask[name]).all() and (smaller[name] >= 3).all()
        counted = [bits for part in smaller.values() for bits in part.ravel().tolist()]
        assert average_bits(smaller) == pytest.approx(sum(counted) / len(counted))
        mask = smaller
        averages.append(average_bits(mask))
    assert averages == sorted(averages, reverse=True)
    assert averages[1] == pytest.approx(6.0, abs=0.01)
    everything = halve_smallest(halve_smallest(mask, kernels, 1.0, 3), kernels, 1.0, 3)
    assert average_bits(everything) == 3.0


def test_of_equal_weights_the_first_ones_shrink():
    mask = halve_smallest({"a": np.full(4, 8, np.uint8)}, {"a": np.ones(4)}, 0.5, 2)
    assert mask["a"].tolist() == [4, 4, 8, 8]


def test_bad_input():
    mask = uniform_mask(KERNELS, 8)
    with pytest.raises(ValueError, match="another network: only one of both has dense"):
        check_mask({"conv": mask["conv"]}, KERNELS)
    with pytest.raises(ValueError, match=r"dense has weights of shape \(4,\), and a mask of shape"):
        halve_smallest(mask | {"dense": np.full(3, 8)}, KERNELS, 0.5, 2)
    with pytest.raises(ValueError, match="fraction is 0"):
        halve_smallest(mask, KERNELS, 0.0, 2)
    with pytest.raises(ValueError, match="bits is 1"):
        halve_smallest(mask, KERNELS, 0.5, 1)
    with pytest.raises(ValueError, match="bits is 9"):
        uniform_mask(KERNELS, 9)
