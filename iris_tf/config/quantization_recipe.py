"""Settings of quantisation: static 8-bit export, and fine-tuning of quantised networks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from iris_tf.config.checks import Problem, between, positive, under


@dataclass
class FineTuningRecipe:
    """Training of each quantised network of `iris-tf quantize` from its starting weights.

    Everything else, such as objective, batches and augmentation, is as in the training of the float
    network, without gradual unfreezing and mixed_float16.
    """

    epochs: int = 4
    first_epochs: int = 8  # mixed only: of the first iteration, in which every weight has 8 bits
    warm_epochs: int = 0  # adamw only
    rate: float = 0.25  # factor of all learning rates in `optimizer`
    milestones: list[int] = field(default_factory=list)  # sgd only: epochs after which rates drop

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from positive(epochs=self.epochs, first_epochs=self.first_epochs, rate=self.rate)
        yield from between(0, min(self.epochs, self.first_epochs), warm_epochs=self.warm_epochs)
        if any(a >= b for a, b in pairwise([0, *self.milestones])):
            yield "milestones", f"must rise from above 0, but is {self.milestones}"


@dataclass
class QuantizationRecipe:
    """Crops that ranges of activations come from, layers in float, fine-tuning."""

    calibration_crops: int = 256  # of the training split; ranges of activations come from them
    seed: int = 0  # of the choice of crops
    # Regular expressions of layer names; export only
    keep_float: list[str] = field(default_factory=list)
    fine_tuning: FineTuningRecipe = field(default_factory=FineTuningRecipe)

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(16, 65536, calibration_crops=self.calibration_crops)
        yield from between(0, 2**31 - 1, seed=self.seed)
        for expression in self.keep_float:
            try:
                re.compile(expression)
            except re.error as error:
                yield "keep_float", f"has {expression!r}, which is no regular expression ({error})"
        yield from under("fine_tuning", self.fine_tuning.problems())
