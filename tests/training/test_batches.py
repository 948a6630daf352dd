from collections import Counter

import numpy as np
import pytest

from iris_tf.support.errors import DatasetError
from iris_tf.training.batches import BalancedBatches, TripletBatches


def shuffled_labels(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)) * 7 + 3, counts)
    return np.random.default_rng(seed).permutation(labels)


LABELS = shuffled_labels([1, 2, 3, 5, 1, 8, 4, 2])  # 26 images, 24 of several-image identities


def test_each_image_of_a_several_image_identity_is_an_anchor_once():
    batches = TripletBatches(LABELS, groups=4, steps=None, seed=5)
    epoch = batches.epoch(0)
    assert epoch.shape == (6, 4, 3)
    assert epoch.dtype == np.int64
    several = {i for i, label in enumerate(LABELS) if (label == LABELS).sum() > 1}
    assert Counter(epoch[..., 0].ravel()) == Counter(several)
    assert batches.single_image_identities == 2


@pytest.mark.parametrize("steps", [None, 50])
def test_triplets_are_valid_by_a_naive_loop(steps):
    epoch = TripletBatches(LABELS, groups=5, steps=steps, seed=1).epoch(3)
    seen = set()
    for anchor, positive, negative in epoch.reshape(-1, 3).tolist():
        assert anchor != positive
        assert LABELS[anchor] == LABELS[positive] != LABELS[negative]
        assert (anchor, positive, negative) not in seen
        seen.add((anchor, positive, negative))


def test_steps_go_on_through_reshuffled_passes():
    epoch = TripletBatches(LABELS, groups=6, steps=9, seed=1).epoch(0)
    anchors = epoch[..., 0].ravel()  # 54 anchors of 24: two full passes and a quarter
    first, second = anchors[:24], anchors[24:48]
    assert sorted(first) == sorted(second) == sorted(set(anchors))
    assert first.tolist() != second.tolist()
    assert len(set(anchors[48:])) == 6


def test_negatives_repeat_only_after_all_were_used():
    labels = np.array([0, 0, 1, 1, 2])
    epoch = TripletBatches(labels, groups=4, steps=9, seed=0).epoch(0).reshape(-1, 3)
    negatives = Counter(map(tuple, epoch.tolist()))
    # Nine passes; each anchor has one possible positive and three possible negatives.
    assert len(negatives) == 4 * 3
    assert set(negatives.values()) == {3}


def test_single_image_identities_serve_as_negatives():
    labels = np.array([0, 0, 1])
    epoch = TripletBatches(labels, groups=2, steps=None, seed=0).epoch(0)
    assert set(epoch[..., 2].ravel()) == {2}


def test_positives_and_negatives_are_uniform():
    labels = np.repeat(np.arange(4), 3)
    batches = TripletBatches(labels, groups=12, steps=None, seed=3)
    triplets = np.concatenate([batches.epoch(e).reshape(-1, 3) for e in range(4000)])
    of_first = triplets[triplets[:, 0] == 0]
    positives = np.bincount(of_first[:, 1], minlength=12) / len(of_first)
    negatives = np.bincount(of_first[:, 2], minlength=12) / len(of_first)
    # 4,000 draws: four standard deviations are 0.032 at 1/2 and 0.02 at 1/9.
    np.testing.assert_allclose(positives, [0, 0.5, 0.5] + [0] * 9, atol=0.032)
    np.testing.assert_allclose(negatives, [0] * 3 + [1 / 9] * 9, atol=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: TripletBatches(LABELS, groups=3, steps=7, seed=seed),
        lambda seed: BalancedBatches(LABELS, 3, images_per_identity=3, steps=7, seed=seed),
    ],
    ids=["triplet", "balanced"],
)
def test_epochs_depend_on_seed_and_epoch_alone(make):
    batches = make(4)
    later = batches.epoch(2)
    np.testing.assert_array_equal(make(4).epoch(2), later)
    assert (batches.epoch(1) != later).any()
    assert (make(5).epoch(2) != later).any()


