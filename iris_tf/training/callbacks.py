"""What happens between epochs: schedules, unfreezing, validation, checkpoints, logs, warnings."""

import contextlib
import errno
import math
import os
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
from iris_tf.support.errors import TrainingError
from iris_tf.support.files import atomic_path
from iris_tf.support.progress import StageProgress
from iris_tf.support.quiet import quiet
from iris_tf.training.run_folder import RunFolder, TrainingState

_EPOCHS_BEFORE_COLLAPSE_WARNING = 3


class Schedules(keras.callbacks.Callback):
    """Set the scheduled values of objective and term weights at the start of each epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Assign the values of `epoch` (from 0)."""
        self.model.begin_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the values to the epoch's row of history."""
        logs.update(self.model.scheduled_values())


def unfrozen_stages(epoch: int, stages: int, unfreeze_epochs: int) -> int:
    """Number of backbone stages, counted from the output, that learn in `epoch` (from 0).

    The last stage learns from the start, the whole backbone from epoch
    `unfreeze_epochs` on, and the stages between join evenly.
    """
    if epoch >= unfreeze_epochs:
        return stages
    return max(1, 1 + math.floor((stages - 1) * epoch / unfreeze_epochs))


class GradualUnfreezing(keras.callbacks.Callback):
    """Let the backbone learn stage by stage, from the head's side to the input's.

    Parameters
    ----------
    stages : list of list of keras.Layer
        From input to output (`networks.parameter_groups.backbone_stages`).
    unfreeze_epochs : int
        Epoch (from 0) from which on all stages learn.
    """

    def __init__(self, stages: list[list[keras.Layer]], unfreeze_epochs: int):
        super().__init__()
        self.stages, self.unfreeze_epochs = stages, unfreeze_epochs
        self._unfrozen = len(stages)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Freeze and unfreeze as `epoch` asks, and trace the step anew where that changes."""
        unfrozen = unfrozen_stages(epoch, len(self.stages), self.unfreeze_epochs)
        if unfrozen == self._unfrozen:
            return
        self._unfrozen = unfrozen
        for index, stage in enumerate(self.stages):
            for layer in stage:
                layer.trainable = index >= len(self.stages) - unfrozen
        self.model.make_train_function(force=True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the number of learning stages to the epoch's row of history."""
        logs["unfrozen_stages"] = self._unfrozen


def check_finite(model: keras.Model, epoch: int) -> None:
    """Refuse to go on with a network that has diverged.

    Raises
    ------
    TrainingError
        When a weight is no finite number after `epoch` (from 0).
    """
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise TrainingError(
            f"The training has diverged: in epoch {epoch + 1} weights became infinite. Train anew "
            "into another folder, with lower learning rates or a longer warm-up."
        )


class FiniteWeights(keras.callbacks.Callback):
    """Stop a training that has diverged, before anything of it is kept.

    Must stand before the callbacks that use the network.
    """

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """See `check_finite`."""
        check_finite(self.model.student, epoch)


class ValidationEER(keras.callbacks.Callback):
    """Equal error rate on the validation identities, each epoch.

    Parameters
    ----------
    rois : ndarray of shape (n, height, width), uint8
        Crops of the validation split at the network's input size.
    labels : ImageLabels
        Identity of each.
    """

    def __init__(self, rois: np.ndarray, labels: ImageLabels):
        super().__init__()
        self.rois, self.labels = rois, labels

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add `val_eer` (0..1) to the epoch's row of history."""
        embeddings = embed_rois(self.model.student, self.rois)
        embeddings = check_embeddings(embeddings, len(self.rois))
        counts = count_scores(similarity_blocks(embeddings), self.labels).counts
        logs["val_eer"] = eer_of_curve(curve_of_counts(counts)).rate


class CollapseWarning(keras.callbacks.Callback):
    """Warn when all embeddings fall onto one point and nothing is learned any more."""

    def __init__(self) -> None:
        super().__init__()
        self._epochs = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Count epochs in which the objective sees a collapse."""
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
    """Keep best and last model, the history, and all that a resumed run needs.

    Must stand behind the callbacks that add to the epoch's row.
    """

    def __init__(self, run: RunFolder, state: TrainingState):
        super().__init__()
        self.run, self.state = run, state

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write models first and the state last: a kill in between repeats the epoch."""
        row = {"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}}
        row["seconds"] = round(time.monotonic() - self._started, 3)
        value, best = row.get("val_eer", row["loss"]), self.state.best_value
        # A loss may be NaN for an epoch: float16 overflows before its scale has settled.
        # Of equals the last: an error of 0 is soon reached and says no more, training does.
        if self.state.best_epoch == 0 or value <= best or math.isnan(best):
            self.state.best_epoch, self.state.best_value = epoch + 1, value
            self._save_student(self.run.best)
        self._save_student(self.run.last)
        self.state.history.append(row)
        self.state.epochs_done = epoch + 1
        self.run.save_state(self.state, self.model.save_state)

    def _save_student(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            self.model.student.save(temporary)


class TensorBoardScalars(keras.callbacks.Callback):
    """Write each epoch's row of history as TensorBoard scalars."""

    def __init__(self, run: RunFolder):
        super().__init__()
        self._logs = run.logs
        with _full_disk_told(self._logs):
            self._writer = tf.summary.create_file_writer(str(self._logs))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write all figures of the epoch."""
        with _full_disk_told(self._logs), self._writer.as_default(step=epoch + 1):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            self._writer.flush()


@contextlib.contextmanager
def _full_disk_told(folder: Path) -> Iterator[None]:
    """Turn TensorFlow's error of a full disk, which it also logs, into Python's."""
    try:
        with quiet(2):
            yield
    except tf.errors.ResourceExhaustedError:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from None


class ProgressBar(keras.callbacks.Callback):
    """Count steps, and show the loss and the newest validation figure.

    Parameters
    ----------
    progress : StageProgress
        Entered and left by the caller, so that an error in training closes it, too.
    """

    def __init__(self, progress: StageProgress):
        super().__init__()
        self._progress = progress
        self._note = ""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count a step."""
        self._progress.advance(note=f"loss {float(logs['loss']):.3f} {self._note}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show the newest validation figure from now on."""
        if "val_eer" in logs:
            self._note = f"epoch {epoch + 1} val EER {100 * logs['val_eer']:.2f} %"
