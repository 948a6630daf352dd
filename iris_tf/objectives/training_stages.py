"""Training stages, in epochs counted from 0."""

from dataclasses import dataclass

from iris_tf.support.errors import RecipeError


@dataclass(frozen=True)
class TrainingStages:
    """Warm-up, and the semi-hard stage with its two halves (Eq. 5).

    Attributes
    ----------
    warm_epochs : int
        Epochs ``0 .. warm_epochs - 1`` are the warm-up (the paper's epochs 1..8
        are 0..7). The remaining epochs are the semi-hard stage.
    epochs : int
        Number of epochs of the run.

    Raises
    ------
    RecipeError
        If `epochs` is below 1, or `warm_epochs` is outside 0..epochs.
    """

    warm_epochs: int
    epochs: int

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise RecipeError(f"epochs is {self.epochs}; a run needs at least 1.")
        if not 0 <= self.warm_epochs <= self.epochs:
            raise RecipeError(
                f"warm_epochs is {self.warm_epochs}; choose 0 to {self.epochs}, the run's epochs."
            )

    @property
    def first_half(self) -> tuple[int, int]:
        """First and last epoch of the first half, which is the longer one if the count is odd."""
        rest = self.epochs - self.warm_epochs
        return self.warm_epochs, self.warm_epochs + (rest + 1) // 2 - 1

    @property
    def second_half(self) -> tuple[int, int]:
        """First and last epoch of the second half; first > last if it is empty."""
        return self.first_half[1] + 1, self.epochs - 1

    @property
    def semi_hard(self) -> tuple[int, int]:
        """First and last epoch after the warm-up; first > last if there are none."""
        return self.warm_epochs, self.epochs - 1

    def is_warm(self, epoch: int) -> bool:
        """Whether `epoch` is in the warm-up."""
        return epoch < self.warm_epochs
