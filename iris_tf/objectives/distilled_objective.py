"""Objective combined with a distiller."""

import keras

from iris_tf.objectives.objective import Distiller, Losses, Objective, StepBatch


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

    def compute(self, batch: StepBatch) -> Losses:
        """Compute the terms and metrics of both."""
        own = self.objective.compute(batch)
        distilled = self.distiller.compute(batch._replace(rows=own.rows))
        return Losses(own.terms | distilled.terms, own.metrics | distilled.metrics, own.rows)

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
