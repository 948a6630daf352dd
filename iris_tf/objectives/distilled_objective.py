"""Objective combined with a distiller."""

from collections.abc import Callable
from pathlib import Path

import keras

from iris_tf.objectives.objective import Distiller, Losses, ModelShapes, Objective, StepBatch


class DistilledObjective(Objective):
    """Terms of an objective, plus the terms of a distiller over the images that it compares.

    Parameters
    ----------
    objective : Objective
    distiller : Distiller
    """

    def __init__(self, objective: Objective, distiller: Distiller):
        super().__init__({}, name="distilled")
        self.objective = objective
        self.distiller = distiller
        self.scheduled = {**objective.scheduled, **distiller.scheduled}
        self.term_names = objective.term_names + distiller.term_names
        self.metric_names = objective.metric_names + distiller.metric_names
        self.teacher_terms = objective.teacher_terms + distiller.teacher_terms
        self.student_features = objective.student_features + distiller.student_features
        self.teacher_features = objective.teacher_features + distiller.teacher_features

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the terms and metrics of both."""
        own = self.objective.compute(batch)
        student = batch.student._replace(logits=own.logits)
        distilled = self.distiller.compute(batch._replace(student=student, rows=own.rows))
        return own._replace(
            terms=own.terms | distilled.terms, metrics=own.metrics | distilled.metrics
        )

    def create_variables(self, shapes: ModelShapes) -> None:
        """Create the variables of both."""
        self.objective.create_variables(shapes)
        self.distiller.create_variables(shapes)

    def files(self) -> dict[str, Callable[[Path], None]]:
        """Files of the objective; what a distiller adds serves no model."""
        return self.objective.files()

    def load_files(self, folder: Path) -> None:
        """Load the files of the objective."""
        self.objective.load_files(folder)

    def begin_epoch(self, epoch: int) -> None:
        """Set the scheduled values of both."""
        self.objective.begin_epoch(epoch)
        self.distiller.begin_epoch(epoch)

    def parameter_groups(self) -> dict[str, list[keras.Variable]]:
        """Parameter groups of both."""
        return self.objective.parameter_groups() | self.distiller.parameter_groups()

    def collapse(self, logs: dict[str, float]) -> str:
        """Collapse as detected by the objective."""
        return self.objective.collapse(logs)
