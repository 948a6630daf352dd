"""Schedule of the distillation weight."""

from dataclasses import dataclass

from iris_tf.objectives.cosine_anneal import cosine_anneal
from iris_tf.objectives.training_stages import TrainingStages


@dataclass(frozen=True)
class DistillationSchedule:
    """alpha(t) of MobiIris (Eq. 9): 0 in warm-up, then a cosine over the semi-hard stage.

    The cosine is exactly `start` in the first epoch of the stage and exactly `end` in
    the last; a stage of a single epoch takes `end`.

    Attributes
    ----------
    start, end : float
        Initial and final weight after the warm-up; the paper's weight is at most 0.5.
    warm_epochs, epochs : int
        See `TrainingStages`.

    Raises
    ------
    RecipeError
        If `epochs` and `warm_epochs` are inconsistent.
    """

    start: float
    end: float
    warm_epochs: int
    epochs: int

    def __post_init__(self) -> None:
        TrainingStages(self.warm_epochs, self.epochs)

    def __call__(self, epoch: int) -> float:
        """Distillation weight alpha in `epoch`, counted from 0."""
        stages = TrainingStages(self.warm_epochs, self.epochs)
        if stages.is_warm(epoch):
            return 0.0
        return cosine_anneal(self.start, self.end, epoch, *stages.semi_hard)