def test_balanced_batches_hold_different_identities():
    batches = BalancedBatches(LABELS, groups=4, images_per_identity=3, steps=40, seed=0)
    epoch = batches.epoch(0)
    assert epoch.shape == (40, 4, 3)
    assert epoch.dtype == np.int64
    assert batches.group_size == 3
    assert batches.single_image_identities == 2
    for batch in epoch:
        identities = LABELS[batch]
        assert (identities == identities[:, :1]).all()
        assert len(set(identities[:, 0])) == 4
        for group in batch:
            available = (LABELS[group[0]] == LABELS).sum()
            assert available >= 2
            assert len(set(group)) == min(3, available)


def test_balanced_batches_use_every_image():
    batches = BalancedBatches(LABELS, groups=3, images_per_identity=2, steps=60, seed=0)
    used = Counter(batches.epoch(0).ravel().tolist())
    assert set(used) == {i for i, label in enumerate(LABELS) if (label == LABELS).sum() > 1}


def test_batches_of_several_datasets_take_equally_many_of_each():
    labels = np.repeat(np.arange(20), 3)
    datasets = np.array(["a", "b"])[(labels % 5 < 2).astype(int)]  # 12 identities of a, 8 of b
    batches = BalancedBatches(labels, 6, 2, 30, seed=2, datasets=datasets, datasets_per_batch=2)
    epoch = batches.epoch(0)
    assert epoch.shape == (30, 6, 2)
    seen = set()
    for batch in epoch:
        assert (labels[batch] == labels[batch[:, :1]]).all()
        assert len(set(labels[batch[:, 0]])) == 6, "no identity twice"
        of_a = (datasets[batch[:, 0]] == "a").sum()
        assert of_a in (0, 3, 6)
        seen.add(int(of_a))
    assert seen == {0, 3, 6}
    used = Counter(labels[epoch[..., 0].ravel()].tolist())
    assert set(used) == set(range(20))
    # A pass takes all 12 of a and 6 of the 8 of b.
    assert np.mean([used[i] for i in range(20) if i % 5 >= 2]) == pytest.approx(10.0, abs=0.5)


def test_a_dataset_too_small_for_its_part_is_refused():
    labels = np.repeat(np.arange(9), 2)
    datasets = np.where(labels < 2, "small", "large")
    with pytest.raises(DatasetError, match=r"small has 2 identities.*needs 3 per dataset"):
        BalancedBatches(labels, 6, 2, 5, seed=2, datasets=datasets, datasets_per_batch=2)
    labels = np.repeat(np.arange(12), 2)  # 7 + 5, of which whole fours are 4 + 4
    datasets = np.where(labels < 7, "seven", "five")
    with pytest.raises(DatasetError, match=r"hold 2 times 4 identities.*needs 3 times"):
        BalancedBatches(labels, 12, 2, 5, seed=2, datasets=datasets, datasets_per_batch=3)


def test_balanced_steps_cover_about_all_images():
    assert BalancedBatches(LABELS, 3, images_per_identity=2, steps=None, seed=0).steps == 4
    assert BalancedBatches(LABELS, 6, images_per_identity=5, steps=None, seed=0).steps == 1


def test_labels_may_be_names():
    names = np.array(["S1L", "S1R", "S1L", "S1R"])
    numbers = np.array([0, 1, 0, 1])
    np.testing.assert_array_equal(
        TripletBatches(names, 2, None, 0).epoch(0), TripletBatches(numbers, 2, None, 0).epoch(0)
    )


def test_too_few_identities_are_refused():
    with pytest.raises(DatasetError, match="6 of 8 identities"):
        BalancedBatches(LABELS, groups=7, images_per_identity=2, steps=3, seed=0)
    with pytest.raises(DatasetError, match="8 identities and 24 such images"):
        TripletBatches(LABELS, groups=25, steps=None, seed=0)
    with pytest.raises(DatasetError, match="1 identities"):
        TripletBatches(np.zeros(9), groups=2, steps=None, seed=0)
    with pytest.raises(ValueError, match="at least 2"):
        BalancedBatches(LABELS, groups=2, images_per_identity=1, steps=3, seed=0)
