"""Interface of training objectives, with their inputs and outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

import keras
import tensorflow as tf

from iris_tf.objectives.scheduled import Scheduled
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout


class Outputs(NamedTuple):
    """Outputs of a network for a batch of images.

    Attributes
    ----------
    embedding : tensor of shape (rows, D)
        Unit length.
    features : dict of str to tensor of shape (rows, height, width, channels), or None
        Feature maps that the objective asked for, by their names in `NetworkSpec.features`.
    logits : tensor of shape (rows, classes) or None
        Class logits without margin, float32: the scale times the cosine to each class centre. A
        student's are computed by its objective for the rows of `Losses`, not by the network.
    """

    embedding: tf.Tensor
    features: dict[str, tf.Tensor] | None = None
    logits: tf.Tensor | None = None


Shape = tuple[int, int, int]
"""Height, width and channels of a feature map."""


@dataclass(frozen=True)
class ModelShapes:
    """What an objective's variables depend on.

    Attributes
    ----------
    embedding_size : int
        D of the student.
    classes : tuple of str
        Names of the classes that the labels number: the identities of the training split.
    student_features, teacher_features : mapping of str to Shape
        Feature maps that the objective asked for.
    teacher_code : PhaseCodeLayout or None
        Layout of the teacher's embeddings, if they are phase codes.
    """

    embedding_size: int
    classes: tuple[str, ...]
    student_features: Mapping[str, Shape] = field(default_factory=dict)
    teacher_features: Mapping[str, Shape] = field(default_factory=dict)
    teacher_code: PhaseCodeLayout | None = None


class StepBatch(NamedTuple):
    """Inputs of an objective for one training step.

    In distributed training, each replica receives the outputs of all replicas, so that it can
    mine negatives from all of them, and computes the losses of its own rows.

    Attributes
    ----------
    student : Outputs
        Student outputs of all replicas; gradients flow into them.
    teacher : Outputs or None
        Teacher outputs of all replicas for the same images; None without a teacher. Undefined
        where `queried` is False.
    labels : tensor of shape (rows,), int32
        Identities.
    queried : tensor of shape (rows,), bool
        Whether the row has a teacher output (delta_x of Eq. 7).
    teacher_active : scalar tensor, bool
        Whether the teacher was run in this step.
    rows : tensor of shape (counted,), int32
        Rows to average the losses over: the rows of this replica, or those that another
        objective compared (see `Losses`). A row may occur more than once.
    groups, group_size : int
        This replica has `groups` groups of `group_size` images, group by group.
    step : scalar tensor, int32
        Step counter, used as a seed.
    replica : scalar tensor or int
        Index of this replica; its rows start at ``replica * groups * group_size``.
    """

    student: Outputs
    teacher: Outputs | None
    labels: tf.Tensor
    queried: tf.Tensor
    teacher_active: tf.Tensor
    rows: tf.Tensor
    groups: int
    group_size: int
    step: tf.Tensor
    replica: tf.Tensor | int

    @property
    def first(self) -> tf.Tensor | int:
        """Index of the first row of this replica."""
        return self.replica * self.groups * self.group_size


class Losses(NamedTuple):
    """Loss terms and metrics of one step.

    Attributes
    ----------
    terms : dict of str to scalar tensor
        Unweighted loss terms, keyed by `Objective.term_names`.
    metrics : dict of str to scalar tensor
        Keyed by `Objective.metric_names`.
    rows : tensor of shape (counted,), int32
        Rows of the images that the terms compare; a distiller averages over the same rows.
    logits : tensor of shape (counted, classes) or None
        The student's class logits of these rows, see `Outputs`; None without classes.
    """

    terms: dict[str, tf.Tensor]
    metrics: dict[str, tf.Tensor]
    rows: tf.Tensor
    logits: tf.Tensor | None = None


class Objective(Scheduled):
    """Named loss terms to minimise.

    An objective owns its trainable variables, created with `add_weight` (class centres,
    projections), its scheduled values, its metrics and the state needed to resume training. The
    training step refers to no term by name.

    Subclasses set the class attributes and implement `compute`. They are registered by name in
    `iris_tf.objectives.registry`.

    Attributes
    ----------
    term_names, metric_names : tuple of str
        Keys of the terms and metrics that `compute` returns. The weighted terms are recorded as
        ``<name>_loss``.
    teacher_terms : tuple of str
        Terms that need the teacher. The teacher is skipped while all of them have weight 0.
    student_features, teacher_features : tuple of str
        Feature maps that `compute` needs of either network.
    has_classes : bool
        Whether labels number classes whose logits the objective gives.
    """

    term_names: tuple[str, ...] = ()
    metric_names: tuple[str, ...] = ()
    teacher_terms: tuple[str, ...] = ()
    student_features: tuple[str, ...] = ()
    teacher_features: tuple[str, ...] = ()
    has_classes: ClassVar[bool] = False

    def create_variables(self, shapes: ModelShapes) -> None:
        """Create the trainable variables, before training; most objectives have none."""

    def compute(self, batch: StepBatch) -> Losses:
        """Compute terms and metrics of one step.

        They are averaged over ``batch.rows``, or over the pairs or triplets of these rows.
        """
        raise NotImplementedError

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names under which terms and metrics are recorded."""
        return (*(f"{name}_loss" for name in self.term_names), *self.metric_names)

    def parameter_groups(self) -> dict[str, list[keras.Variable]]:
        """Trainable variables of the objective, by parameter group of the optimiser."""
        return {}

    def files(self) -> dict[str, Callable[[Path], None]]:
        """Files that belong to the trained model, by name, with the functions that write them.

        They are written beside the best checkpoint, and are not part of exported models.
        """
        return {}

    def load_files(self, folder: Path) -> None:
        """Set trainable variables from the `files` of a trained model, where they fit.

        Parameters
        ----------
        folder : Path
            Folder of its best checkpoint.

        Raises
        ------
        ModelError
            If a file is damaged.
        """

    def collapse(self, logs: dict[str, float]) -> str:
        """Describe the sign of collapsed embeddings in the mean values of an epoch.

        Empty if there is none.
        """
        return ""


class Distiller(Objective):
    """Objective that compares student and teacher.

    Its losses are means over ``batch.rows``; rows without a teacher query contribute 0.

    Attributes
    ----------
    compares_logits : bool
        Whether it needs the class logits of student and teacher.
    """

    compares_logits: ClassVar[bool] = False

    @staticmethod
    def check_sizes(student: int, teacher: int) -> None:
        """Check that the distiller can compare the embeddings of student and teacher.

        Parameters
        ----------
        student, teacher : int
            Embedding sizes.

        Raises
        ------
        ModelError
            If it cannot.
        """
