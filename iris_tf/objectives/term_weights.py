"""How the named terms of an objective become one loss."""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, NamedTuple

import tensorflow as tf

from iris_tf.objectives.scheduled import Schedule, Scheduled

GradientNorm = Callable[[tf.Tensor], tf.Tensor]
"""A term to the Euclidean norm of its gradient on all that is trained."""


class TermWeights(Scheduled):
    """Weights of named terms; the loss is the sum of the weighted terms.

    Attributes
    ----------
    reads_gradients : bool
        Whether `weigh` uses `gradient_norm`; only then does the step keep the tape that
        can answer it several times, which costs memory.
    """

    reads_gradients: ClassVar[bool] = False

    def active(self, terms: Iterable[str]) -> tf.Tensor:
        """Whether any of these terms has a weight other than 0 now; a bool scalar.

        Asked before the terms are computed: where it is False the teacher need not be asked.
        """
        raise NotImplementedError

    def weigh(
        self, terms: Mapping[str, tf.Tensor], gradient_norm: GradientNorm
    ) -> dict[str, tf.Tensor]:
        """Multiply each term by its weight.

        Parameters
        ----------
        terms : mapping of str to scalar tensor
        gradient_norm : callable
            See `GradientNorm`; for weights that depend on how hard the terms pull.

        Returns
        -------
        dict of str to scalar tensor
            Weighted terms, by the same names; no gradient flows through the weights.
        """
        raise NotImplementedError


class ConstantWeights(TermWeights):
    """The same weights in all steps.

    Parameters
    ----------
    weights : mapping of str to float, optional
        By the names of terms; those that are not named have weight 1.
    """

    def __init__(self, weights: Mapping[str, float] | None = None):
        super().__init__({}, name="constant_weights")
        self._constants = dict(weights or {})

    def active(self, terms: Iterable[str]) -> tf.Tensor:
        """See `TermWeights`."""
        return tf.constant(any(self._constants.get(name, 1.0) != 0.0 for name in terms))

    def weigh(
        self, terms: Mapping[str, tf.Tensor], gradient_norm: GradientNorm
    ) -> dict[str, tf.Tensor]:
        """See `TermWeights`."""
        return {name: self._constants.get(name, 1.0) * term for name, term in terms.items()}


class ScheduledWeight(NamedTuple):
    """The course of one term's weight.

    Attributes
    ----------
    term : str
    recorded : str
        Name under which the weight is recorded.
    schedule : Schedule
    """

    term: str
    recorded: str
    schedule: Schedule


class ScheduledWeights(TermWeights):
    """Weights that follow the epochs; terms without a schedule have weight 1.

    Parameters
    ----------
    *weights : ScheduledWeight
        E.g. alpha(t) of Eq. 9.
    """

    def __init__(self, *weights: ScheduledWeight):
        super().__init__(
            {weight.recorded: weight.schedule for weight in weights}, name="scheduled_weights"
        )
        self._recorded = {weight.term: weight.recorded for weight in weights}

    def active(self, terms: Iterable[str]) -> tf.Tensor:
        """See `TermWeights`."""
        used = [tf.convert_to_tensor(self._weight(name)) != 0.0 for name in terms]
        return tf.reduce_any(tf.stack([tf.constant(False), *used]))

    def weigh(
        self, terms: Mapping[str, tf.Tensor], gradient_norm: GradientNorm
    ) -> dict[str, tf.Tensor]:
        """See `TermWeights`."""
        return {name: self._weight(name) * term for name, term in terms.items()}

    def _weight(self, term: str) -> tf.Tensor | float:
        recorded = self._recorded.get(term)
        return 1.0 if recorded is None else self.scheduled[recorded].value
