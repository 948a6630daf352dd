"""Mask loss against Keras's cross-entropy, scikit-learn's F1 and values done by hand."""

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from iris_tf.objectives.mask_loss import MaskLoss, mask_loss


def test_entropy_is_that_of_keras_and_dice_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    targets = (rng.random((1, 20, 30, 1)) < 0.3).astype(np.float32)
    # So sure that soft and hard masks are the same.
    found = (rng.random(targets.shape) < 0.4).astype(np.float32)
    logits = 60.0 * (found - 0.5)
    loss = float(mask_loss(targets, logits, smoothing=0.0)[0, 0])
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)(targets, logits)
    dice = f1_score(targets.ravel(), found.ravel())
    assert loss == pytest.approx(float(entropy) + 1.0 - dice, abs=1e-4)


def test_by_hand():
    targets = np.array([[[[1.0], [0.0]]]], np.float32)
    logits = np.zeros((1, 1, 2, 1), np.float32)  # probability 1/2 everywhere
    # Entropy ln 2; Dice (2 * 0.5 + 1) / (1 + 1 + 1).
    expected = np.log(2.0) + 1.0 - 2.0 / 3.0
    assert float(mask_loss(targets, logits, smoothing=1.0)[0, 0]) == pytest.approx(expected)


def test_channels_and_images_are_apart():
    rng = np.random.default_rng(1)
    targets = rng.random((3, 5, 6, 2)).astype(np.float32)
    logits = rng.normal(size=(3, 5, 6, 2)).astype(np.float32)
    together = np.asarray(mask_loss(targets, logits))
    for image in range(3):
        for channel in range(2):
            part = (slice(image, image + 1), slice(None), slice(None), slice(channel, channel + 1))
            alone = np.asarray(mask_loss(targets[part], logits[part]))
            assert together[image, channel] == pytest.approx(alone[0, 0], rel=1e-5)
    assert float(MaskLoss()(targets, logits)) == pytest.approx(together.mean(), rel=1e-5)


def test_large_logits_do_not_overflow():
    targets = np.array([[[[1.0], [0.0]]]], np.float32)
    logits = np.array([[[[-1e4], [1e4]]]], np.float32)
    assert float(mask_loss(targets, logits)[0, 0]) == pytest.approx(1e4, rel=1e-3)


def test_empty_mask_found_empty_costs_nothing():
    targets = np.zeros((1, 8, 8, 1), np.float32)
    assert float(mask_loss(targets, targets - 60.0)[0, 0]) == pytest.approx(0.0, abs=1e-5)
