"""Callbacks: schedules, gradual unfreezing, validation, checkpoints, logs and warnings."""

import contextlib
import errno
import math
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from iris_tf.metrics.counts import count_scores
from iris_tf.metrics.scores import ImageLabels, check_embeddings, similarity_blocks
from iris_tf.metrics.verification import curve_of_counts, eer_of_curve
from iris_tf.networks.embed_rois import embed_rois
from iris_tf.support.files import atomic_path
from iris_tf.support.progress import StageProgress
from iris_tf.support.quiet import quiet
from iris_tf.training.divergence import EMBEDDING_ADVICE, diverged
from iris_tf.training.run_folder import RunFolder, TrainingState

_EPOCHS_BEFORE_COLLAPSE_WARNING = 3


class Schedules(keras.callbacks.Callback):
    """Update the scheduled values of objective and term weights at the start of each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Assign the values of `epoch` (from 0)."""
        self.model.begin_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the values to the epoch's history row."""
        logs.update(self.model.scheduled_values())


def unfrozen_stages(epoch: int, stages: int, unfreeze_epochs: int) -> int:
    """Number of trainable backbone stages in `epoch` (from 0), counted from the output.

    The last stage is trainable from the start, the whole backbone from epoch
    `unfreeze_epochs` on; the stages in between are unfrozen at even intervals.
    """
    if epoch >= unfreeze_epochs:
        return stages
    return max(1, 1 + math.floor((stages - 1) * epoch / unfreeze_epochs))


class GradualUnfreezing(keras.callbacks.Callback):
    """Unfreeze the backbone stage by stage, from output to input.

    Parameters
    ----------
    stages : list of list of keras.Layer
        From input to output (`networks.parameter_groups.backbone_stages`).
    unfreeze_epochs : int
        Epoch (from 0) from which all stages are trainable.
    """

    def __init__(self, stages: list[list[keras.Layer]], unfreeze_epochs: int):
        super().__init__()
        self.stages, self.unfreeze_epochs = stages, unfreeze_epochs
        self._unfrozen = len(stages)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set which layers are trainable, and retrace the training step if that changes."""
        unfrozen = unfrozen_stages(epoch, len(self.stages), self.unfreeze_epochs)
        if unfrozen == self._unfrozen:
            return
        self._unfrozen = unfrozen
        for index, stage in enumerate(self.stages):
            for layer in stage:
                layer.trainable = index >= len(self.stages) - unfrozen
        self.model.make_train_function(force=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the number of trainable stages to the epoch's history row."""
        logs["unfrozen_stages"] = self._unfrozen


class ValidationEER(keras.callbacks.Callback):
    """Compute the equal error rate on the validation split after each epoch.

    Parameters
    ----------
    rois : ndarray of shape (n, height, width), uint8
        Crops of the validation split at the network's input size.
    labels : ImageLabels
        Identity of each crop.
    """

    def __init__(self, rois: np.ndarray, labels: ImageLabels):
        super().__init__()
        self.rois, self.labels = rois, labels

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add `val_eer` (0..1) to the epoch's history row.

        Raises
        ------
        TrainingError
            If embeddings are not finite: finite weights are so large that activations overflow.
        """
        embeddings = embed_rois(self.model.student, self.rois)
        if not np.isfinite(embeddings).all():
            raise diverged("validation embeddings became non-finite", epoch, EMBEDDING_ADVICE)
        embeddings = check_embeddings(embeddings, len(self.rois))
        counts = count_scores(similarity_blocks(embeddings), self.labels).counts
        logs["val_eer"] = eer_of_curve(curve_of_counts(counts)).rate


class CollapseWarning(keras.callbacks.Callback):
    """Warn if all embeddings collapse onto one point, so that training no longer progresses."""

    def __init__(self) -> None:
        super().__init__()
        self._epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Count consecutive epochs in which the objective detects a collapse."""
        sign = self.model.objective.collapse(logs)
        self._epochs = self._epochs + 1 if sign else 0
        if self._epochs == _EPOCHS_BEFORE_COLLAPSE_WARNING:
            warnings.warn(
                f"The embeddings have collapsed: for {self._epochs} epochs {sign}. Lower the "
                "learning rates, lengthen the warm-up, or enlarge the batch.",
                RuntimeWarning,
                stacklevel=2,
            )


class Checkpoints(keras.callbacks.Callback):
    """Save the best and the last model, the history and the state needed to resume.

    Must follow the callbacks that add to the epoch's history row.
    """

    def __init__(self, run: RunFolder, state: TrainingState):
        super().__init__()
        self.run, self.state = run, state

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start timing the epoch."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the models, then the state: a run killed in between repeats the epoch."""
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}}
        row["seconds"] = round(time.monotonic() - self._started, 3)
        value, best = row.get("val_eer", row["loss"]), self.state.best_value
        # The loss may be NaN for an epoch, if float16 overflows before the loss scale has settled.
        # On ties, keep the later epoch: an EER of 0 is reached early, but training still improves.
        if self.state.best_epoch == 0 or value <= best or math.isnan(best):
            self.state.best_epoch, self.state.best_value = epoch + 1, value
            for name, write in self.model.objective.files().items():
                with atomic_path(self.run.checkpoints / name) as temporary:
                    write(temporary)
            self._save_student(self.run.best)
            with atomic_path(self.run.last) as temporary:
                shutil.copyfile(self.run.best, temporary)
        else:
            self._save_student(self.run.last)
        self.state.history.append(row)
        self.state.epochs_done = epoch + 1
        self.run.save_state(self.state, self.model.save_state)

    def _save_student(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            self.model.student.save(temporary)


class TensorBoardScalars(keras.callbacks.Callback):
    """Write each epoch's history row, and each step's weights of terms, as TensorBoard scalars."""

    def __init__(self, run: RunFolder):
        super().__init__()
        self._logs = run.logs
        with _full_disk_told(self._logs):
            self._writer = tf.summary.create_file_writer(str(self._logs))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write the weights that the step has chosen, under ``steps/``."""
        weights = self.model.term_weights.measured()
        if not weights:
            return
        with _full_disk_told(self._logs), self._writer.as_default(step=int(self.model.step)):
            for name, value in weights.items():
                tf.summary.scalar(f"steps/{name}", value)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write all values of the epoch."""
        with _full_disk_told(self._logs), self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            self._writer.flush()


@contextlib.contextmanager
def _full_disk_told(folder: Path) -> Iterator[None]:
    """Convert TensorFlow's error for a full disk, which it also logs, to an `OSError`."""
    try:
        with quiet(2):
            yield
    except tf.errors.ResourceExhaustedError:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from None


class ProgressBar(keras.callbacks.Callback):
    """Show progress in steps, the loss and the latest validation EER.

    Parameters
    ----------
    progress : StageProgress
        Entered and exited by the caller, so that it is closed if training fails.
    """

    def __init__(self, progress: StageProgress):
        super().__init__()
        self._progress = progress
        self._note = ""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Advance by one step."""
        self._progress.advance(note=f"loss {float(logs['loss']):.3f} {self._note}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Update the validation EER that is shown."""
        if "val_eer" in logs:
            self._note = f"epoch {epoch + 1} val EER {100 * logs['val_eer']:.2f} %"
