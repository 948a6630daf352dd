"""Shrinking of batches that a small dataset cannot fill."""

import warnings
from dataclasses import replace

import numpy as np

from iris_tf.config.training_recipe import BatchRecipe


def fit_batch(batch: BatchRecipe, labels: np.ndarray, devices: int = 1) -> BatchRecipe:
    """Shrink the batches of a recipe to what the training images can fill, with a warning.

    Parameters
    ----------
    batch : BatchRecipe
    labels : ndarray of shape (n_images,)
        Identity of each training image.
    devices : int, optional
        Number of devices that share the groups of a batch.

    Returns
    -------
    BatchRecipe
        With at most as many groups as there are identities with several images (balanced), images
        of such identities (triplets) or images (shuffled), and at most as many images per identity
        as the largest identity has. Unchanged if nothing can be trained on, which the samplers of
        `iris_tf.training.batches` report, and if batches are drawn from several datasets, whose
        shares are part of the method.
    """
    _, counts = np.unique(labels, return_counts=True)
    several = counts[counts >= 2]
    if len(several) < 2 or batch.datasets:
        return batch
    if batch.layout != "balanced":
        taken = several if batch.layout == "triplet" else counts
        largest, step, images = int(taken.sum()), devices, batch.images_per_identity
    else:
        copies = 2 if batch.turned else 1
        largest, step = len(several) * copies, int(np.lcm(devices, copies))
        images = min(batch.images_per_identity, int(several.max()))
    groups = batch.groups if batch.groups <= largest else largest // step * step
    fitted = replace(batch, groups=groups, images_per_identity=images)
    if groups < 2 or fitted == batch:
        return batch
    warnings.warn(
        f"{len(several)} of {len(counts)} training identities have several images, up to "
        f"{several.max()}, too few for batches of {_text(batch)}; training with batches of "
        f"{_text(fitted)}.",
        RuntimeWarning,
        stacklevel=2,
    )
    return fitted


def _text(batch: BatchRecipe) -> str:
    if batch.layout != "balanced":
        return f"{batch.groups} {'triplets' if batch.layout == 'triplet' else 'images'}"
    return f"{batch.groups} identities with {batch.images_per_identity} images each"
