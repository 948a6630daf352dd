"""Schedule of the mining band."""

from dataclasses import dataclass

from iris_tf.objectives.cosine_anneal import cosine_anneal
from iris_tf.objectives.training_stages import TrainingStages


@dataclass(frozen=True)
class MiningSchedule:
    """Edges of the mining band as ratios of the margin (Eq. 6: delta = ratio x margin).

    Warm-hard mining uses the initial values. Semi-hard mining, in all epochs after the
    warm-up, anneals both ratios by cosine: exactly the initial values in its first epoch,
    exactly the final values in its last (a single epoch takes the final values).

    Attributes
    ----------
    left, right : tuple of float
        (initial, final) ratio of the lower and of the upper edge of the band; (0.2, 0.1)
        and (1.0, 0.9) in the paper.
    warm_epochs, epochs : int
        See `TrainingStages`.

    Raises
    ------
    RecipeError
        If `epochs` and `warm_epochs` are inconsistent.
    """

    left: tuple[float, float]
    right: tuple[float, float]
    warm_epochs: int
    epochs: int

    def __post_init__(self) -> None:
        TrainingStages(self.warm_epochs, self.epochs)

    def __call__(self, epoch: int) -> tuple[float, float]:
        """Left and right ratio in `epoch`, counted from 0."""
        stages = TrainingStages(self.warm_epochs, self.epochs)
        if stages.is_warm(epoch):
            return self.left[0], self.right[0]
        return (
            cosine_anneal(*self.left, epoch, *stages.semi_hard),
            cosine_anneal(*self.right, epoch, *stages.semi_hard),
        )
