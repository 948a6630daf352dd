import warnings

import numpy as np
import pytest

from iris_tf.config.training_recipe import BatchRecipe
from iris_tf.training.fit_batch import fit_batch

# 28 identities with 3 images and 2 with one: 40 eyes, 70 % of which are trained on.
LABELS = np.repeat(np.arange(30), [3] * 28 + [1] * 2)


def balanced(groups, images, **settings):
    return BatchRecipe("balanced", groups, images, **settings)


@pytest.mark.parametrize(
    ("batch", "devices", "groups", "images"),
    [
        (balanced(32, 4), 1, 28, 3),
        (balanced(32, 2), 1, 28, 2),
        (balanced(16, 4), 1, 16, 3),
        (balanced(32, 4), 8, 24, 3),  # a multiple of 8
        (balanced(64, 4, turned=True), 1, 56, 3),  # 28 and their rotated copies
        (balanced(64, 4, turned=True), 3, 54, 3),  # a multiple of 3, and even
        (BatchRecipe("triplet", 100), 1, 84, 4),  # 28 x 3 anchors
        (BatchRecipe("triplet", 100), 8, 80, 4),
        (BatchRecipe("shuffled", 100), 1, 86, 4),  # all images
    ],
)
def test_batches_shrink_to_the_dataset_with_a_notice(batch, devices, groups, images):
    with pytest.warns(RuntimeWarning, match="28 of 30 training identities have several images, up"):
        fitted = fit_batch(batch, LABELS, devices)
    assert (fitted.groups, fitted.images_per_identity) == (groups, images)
    assert fitted.turned == batch.turned


@pytest.mark.parametrize(
    ("batch", "labels"),
    [
        (balanced(28, 3), LABELS),
        (BatchRecipe("triplet", 84), LABELS),
        (balanced(32, 4), np.array([0, 0, 1, 2])),  # nothing to tell apart: refused later
        (balanced(32, 4, datasets=4), LABELS),
    ],
)
def test_other_batches_stay(batch, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_batch(batch, labels) == batch
