"""The tf.data input pipeline of training."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from iris_tf.config.training_recipe import AugmentationRecipe
from iris_tf.imaging.images import with_channel_axis
from iris_tf.training.augmentation import augment
from iris_tf.training.batches import BalancedBatches, TripletBatches
from iris_tf.training.strip_augmentation import lose_coarse, with_turned


class TeacherView(NamedTuple):
    """What the teacher is shown in the place of a batch's images, and about which it is asked.

    Attributes
    ----------
    images : tensor of shape (groups, group_size, height, width, channels), float32
        In 0..255.
    asked : tensor of shape (groups, group_size), bool
        delta_x of Eq. 7.
    """

    images: tf.Tensor
    asked: tf.Tensor


def training_dataset(
    rois: np.ndarray,
    labels: np.ndarray,
    batches: TripletBatches | BalancedBatches,
    augmentation: AugmentationRecipe,
    roi_mode: str,
    seed: int,
    epochs: int,
    initial_epoch: int = 0,
    turned: bool = False,
    clean: bool = False,
) -> tf.data.Dataset:
    """Augmented batches of all epochs from `initial_epoch` on, in one stream.

    Every batch depends on the seeds, its epoch and its step alone, so a stream
    that starts at `initial_epoch` continues an interrupted one exactly. Under
    ``tf.distribute`` each batch is split along its first axis, so that groups
    stay whole.

    Parameters
    ----------
    rois : ndarray of shape (n_images, height, width) or (n_images, height, width, 3), uint8
        Crops, e.g. from `iris_tf.data.crop_store.load_rois`.
    labels : ndarray of shape (n_images,), integer
        Identity of each crop.
    batches : TripletBatches or BalancedBatches
        Made from the same `labels`; gives ``batches.steps`` batches an epoch.
    augmentation : AugmentationRecipe
        What is changed at random.
    roi_mode : str
        ROI mode of the crops.
    seed : int
        Of the augmentation; not negative.
    epochs : int
        Number of epochs counted from epoch 0.
    initial_epoch : int, optional
        Epoch to start with.
    turned : bool, optional
        Whether each batch also holds its groups turned as other identities, see
        `iris_tf.training.strip_augmentation.with_turned`; `groups` below is then twice
        that of `batches`.
    clean : bool, optional
        Whether the teacher sees the images as they were before augmentation. It is not asked
        about those that `lose_coarse` has changed.

    Returns
    -------
    tf.data.Dataset
        ``(epochs - initial_epoch) * batches.steps`` pairs of images, float32 of
        shape (groups, group_size, height, width, channels) in 0..255, and labels, int32
        of shape (groups, group_size); with `clean` triples, the last a `TeacherView`.

    Raises
    ------
    ValueError
        When there is not one label for each crop.
    """
    if len(rois) != len(labels):
        raise ValueError(f"{len(rois)} crops but {len(labels)} labels")
    labels = np.asarray(labels, np.int32)
    groups, group_size, steps = batches.groups, batches.group_size, batches.steps
    crop_shape = with_channel_axis(rois).shape[1:]

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
        # One call into Python for the whole batch.
        pixels, identity = tf.numpy_function(gather, [rows], (tf.uint8, tf.int32), stateful=False)
        images = tf.cast(tf.reshape(pixels, (groups * group_size, *crop_shape)), tf.float32)
        seeds = tf.stack([tf.cast(seed, tf.int64), step])
        identity = tf.ensure_shape(identity, (groups, group_size))
        if turned:
            images = with_turned(images, seeds)
            identity = tf.concat([2 * identity, 2 * identity + 1], axis=0)
        shape, whole = (*identity.shape, *crop_shape), images
        asked = tf.ones(images.shape[:1], tf.bool)
        if augmentation.coarse_lost_share:
            images, lost = lose_coarse(images, group_size, seeds, augmentation.coarse_lost_share)
            # What such a strip has lost is not in the student's view, so no teacher can tell it.
            asked = ~lost
        batch = tf.reshape(augment(images, seeds, augmentation, roi_mode), shape), identity
        if not clean:
            return batch
        return (*batch, TeacherView(tf.reshape(whole, shape), tf.reshape(asked, identity.shape)))

    dataset = (
        tf.data.Dataset.range(initial_epoch, epochs)
        .flat_map(rows_of_epoch)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality((epochs - initial_epoch) * steps))
        .prefetch(2)
    )
    options = tf.data.Options()
    # Several workers: each takes its share of every batch; there are no files to share out.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)
