"""Schedule of the triplet margin."""

from dataclasses import dataclass

from iris_tf.objectives.cosine_anneal import cosine_anneal
from iris_tf.objectives.training_stages import TrainingStages


@dataclass(frozen=True)
class MarginSchedule:
    """Dynamic margin m(t) of MobiIris (Eq. 5), used by both miner and loss.

    The margin is constant during warm-up, follows one cosine over the first half of
    the remaining epochs and another over the second half. Each cosine is exactly at
    its initial value in the first epoch of its half and exactly at its final value in
    the last; a half of a single epoch takes the final value. If the number of
    remaining epochs is odd, the first half is one epoch longer.

    Attributes
    ----------
    warm : float
        M_warm.
    medi, post : tuple of float
        (M0, M1) of M_medi and of M_post.
    warm_epochs, epochs : int
        See `TrainingStages`; 8 and 40 in the paper.

    Raises
    ------
    RecipeError
        If `epochs` and `warm_epochs` are inconsistent.

    Examples
    --------
    >>> margin = MarginSchedule(0.4, (0.4, 0.5), (0.5, 0.45), warm_epochs=8, epochs=40)
    >>> margin(0), margin(8), margin(23), margin(24), margin(39)
    (0.4, 0.4, 0.5, 0.5, 0.45)
    """

    warm: float
    medi: tuple[float, float]
    post: tuple[float, float]
    warm_epochs: int
    epochs: int

    def __post_init__(self) -> None:
        TrainingStages(self.warm_epochs, self.epochs)  # raises if they are inconsistent

    def __call__(self, epoch: int) -> float:
        """Margin in `epoch`, counted from 0."""
        stages = TrainingStages(self.warm_epochs, self.epochs)
        if stages.is_warm(epoch):
            return self.warm
        first, last = stages.first_half
        if epoch <= last:
            return cosine_anneal(*self.medi, epoch, first, last)
        return cosine_anneal(*self.post, epoch, *stages.second_half)
