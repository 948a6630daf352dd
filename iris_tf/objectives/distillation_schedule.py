"""The weight of the distillation loss over epochs."""

from dataclasses import dataclass

from iris_tf.objectives.cosine_anneal import cosine_anneal
from iris_tf.objectives.training_stages import Phases


@dataclass(frozen=True)
class DistillationSchedule:
    """alpha(t) of MobiIris (Eq. 9): 0 in warm-up, then a cosine over the semi-hard phase.

    The cosine is exactly `start` in the phase's first epoch and exactly `end` in
    its last; a phase of a single epoch takes `end`.

    Attributes
    ----------
    start, end : float
        First and last weight after the warm-up; the paper's weight is at most 0.5.
    warm_epochs, epochs : int
        See `Phases`.

    Raises
    ------
    RecipeError
        If the epochs do not fit.
    """

    start: float
    end: float
    warm_epochs: int
    epochs: int

    def __post_init__(self) -> None:
        Phases(self.warm_epochs, self.epochs)

    def __call__(self, epoch: int) -> float:
        """Distillation weight alpha in `epoch`, counted from 0."""
        phases = Phases(self.warm_epochs, self.epochs)
        if phases.is_warm(epoch):
            return 0.0
        return cosine_anneal(self.start, self.end, epoch, *phases.semi_hard)
