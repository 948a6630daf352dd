"""Schemes of quantisation: which networks are trained one after the other, and from which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from iris_tf.config.quantization_recipe import FineTuningRecipe
from iris_tf.quantization.bit_masks import BitMask, halve_smallest, uniform_mask
from iris_tf.quantization.fake_quantizers import MOST_BITS, check_bits
from iris_tf.quantization.quantized_layers import MixedPrecision
from iris_tf.quantization.wrapping import fix_precision, kernels, mix_precision
from iris_tf.support.errors import ArgumentError


class QuantizationStep(Protocol):
    """One quantised network that is trained.

    Attributes
    ----------
    name : str
        Name of its folder, and in tables.
    first : str or None
        Step whose trained network it starts from; None for the float network.
    settings : dict
        What its bits follow from besides its name, as values of JSON.
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def first(self) -> str | None:
        """See the class."""

    @property
    def settings(self) -> dict[str, Any]:
        """See the class."""

    def epochs(self, tuning: FineTuningRecipe) -> int:
        """Length of the training."""

    def quantize(self, model: keras.Model, rois: np.ndarray) -> keras.Model:
        """Quantise the network that the step starts from.

        Parameters
        ----------
        model : keras.Model
            That network.
        rois : ndarray of shape (n, H, W) or (n, H, W, 3), uint8
            Crops for ranges of activations.
        """


@dataclass(frozen=True)
class FixedStep:
    """All weights and activations at the same bits.

    Attributes
    ----------
    bits : int
        2..8.

    Raises
    ------
    ArgumentError
        If bits are out of range.
    """

    bits: int
    first = None

    def __post_init__(self) -> None:
        check_bits(self.bits)

    @property
    def name(self) -> str:
        """Name with its bits."""
        return f"fixed{self.bits}"

    @property
    def settings(self) -> dict[str, Any]:
        """None: its name says all."""
        return {}

    def epochs(self, tuning: FineTuningRecipe) -> int:
        """See `QuantizationStep`."""
        return tuning.epochs

    def quantize(self, model: keras.Model, rois: np.ndarray) -> keras.Model:
        """See `QuantizationStep`."""
        return fix_precision(model, self.bits, rois)


@dataclass(frozen=True)
class MixedScheme:
    """Iterations of mixed precision (Kolf et al., after Li et al., 2023).

    Attributes
    ----------
    iterations : int
        At least 2. In the first, every weight has 8 bits, in the last `minimum_bits`.
    fraction : float
        Share of the weights above the minimum that lose half of their bits in each iteration.
    minimum_bits : int
        2..7.

    Raises
    ------
    ArgumentError
        If a setting is out of range.
    """

    iterations: int = 12
    fraction: float = 0.5
    minimum_bits: int = 2

    def __post_init__(self) -> None:
        check_bits(self.minimum_bits)
        if self.minimum_bits == MOST_BITS:
            raise ArgumentError(f"minimum_bits is {MOST_BITS}, which every weight has at first.")
        if self.iterations < 2:
            raise ArgumentError(f"iterations is {self.iterations}; choose at least 2.")
        if not 0.0 < self.fraction <= 1.0:
            raise ArgumentError(f"fraction is {self.fraction}; choose a share above 0 and up to 1.")

    def steps(self) -> list["MixedStep"]:
        """All iterations in order."""
        return [MixedStep(self, number) for number in range(1, self.iterations + 1)]

    def mask(self, weights: Mapping[str, np.ndarray], iteration: int) -> BitMask:
        """Bits of an iteration, counted from 1.

        Parameters
        ----------
        weights : mapping of str to ndarray
            W0, those that the first iteration has trained: every iteration starts from them, so
            their magnitudes decide.
        iteration : int
        """
        if iteration == self.iterations:
            return uniform_mask(weights, self.minimum_bits)
        mask = uniform_mask(weights, MOST_BITS)
        for _ in range(iteration - 1):
            mask = halve_smallest(mask, weights, self.fraction, self.minimum_bits)
        return mask


@dataclass(frozen=True)
class MixedStep:
    """One iteration of mixed precision.

    Attributes
    ----------
    scheme : MixedScheme
    iteration : int
        From 1.
    """

    scheme: MixedScheme
    iteration: int

    @property
    def name(self) -> str:
        """Name with the number of the iteration."""
        return _mixed_name(self.iteration)

    @property
    def first(self) -> str | None:
        """The first iteration, for all others."""
        return None if self.iteration == 1 else _mixed_name(1)

    @property
    def settings(self) -> dict[str, Any]:
        """None of the first iteration, whose bits are the same in any scheme."""
        if self.iteration == 1:
            return {}
        scheme = self.scheme
        if self.iteration == scheme.iterations:
            return {"bits": scheme.minimum_bits}
        return {"fraction": scheme.fraction, "minimum_bits": scheme.minimum_bits}

    def epochs(self, tuning: FineTuningRecipe) -> int:
        """See `QuantizationStep`."""
        return tuning.first_epochs if self.iteration == 1 else tuning.epochs

    def quantize(self, model: keras.Model, rois: np.ndarray) -> keras.Model:
        """See `QuantizationStep`."""
        mask = self.scheme.mask(kernels(model), self.iteration)
        if self.iteration == 1:
            return mix_precision(model, mask, rois)
        for name, bits in mask.items():
            layer = model.get_layer(name)
            assert isinstance(layer, MixedPrecision)  # as the first iteration made it
            layer.bits.assign(bits)
        return model


def _mixed_name(iteration: int) -> str:
    return f"mixed{iteration:02d}"
