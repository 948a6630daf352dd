"""Detection of a training that has diverged."""

import math
from typing import Any

import keras
import numpy as np

from iris_tf.support.errors import TrainingError

EMBEDDING_ADVICE = (
    "lower learning rates (`optimizer.backbone.maximum` and those of the other groups) or a longer "
    "warm-up (`warm_epochs`)"
)
"""What to change in a `TrainRecipe` whose training has diverged."""

SEGMENTER_ADVICE = "lower learning rates (`learning_rate`) or a longer warm-up (`warm_steps`)"
"""What to change in a `SegmenterRecipe` whose training has diverged."""


def diverged(what: str, epoch: int, advice: str) -> TrainingError:
    """Error for a training that has diverged.

    Parameters
    ----------
    what : str
        What became non-finite, and when in the epoch.
    epoch : int
        Counted from 0.
    advice : str
        What to train again with.
    """
    kept = f" The checkpoints of epoch {epoch} are kept." if epoch else ""
    return TrainingError(
        f"The training has diverged: {what} in epoch {epoch + 1}.{kept} Train again into another "
        f"folder, with {advice}."
    )


class DivergenceCheck(keras.callbacks.Callback):
    """Stop training at the first step whose loss is not finite, before a checkpoint is written.

    With mixed precision, Keras skips a step whose gradients overflow and halves the loss scale. The
    loss may overflow with them, so it only counts once the scale is below 1 and nothing is left
    to halve.

    Must precede the callbacks that use the network.

    Parameters
    ----------
    network : keras.Model
        Network whose weights are checked after each epoch.
    advice : str
        See `diverged`.
    """

    def __init__(self, network: keras.Model, advice: str):
        super().__init__()
        self._network, self._advice = network, advice
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember the epoch, which batches do not know."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Check the losses, which are means of the epoch so far: a non-finite one stays so.

        Raises
        ------
        TrainingError
            If the loss is not finite; names step, epoch and the terms of the loss.
        """
        if math.isfinite(float(logs["loss"])):
            return
        advice = self._advice
        if isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):
            if float(self.model.optimizer.dynamic_scale) >= 1.0:
                return
            advice += ", or without `mixed_float16`"
        losses = {name: float(value) for name, value in logs.items() if name.endswith("loss")}
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        terms = [name for name in broken if name != "loss"]
        value = "NaN" if any(math.isnan(losses[name]) for name in broken) else "infinite"
        raise diverged(
            f"{' and '.join(terms) or 'the loss or an embedding'} became {value} at step "
            f"{batch + 1} of {self.params['steps']}",
            self._epoch,
            advice,
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check the weights.

        Raises
        ------
        TrainingError
            If a weight is not finite: the last step of the epoch broke it, or a statistic of
            batch normalisation overflowed.
        """
        if not all(np.isfinite(weight).all() for weight in self._network.get_weights()):
            raise diverged("weights became non-finite", epoch, self._advice)
