"""What an objective is given and gives, and the interface of all objectives."""

from typing import NamedTuple

import keras
import tensorflow as tf

from iris_tf.objectives.scheduled import Scheduled


class Outputs(NamedTuple):
    """What a network says about the images of a batch.

    Attributes
    ----------
    embedding : tensor of shape (rows, D)
        Of unit length.
    """

    embedding: tf.Tensor


class StepBatch(NamedTuple):
    """All that an objective may know of one training step.

    In a distributed training every replica is given the outputs of all replicas, so that the
    negatives of all are its candidates, and computes the losses of its own rows.

    Attributes
    ----------
    student : Outputs
        Of all replicas; the gradient flows into them.
    teacher : Outputs or None
        Of all replicas, for the same images; None without a teacher. Meaningless where `asked` is
        False.
    labels : tensor of shape (rows,), int32
        Identities.
    asked : tensor of shape (rows,), bool
        About which images the teacher was asked (delta_x of Eq. 7).
    consulted : scalar tensor, bool
        Whether the teacher was asked at all in this step.
    rows : tensor of shape (counted,), int32
        Rows over which the losses are averaged: this replica's own, or the rows that
        another objective compared, see `Losses`; a row may occur several times.
    groups, group_size : int
        This replica's own rows are so many groups of so many images, in this order.
    step : scalar tensor, int32
        Number of the step, for random choices.
    replica : scalar tensor or int
        Number of this replica; its own rows begin at ``replica * groups * group_size``.
    """

    student: Outputs
    teacher: Outputs | None
    labels: tf.Tensor
    asked: tf.Tensor
    consulted: tf.Tensor
    rows: tf.Tensor
    groups: int
    group_size: int
    step: tf.Tensor
    replica: tf.Tensor | int

    @property
    def first(self) -> tf.Tensor | int:
        """Number of this replica's first own row."""
        return self.replica * self.groups * self.group_size


class Losses(NamedTuple):
    """What an objective says about one step.

    Attributes
    ----------
    terms : dict of str to scalar tensor
        Unweighted, by the names of `Objective.term_names`.
    metrics : dict of str to scalar tensor
        By the names of `Objective.metric_names`.
    rows : tensor of shape (counted,), int32
        Rows of the images that the terms compare; a distiller averages over the same ones.
    """

    terms: dict[str, tf.Tensor]
    metrics: dict[str, tf.Tensor]
    rows: tf.Tensor


class Objective(Scheduled):
    """What is minimised, as named terms.

    An objective owns what belongs to it: trainable variables made with `add_weight` (class
    centres, projections), the values that follow a schedule, its metrics, and the share of them
    that a resumed training needs. The training step knows no term by name.

    Subclasses set the class attributes and implement `compute`. They are registered by name in
    `iris_tf.objectives.registry`.

    Attributes
    ----------
    term_names, metric_names : tuple of str
        What `compute` gives. The weighted terms are recorded as ``<name>_loss``.
    taught_terms : tuple of str
        Terms that need the teacher, who is not asked while all of them have weight 0.
    """

    term_names: tuple[str, ...] = ()
    metric_names: tuple[str, ...] = ()
    taught_terms: tuple[str, ...] = ()

    def compute(self, batch: StepBatch) -> Losses:
        """Terms and metrics of one step, averaged over ``batch.rows`` or what they are used for."""
        raise NotImplementedError

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names under which terms and metrics are recorded."""
        return (*(f"{name}_loss" for name in self.term_names), *self.metric_names)

    def parameter_groups(self) -> dict[str, list[keras.Variable]]:
        """Own trainable variables by the name of the optimiser's group that trains them."""
        return {}

    def collapse(self, logs: dict[str, float]) -> str:
        """Say by what the means of an epoch show that all embeddings fall onto one point.

        Empty where they show no such thing.
        """
        return ""


class Distiller(Objective):
    """An objective that compares student and teacher.

    Its losses are means over ``batch.rows``, to which a row that was not asked about contributes
    0.
    """

    @staticmethod
    def check_sizes(student: int, teacher: int) -> None:
        """Refuse a teacher whose embeddings the distiller cannot compare with the student's.

        Parameters
        ----------
        student, teacher : int
            Embedding sizes.

        Raises
        ------
        ModelError
        """
