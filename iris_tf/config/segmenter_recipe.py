"""Recipe of the segmentation network."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from omegaconf import MISSING

from iris_tf.config.checks import Problem, between, folder_names, one_of, positive, under


@dataclass
class SegmenterStage:
    """One stage of the segmenter's training; it starts from the weights of the previous stage."""

    height: int = 192  # of the network's input, in pixels; the width is 4/3 of it
    eyes: int = 15000
    # Windows on each eye: the whole image, the iris close up, or as in the last pass.
    looks: list[str] = field(default_factory=lambda: ["whole", "close"])
    epochs: int = 10
    learning_rate: float = 2e-3  # peak

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from positive(
            height=self.height,
            eyes=self.eyes,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
        )
        if not self.looks:
            yield "looks", "must name at least one"
        for look in self.looks:
            yield from one_of(("whole", "close", "last"), looks=look)
        # The network halves both sides four times.
        if self.height % 48:
            yield "height", f"must be a multiple of 48, but is {self.height}"


@dataclass
class SegmenterRecipe:
    """Training of the bundled segmentation network on varied synthetic eyes."""

    run: str = MISSING
    out: str = MISSING  # folder of the exported model and its card
    seed: int = 0
    parts: dict[str, SegmenterStage] = MISSING  # stages by name, in order; the last one is exported
    validation_eyes: int = 500
    batch: int = 16
    weight_decay: float = 1e-4
    warm_steps: int = 300  # per stage
    test_eyes: int = 1000  # never trained or validated on

    def problems(self) -> Iterator[Problem]:
        """Invalid values."""
        yield from between(0, 2**31 - 1, seed=self.seed)
        yield from positive(
            validation_eyes=self.validation_eyes, batch=self.batch, test_eyes=self.test_eyes
        )
        yield from between(0.0, 1.0, weight_decay=self.weight_decay)
        if not self.parts:
            yield "parts", "must name at least one stage"
        yield from folder_names(parts=self.parts)
        for name, stage in self.parts.items():
            yield from under(f"parts.{name}", stage.problems())
            if stage.epochs > 0 and self.batch > 0:
                steps = stage.epochs * (len(stage.looks) * stage.eyes // self.batch)
                yield from between(0, steps, warm_steps=self.warm_steps)
