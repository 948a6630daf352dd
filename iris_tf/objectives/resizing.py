"""Resizing of images and feature maps in a compiled training step."""

import numpy as np
import tensorflow as tf


def resize(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resize bilinearly, antialiased when downsampling.

    Written as two matrix products, because XLA has no kernel for TensorFlow's antialiased resizing.

    Parameters
    ----------
    images : tensor of shape (batch, height, width, channels), float32
        With a static height and width.
    size : tuple of int
        Height and width of the result.
    """
    before = tuple(images.shape[1:3])
    if before == size:
        return images
    rows, columns = map(_interpolation, before, size)
    return tf.einsum("ih,bhwc,jw->bijc", rows, images, columns)


def _interpolation(before: int, after: int) -> np.ndarray:
    """Matrix (after, before), float32, of linear interpolation, antialiased when downsampling."""
    step = before / after
    centres = (np.arange(after) + 0.5) * step - 0.5
    distances = np.abs(np.arange(before) - centres[:, None]) / max(step, 1.0)
    weights = np.maximum(1.0 - distances, 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
