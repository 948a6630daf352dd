"""The band of negative mining over epochs."""

from dataclasses import dataclass

from iris_tf.objectives.cosine_anneal import cosine_anneal
from iris_tf.objectives.training_stages import Phases


@dataclass(frozen=True)
class MiningSchedule:
    """Ratios of the mining band to the margin (Eq. 6: delta = ratio x margin).

    Warm-hard mining uses the first values. Semi-hard mining, all epochs after the
    warm-up, tightens both by cosine: exactly the first values in its first epoch,
    exactly the last values in its last (a single epoch takes the last values).

    Attributes
    ----------
    left, right : tuple of float
        (first, last) ratio of the band's lower and upper edge; (0.2, 0.1) and
        (1.0, 0.9) in the paper.
    warm_epochs, epochs : int
        See `Phases`.

    Raises
    ------
    RecipeError
        If the epochs do not fit.
    """

    left: tuple[float, float]
    right: tuple[float, float]
    warm_epochs: int
    epochs: int

    def __post_init__(self) -> None:
        Phases(self.warm_epochs, self.epochs)

    def __call__(self, epoch: int) -> tuple[float, float]:
        """Left and right ratio in `epoch`, counted from 0."""
        phases = Phases(self.warm_epochs, self.epochs)
        if phases.is_warm(epoch):
            return self.left[0], self.right[0]
        return (
            cosine_anneal(*self.left, epoch, *phases.semi_hard),
            cosine_anneal(*self.right, epoch, *phases.semi_hard),
        )
