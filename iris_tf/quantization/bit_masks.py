"""Masks of bits per weight, and how they shrink from iteration to iteration (Li et al., 2023)."""

from collections.abc import Mapping

import numpy as np

from iris_tf.quantization.fake_quantizers import check_bits

BitMask = dict[str, np.ndarray]
"""Bits of every weight, uint8, by the name of the layer; of the shape of its kernel."""


def uniform_mask(kernels: Mapping[str, np.ndarray], bits: int) -> BitMask:
    """Mask that gives every weight the same bits: of the first and of the last iteration."""
    check_bits(bits)
    return {name: np.full(kernel.shape, bits, np.uint8) for name, kernel in kernels.items()}


def halve_smallest(
    mask: Mapping[str, np.ndarray],
    kernels: Mapping[str, np.ndarray],
    fraction: float,
    minimum_bits: int,
) -> BitMask:
    """Mask of the next iteration: the smallest weights lose half of their bits.

    Of all weights of the network that have more than `minimum_bits`, the `fraction` with the
    smallest magnitudes get floor(b / 2) bits, but not fewer than `minimum_bits`. No weight ever
    gains bits.

    Parameters
    ----------
    mask : mapping of str to ndarray
        Of the iteration before.
    kernels : mapping of str to ndarray
        Weights, with the names and shapes of `mask`.
    fraction : float
        0..1 exclusive of 0.
    minimum_bits : int
        2..8.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        If mask and weights are of different networks, or a setting is out of range.
    """
    check_bits(minimum_bits)
    check_mask(mask, kernels)
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"fraction is {fraction}; choose a share above 0 and up to 1.")
    bits = np.concatenate([part.ravel() for part in mask.values()])
    magnitudes = np.concatenate([np.abs(kernels[name]).ravel() for name in mask])
    (candidates,) = np.nonzero(bits > minimum_bits)
    count = int(np.ceil(fraction * len(candidates)))
    # Stable: of equal magnitudes, those that come first in the network.
    smallest = candidates[np.argsort(magnitudes[candidates], kind="stable")[:count]]
    bits[smallest] = np.maximum(bits[smallest] // 2, minimum_bits)
    ends = np.cumsum([part.size for part in mask.values()])[:-1]
    return {
        name: part.reshape(mask[name].shape)
        for name, part in zip(mask, np.split(bits, ends), strict=True)
    }


def check_mask(mask: Mapping[str, np.ndarray], kernels: Mapping[str, np.ndarray]) -> None:
    """Refuse a mask of another network.

    Raises
    ------
    ValueError
    """
    if mask.keys() != kernels.keys():
        other = sorted(mask.keys() ^ kernels.keys())
        raise ValueError(
            f"the mask is of another network: only one of both has {', '.join(other[:3])}."
        )
    for name, part in mask.items():
        if part.shape != kernels[name].shape:
            raise ValueError(
                f"the mask is of another network: {name} has weights of shape "
                f"{kernels[name].shape}, and a mask of shape {part.shape}."
            )


def average_bits(mask: Mapping[str, np.ndarray]) -> float:
    """Mean bits of a weight."""
    return sum(int(part.sum(dtype=np.int64)) for part in mask.values()) / sum(
        part.size for part in mask.values()
    )
