"""Weighting of loss terms."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple, Protocol

import tensorflow as tf

from iris_tf.objectives.scheduled import Schedule, Scheduled


class GradientNorm(Protocol):
    """Maps a loss term to the Euclidean norm of its gradient."""

    def __call__(self, term: tf.Tensor, student_only: bool = False) -> tf.Tensor:
        """Norm over all trainable variables, or over those of the student network alone."""


class TermWeights(Scheduled):
    """Weights of named loss terms. The loss is the sum of the weighted terms.

    Attributes
    ----------
    reads_gradients : bool
        Whether `weigh` uses `gradient_norm`. Only then does the training step use a persistent
        gradient tape, which costs memory.
    """

    reads_gradients: ClassVar[bool] = False

    def measured(self) -> dict[str, tf.Tensor]:
        """Weights that each step chooses, by the names under which they are recorded.

        They are written to the TensorBoard log at each step, and as means of an epoch to the
        history; empty if the epoch determines the weights.
        """
        return {}

    def active(self, terms: Iterable[str]) -> tf.Tensor:
        """Whether any of these terms currently has a nonzero weight, as a bool scalar.

        Evaluated before the terms are computed, so that the teacher can be skipped.
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
            See `GradientNorm`; for weights that depend on the gradient norms of the terms.

        Returns
        -------
        dict of str to scalar tensor
            Weighted terms under the same names; no gradient flows through the weights.
        """
        raise NotImplementedError


class ConstantWeights(TermWeights):
    """Constant weights.

    Parameters
    ----------
    weights : mapping of str to float, optional
        Weight by term name; 1 for terms that are not listed.
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
    """Schedule of the weight of one term.

    Attributes
    ----------
    term : str
        Name of the term.
    recorded : str
        Name under which the weight is recorded.
    schedule : Schedule
    """

    term: str
    recorded: str
    schedule: Schedule


class ScheduledWeights(TermWeights):
    """Weights as functions of the epoch; terms without a schedule have weight 1.

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
