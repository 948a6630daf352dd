import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from iris_tf.config.training_recipe import AugmentationRecipe
from iris_tf.training.augmentation import augment
from iris_tf.training.batches import BalancedBatches, TripletBatches
from iris_tf.training.input_pipeline import training_dataset

NONE = AugmentationRecipe(rotation_degrees=0.0, translation=0.0, scale=0.0)
PAPER = AugmentationRecipe(rotation_degrees=5.0, translation=0.05, scale=0.05)
LABELS = np.repeat(np.arange(6), 4)
ROIS = np.random.default_rng(0).integers(0, 256, (24, 16, 20), dtype=np.uint8)


def stream(dataset):
    return [tf.nest.map_structure(lambda part: part.numpy(), batch) for batch in dataset]


def test_batches_hold_the_crops_and_labels_of_their_rows():
    batches = TripletBatches(LABELS, groups=5, steps=3, seed=1)
    dataset = training_dataset(ROIS, LABELS, batches, NONE, "aligned", seed=0, epochs=2)
    assert dataset.element_spec[0] == tf.TensorSpec((5, 3, 16, 20, 1), tf.float32)
    assert dataset.element_spec[1] == tf.TensorSpec((5, 3), tf.int32)
    assert dataset.cardinality() == 6
    rows = np.concatenate([batches.epoch(0), batches.epoch(1)])
    found = stream(dataset)
    assert len(found) == 6
    for (images, labels), expected in zip(found, rows, strict=True):
        np.testing.assert_array_equal(images[..., 0], ROIS[expected])
        np.testing.assert_array_equal(labels, LABELS[expected])


def test_no_thread_sleeps_when_a_stream_ends():
    """That of autotuning does, often for seconds, and whoever frees the iterator waits for it."""
    batches = TripletBatches(LABELS, groups=5, steps=3, seed=1)
    dataset = training_dataset(ROIS, LABELS, batches, NONE, "aligned", seed=0, epochs=2)
    assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("roi_mode", ["algorithm1", "unrolled"])
def test_a_resumed_stream_goes_on_where_it_was(roi_mode):
    batches = BalancedBatches(LABELS, 4, images_per_identity=2, steps=3, seed=1)

    def make(initial_epoch):
        return stream(
            training_dataset(
                ROIS,
                LABELS,
                batches,
                PAPER,
                roi_mode,
                seed=9,
                epochs=4,
                initial_epoch=initial_epoch,
            )
        )

    whole, again, resumed = make(0), make(0), make(2)
    assert len(whole) == 12
    for one, other in [*zip(whole, again, strict=True), *zip(whole[6:], resumed, strict=True)]:
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_crops_are_augmented_with_the_seed_and_the_step():
    batches = TripletBatches(LABELS, groups=2, steps=2, seed=1)
    dataset = training_dataset(ROIS, LABELS, batches, PAPER, "aligned", seed=7, epochs=2)
    rows = np.concatenate([batches.epoch(0), batches.epoch(1)])
    for step, (images, _) in enumerate(stream(dataset)):
        plain = ROIS[rows[step]].reshape(6, 16, 20, 1).astype(np.float32)
        expected = augment(tf.constant(plain), (7, step), PAPER, "aligned")
        np.testing.assert_allclose(images.reshape(6, 16, 20, 1), expected, atol=1e-3)


