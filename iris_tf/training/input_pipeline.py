"""Training input pipeline (`tf.data`)."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from iris_tf.config.training_recipe import AugmentationRecipe
from iris_tf.imaging.images import with_channel_axis
from iris_tf.training.augmentation import augment
from iris_tf.training.batches import Batches
from iris_tf.training.strip_augmentation import weaken_low_frequencies, with_rotated


class TeacherView(NamedTuple):
    """Images of a batch for the teacher, and the mask of those it is queried on.

    Attributes
    ----------
    images : tensor of shape (groups, group_size, height, width, channels), float32
        In 0..255.
    queried : tensor of shape (groups, group_size), bool
        delta_x of Eq. 7.
    """

    images: tf.Tensor
    queried: tf.Tensor


class TeacherAnswers(NamedTuple):
    """What the teacher gave for the unaugmented images of a batch, computed before training.

    Attributes
    ----------
    embeddings : tensor of shape (groups, group_size, D), float32
        Unit length.
    queried : tensor of shape (groups, group_size), bool
        As in `TeacherView`.
    """

    embeddings: tf.Tensor
    queried: tf.Tensor


def training_dataset(
    rois: np.ndarray,
    labels: np.ndarray,
    batches: Batches,
    augmentation: AugmentationRecipe,
    roi_mode: str,
    seed: int,
    epochs: int,
    initial_epoch: int = 0,
    add_rotated: bool = False,
    clean: bool = False,
    answers: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Stream of augmented batches of all epochs from `initial_epoch` on.

    Each batch depends only on the seeds, its epoch and its step, so a stream that
    starts at `initial_epoch` continues an interrupted one exactly. Under
    ``tf.distribute`` each batch is split along its first axis, so that groups are
    not split.

    Parameters
    ----------
    rois : ndarray of shape (n_images, height, width) or (n_images, height, width, 3), uint8
        Crops, e.g. from `iris_tf.data.crop_store.load_rois`.
    labels : ndarray of shape (n_images,), integer
        Identity of each crop.
    batches : Batches
        Sampler built from the same `labels`, with ``batches.steps`` batches per epoch.
    augmentation : AugmentationRecipe
        Random augmentation.
    roi_mode : str
        ROI mode of the crops.
    seed : int
        Seed of the augmentation; not negative.
    epochs : int
        Number of epochs, counted from epoch 0.
    initial_epoch : int, optional
        First epoch of the stream.
    add_rotated : bool, optional
        Whether to add rotated copies of all groups as further identities, see
        `iris_tf.training.strip_augmentation.with_rotated`; `groups` below is then twice
        that of `batches`.
    clean : bool, optional
        Whether the teacher receives the unaugmented images. It is not queried on those that
        `weaken_low_frequencies` has changed.
    answers : ndarray of shape (n_images, D), float32, optional
        With `clean`, the teacher's embeddings of the crops, if they were computed before; not
        with `add_rotated`, whose copies are other images in each batch.

    Returns
    -------
    tf.data.Dataset
        ``(epochs - initial_epoch) * batches.steps`` pairs of images, float32 of
        shape (groups, group_size, height, width, channels) in 0..255, and labels, int32
        of shape (groups, group_size); with `clean` triples, the last a `TeacherView`, or
        `TeacherAnswers` if `answers` are given.

    Raises
    ------
    ValueError
        If the numbers of crops and labels differ.
    """
    if len(rois) != len(labels):
        raise ValueError(f"{len(rois)} crops but {len(labels)} labels")
    labels = np.asarray(labels, np.int32)
    groups, group_size, steps = batches.groups, batches.group_size, batches.steps
    crop_shape = with_channel_axis(rois).shape[1:]
    size = None if answers is None else answers.shape[1]

    def rows_of_epoch(epoch: Any) -> Any:
        rows = tf.numpy_function(
            lambda epoch: batches.epoch(int(epoch)), [epoch], tf.int64, stateful=False
        )
        rows = tf.ensure_shape(rows, (steps, groups, group_size))
        step = epoch * steps + tf.range(steps, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices((rows, step))

    def gather(rows: Any) -> Any:
        return np.asarray(rois[rows]), labels[rows]

    def load(rows: Any, step: Any) -> Any:
        # A single call into Python per batch.
        pixels, identity = tf.numpy_function(gather, [rows], (tf.uint8, tf.int32), stateful=False)
        images = tf.cast(tf.reshape(pixels, (groups * group_size, *crop_shape)), tf.float32)
        seeds = tf.stack([tf.cast(seed, tf.int64), step])
        identity = tf.ensure_shape(identity, (groups, group_size))
        if add_rotated:
            images = with_rotated(images, seeds)
            identity = tf.concat([2 * identity, 2 * identity + 1], axis=0)
        shape, whole = (*identity.shape, *crop_shape), images
        queried = tf.ones(images.shape[:1], tf.bool)
        if augmentation.coarse_lost_share:
            images, lost = weaken_low_frequencies(
                images, group_size, seeds, augmentation.coarse_lost_share
            )
            # The student cannot reproduce an embedding of frequencies that its strip has lost.
            queried = ~lost
        batch = tf.reshape(augment(images, seeds, augmentation, roi_mode), shape), identity
        if not clean:
            return batch
        queried = tf.reshape(queried, identity.shape)
        if answers is None:
            return (*batch, TeacherView(tf.reshape(whole, shape), queried))
        given = tf.numpy_function(lambda rows: answers[rows], [rows], tf.float32, stateful=False)
        return (*batch, TeacherAnswers(tf.ensure_shape(given, (*rows.shape, size)), queried))

    dataset = (
        tf.data.Dataset.range(initial_epoch, epochs)
        .flat_map(rows_of_epoch)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality((epochs - initial_epoch) * steps))
        .prefetch(2)
    )
    options = tf.data.Options()
    # Several workers: shard each batch, since there are no files to shard.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # Its thread may sleep for seconds before an iterator can be freed, at the end of a training.
    options.autotune.enabled = False
    return dataset.with_options(options)
