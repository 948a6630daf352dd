"""The margin of the triplet loss over epochs."""

from dataclasses import dataclass

from iris_tf.objectives.cosine_anneal import cosine_anneal
from iris_tf.objectives.training_stages import Phases


@dataclass(frozen=True)
class MarginSchedule:
    """Dynamic margin m(t) of MobiIris (Eq. 5), read by mining and loss alike.

    Constant during warm-up; one cosine over the first half of the remaining
    epochs, another over the second half. Each cosine starts exactly at its first
    value in its half's first epoch and reaches its second value exactly in its
    half's last epoch; a half of a single epoch takes the second value. An odd
    epoch belongs to the first half.

    Attributes
    ----------
    warm : float
        M_warm.
    medi, post : tuple of float
        (M0, M1) of M_medi and of M_post.
    warm_epochs, epochs : int
        See `Phases`; 8 and 40 in the paper.

    Raises
    ------
    RecipeError
        If the epochs do not fit.

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
        Phases(self.warm_epochs, self.epochs)  # raises where the epochs do not fit

    def __call__(self, epoch: int) -> float:
        """Margin in `epoch`, counted from 0."""
        phases = Phases(self.warm_epochs, self.epochs)
        if phases.is_warm(epoch):
            return self.warm
        first, last = phases.first_half
        if epoch <= last:
            return cosine_anneal(*self.medi, epoch, first, last)
        return cosine_anneal(*self.post, epoch, *phases.second_half)