def test_rotated_groups_are_other_identities_of_the_same_batch():
    batches = BalancedBatches(LABELS, 3, images_per_identity=2, steps=2, seed=1)
    # Lids, so that what is shown is less than all.
    rois = np.maximum(ROIS, 1)
    rois[:, 8:, 3:6] = 0
    dataset = training_dataset(
        rois, LABELS, batches, NONE, "unrolled", seed=7, epochs=1, add_rotated=True
    )
    assert dataset.element_spec[0] == tf.TensorSpec((6, 2, 16, 20, 1), tf.float32)
    assert dataset.element_spec[1] == tf.TensorSpec((6, 2), tf.int32)
    for (images, labels), rows in zip(stream(dataset), batches.epoch(0), strict=True):
        plain, rotated = images[:3, ..., 0], images[3:, ..., 0]
        assert len(np.unique(labels)) == 6
        assert (labels[:, 0] == labels[:, 1]).all()
        np.testing.assert_array_equal(labels[:3] // 2, LABELS[rows])
        np.testing.assert_array_equal(labels[3:] // 2, LABELS[rows])
        np.testing.assert_array_equal(plain, np.where(plain > 0, rois[rows], 0))
        rolled = [np.roll(rois[rows], turn, axis=-1) for turn in range(20)]
        fits = [(np.where(rotated > 0, one, 0) == rotated).all() for one in rolled]
        assert sum(fits) == 1


def test_the_images_as_they_were_come_with_the_augmented_ones():
    batches = BalancedBatches(LABELS, 3, images_per_identity=2, steps=2, seed=1)

    def batch(augmentation, **options):
        return stream(
            training_dataset(
                ROIS, LABELS, batches, augmentation, "unrolled", seed=7, epochs=1, add_rotated=True,
                **options,
            )
        )  # fmt: skip

    both = zip(batch(PAPER, clean=True), batch(PAPER), batch(NONE), strict=True)
    for (images, labels, (shown, queried)), (augmented, same), (plain, _) in both:
        assert queried.shape == labels.shape
        assert queried.all()
        np.testing.assert_array_equal(images, augmented)
        np.testing.assert_array_equal(labels, same)
        np.testing.assert_array_equal(shown, plain)
        assert np.abs(images - shown).max() > 1


def test_answers_of_the_teacher_are_those_of_the_rows():
    batches = BalancedBatches(LABELS, 3, images_per_identity=2, steps=2, seed=1)
    answers = np.random.default_rng(1).normal(size=(24, 5)).astype(np.float32)
    found = stream(
        training_dataset(
            ROIS, LABELS, batches, PAPER, "aligned", seed=7, epochs=2, clean=True, answers=answers
        )
    )
    rows = np.concatenate([batches.epoch(0), batches.epoch(1)])
    for (images, labels, given), expected in zip(found, rows, strict=True):
        assert given._fields == ("embeddings", "queried")
        np.testing.assert_array_equal(labels, LABELS[expected])
        np.testing.assert_array_equal(given.embeddings, answers[expected])
        assert given.queried.all()
        assert np.abs(images[..., 0] - ROIS[expected]).max() > 1  # the student's are augmented


def test_a_teacher_is_asked_about_no_strip_that_lost_what_is_coarse():
    batches = BalancedBatches(LABELS, 4, images_per_identity=2, steps=8, seed=1)
    strips = np.random.default_rng(0).integers(1, 256, (24, 16, 48), dtype=np.uint8)

    def batch(share, **options):
        augmentation = AugmentationRecipe(0.0, 0.0, 0.0, coarse_lost_share=share)
        return stream(
            training_dataset(
                strips, LABELS, batches, augmentation, "unrolled", seed=7, epochs=1, **options
            )
        )

    losses = []
    for (images, _, view), (plain, _) in zip(batch(0.5, clean=True), batch(0.0), strict=True):
        changed = (images != plain).any(axis=(2, 3, 4))
        np.testing.assert_array_equal(~view.queried, changed)
        np.testing.assert_array_equal(view.images, plain)
        losses.append(changed.mean())
    assert 0.2 < np.mean(losses) < 0.8


def test_one_label_for_each_crop():
    batches = TripletBatches(LABELS, groups=2, steps=2, seed=1)
    with pytest.raises(ValueError, match="24 crops but 23 labels"):
        training_dataset(ROIS, LABELS[1:], batches, PAPER, "aligned", seed=7, epochs=2)


# Devices are set before TensorFlow starts, so this runs in an interpreter of its own.
TWO_REPLICAS = """
import json

import numpy as np
import tensorflow as tf

from iris_tf.config.training_recipe import AugmentationRecipe
from iris_tf.training.batches import TripletBatches
from iris_tf.training.input_pipeline import training_dataset

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
labels = np.repeat(np.arange(6), 4)
rois = np.arange(24, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
batches = TripletBatches(labels, groups=6, steps=3, seed=1)
none = AugmentationRecipe(rotation_degrees=0.0, translation=0.0, scale=0.0)
dataset = training_dataset(rois, labels, batches, none, "aligned", seed=0, epochs=2)
rows = []
for images, _ in strategy.experimental_distribute_dataset(dataset):
    per_replica = strategy.experimental_local_results(images)
    rows.append([replica.numpy()[:, :, 0, 0, 0].astype(int).tolist() for replica in per_replica])
expected = np.concatenate([batches.epoch(0), batches.epoch(1)]).tolist()
print(json.dumps([rows, expected]))
"""


def test_replicas_share_each_batch_by_groups():
    process = subprocess.run(
        [sys.executable, "-c", TWO_REPLICAS], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr[-2000:]
    rows, expected = json.loads(process.stdout.splitlines()[-1])
    assert len(rows) == 6
    for (first, second), batch in zip(rows, expected, strict=True):
        assert len(first) == len(second) == 3
        assert first + second == batch
