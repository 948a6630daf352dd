"""Segmentation mask loss."""

from typing import Any

import keras
from keras import ops


def mask_loss(targets: Any, logits: Any, smoothing: float = 100.0) -> Any:
    """Cross-entropy plus Dice loss of each mask.

    ``mean(BCE) + 1 - (2 * sum(t * p) + s) / (sum(t) + sum(p) + s)``. Cross-entropy
    weights all pixels equally; Dice measures overlap regardless of the size of the
    mask (Milletari et al., 2016, without squares).

    Parameters
    ----------
    targets : tensor of shape (batch, height, width, channels)
        Coverage, 0..1.
    logits : tensor of shape (batch, height, width, channels)
    smoothing : float
        s, in pixels; keeps the loss of an empty mask small for a few false positives.

    Returns
    -------
    tensor of shape (batch, channels)

    Examples
    --------
    >>> float(mask_loss(ops.ones((1, 4, 4, 1)), 50.0 * ops.ones((1, 4, 4, 1)))[0, 0])
    0.0
    """
    # Written out, because the loss of Keras averages over channels.
    entropy = ops.relu(logits) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))
    entropy = ops.mean(entropy, axis=(1, 2))
    found = ops.sigmoid(logits)
    common = ops.sum(targets * found, axis=(1, 2))
    both = ops.sum(targets, axis=(1, 2)) + ops.sum(found, axis=(1, 2))
    return entropy + 1.0 - (2.0 * common + smoothing) / (both + smoothing)


@keras.saving.register_keras_serializable(package="iris_tf")
class MaskLoss(keras.losses.Loss):
    """`mask_loss`, averaged over channels and batch."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss per image, of shape (batch,)."""
        return ops.mean(mask_loss(y_true, y_pred), axis=-1)
