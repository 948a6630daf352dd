"""Batch samplers: triplets of Algorithm 2, P x K batches, and single images.

All samplers return a whole epoch at once, as an array of row indices that
depends only on the seed and the epoch. A resumed run therefore sees the same
batches as an uninterrupted one.
"""

import numpy as np

from iris_tf.support.errors import DatasetError


class _Identities:
    """Images sorted by identity, so that each identity is a contiguous range."""

    def __init__(self, labels: np.ndarray):
        labels = np.asarray(labels)
        if labels.ndim != 1:
            raise ValueError(f"labels must have one dimension, not shape {labels.shape}")
        _, identity_of, self.count = np.unique(labels, return_inverse=True, return_counts=True)
        self.images = np.argsort(identity_of, kind="stable")  # sorted position -> row
        self.start = np.concatenate([[0], np.cumsum(self.count)[:-1]]).astype(np.int64)
        self.identity_of_place = identity_of[self.images]
        self.several = np.flatnonzero(self.count >= 2)

    @property
    def single_image(self) -> int:
        return len(self.count) - len(self.several)


def _passes(rng: np.random.Generator, items: np.ndarray, per_pass: int, total: int) -> np.ndarray:
    """First `total` entries of repeated shuffles of `items`, `per_pass` from each shuffle."""
    shuffled = [rng.permutation(items)[:per_pass] for _ in range(-(-total // per_pass))]
    return np.concatenate(shuffled)[:total]


class TripletBatches:
    """Triplets of Algorithm 2: anchor, positive, negative.

    In each pass, every image of an identity with several images is an anchor
    once. Its positive is another random image of the identity. Its negative is a
    random image of another identity; it does not recur with the same anchor and
    positive within the epoch until all candidates have been used. Identities with
    one image only serve as negatives.

    Parameters
    ----------
    labels : array_like of shape (n_images,)
        Identity of each image.
    groups : int
        Triplets per batch.
    steps : int or None
        Batches per epoch, from as many reshuffled passes as necessary; None for one
        pass, ``floor(n_anchors / groups)`` batches.
    seed : int
        Not negative.

    Attributes
    ----------
    steps, groups : int
        As above, `steps` resolved.
    group_size : int
        3.
    single_image_identities : int
        Identities excluded from anchors and positives.

    Raises
    ------
    DatasetError
        If there are too few identities or anchors for a batch.
    """

    group_size = 3

    def __init__(self, labels: np.ndarray, groups: int, steps: int | None, seed: int):
        self._identities = identities = _Identities(labels)
        places = np.arange(len(identities.images))
        self._anchors = places[identities.count[identities.identity_of_place] >= 2]
        self.single_image_identities = identities.single_image
        if len(identities.count) < 2 or len(self._anchors) < groups:
            raise DatasetError(
                f"A batch of {groups} triplets needs two identities and {groups} images whose "
                f"identity has another image; there are {len(identities.count)} identities and "
                f"{len(self._anchors)} such images. Use more images or reduce the batch size."
            )
        self.groups, self.seed = groups, seed
        self.steps = len(self._anchors) // groups if steps is None else steps

    def epoch(self, epoch: int) -> np.ndarray:
        """Batches of one epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.

        Returns
        -------
        ndarray of shape (steps, groups, 3), int64
            Row indices of anchor, positive and negative.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        identities, total = self._identities, self.steps * self.groups
        anchor = _passes(rng, self._anchors, len(self._anchors), total)
        own = identities.identity_of_place[anchor]
        start, count = identities.start[own], identities.count[own]
        # Another image: 1 to count - 1 positions further, modulo the range of the identity.
        positive = start + (anchor - start + rng.integers(1, count)) % count
        negative = self._negatives(rng, anchor, positive, start, count)
        triplets = identities.images[np.stack([anchor, positive, negative], axis=-1)]
        return triplets.reshape(self.steps, self.groups, 3).astype(np.int64, copy=False)

    def _negatives(
        self,
        rng: np.random.Generator,
        anchor: np.ndarray,
        positive: np.ndarray,
        start: np.ndarray,
        count: np.ndarray,
    ) -> np.ndarray:
        images = len(self._identities.images)
        others = images - count

        def draw(which: np.ndarray | slice) -> np.ndarray:
            place = rng.integers(0, others[which])
            return place + np.where(place >= start[which], count[which], 0)  # skip own identity

        negative = draw(slice(None))
        _, pair = np.unique(anchor * images + positive, return_inverse=True)
        # Once a pair has used all its negatives, all of them are available again.
        round_ = _occurrence(pair) // others
        combination = (pair * (round_.max() + 1) + round_) * images
        while len(repeated := _repetitions(combination + negative)):
            negative[repeated] = draw(repeated)
        return negative


def _occurrence(values: np.ndarray) -> np.ndarray:
    """For each position, the number of earlier occurrences of its value."""
    order = np.argsort(values, kind="stable")
    _, first, run = np.unique(values[order], return_index=True, return_inverse=True)
    occurrence = np.empty(len(values), np.int64)
    occurrence[order] = np.arange(len(values)) - first[run]
    return occurrence


def _repetitions(values: np.ndarray) -> np.ndarray:
    """Positions whose value occurred earlier."""
    order = np.argsort(values, kind="stable")
    return order[1:][np.diff(values[order]) == 0]


class BalancedBatches:
    """P x K batches: `groups` different identities with `images_per_identity` images each.

    If an identity has fewer images, its images are repeated. Identities with one
    image are excluded.

    Parameters
    ----------
    labels : array_like of shape (n_images,)
        Identity of each image.
    groups : int
        Identities per batch (P).
    images_per_identity : int
        Images per identity (K), at least 2.
    steps : int or None
        Batches per epoch; None for ``max(1, floor(n / (P K)))``, where n is the number of
        images of identities with several images.
    seed : int
        Not negative.
    datasets : array_like of shape (n_images,), optional
        Dataset of each image; all images of an identity are from one dataset.
    datasets_per_batch : int
        Number of datasets that the identities of a batch are drawn from, in equal
        shares (a dataset may be drawn twice). Identities of the same camera and
        population are the negatives of a real gallery. 0: no restriction.

    Attributes
    ----------
    steps, groups : int
        As above, `steps` resolved.
    group_size : int
        `images_per_identity`.
    single_image_identities : int
        Identities excluded.

    Raises
    ------
    DatasetError
        If fewer identities than `groups` have several images, or fewer in a dataset
        than its share of a batch.
    """

    def __init__(
        self,
        labels: np.ndarray,
        groups: int,
        images_per_identity: int,
        steps: int | None,
        seed: int,
        datasets: np.ndarray | None = None,
        datasets_per_batch: int = 0,
    ):
        if images_per_identity < 2:
            raise ValueError(f"images_per_identity must be at least 2, not {images_per_identity}")
        self._identities = identities = _Identities(labels)
        self.single_image_identities = identities.single_image
        if len(identities.several) < groups:
            raise DatasetError(
                f"A batch of {groups} identities needs as many with at least two images; "
                f"{len(identities.several)} of {len(identities.count)} identities have them. "
                "Use more images or reduce the batch size."
            )
        self.groups, self.group_size, self.seed = groups, images_per_identity, seed
        images = identities.count[identities.several].sum()
        if steps is None:
            steps = max(1, int(images) // (groups * images_per_identity))
        self.steps = steps
        self._share = groups
        self._members = [identities.several]
        if datasets_per_batch:
            if groups % datasets_per_batch:
                raise ValueError(
                    f"{groups} groups cannot be split evenly over {datasets_per_batch} datasets"
                )
            self._share = groups // datasets_per_batch
            self._members = self._by_dataset(np.asarray(datasets))

    def _by_dataset(self, datasets: np.ndarray) -> list[np.ndarray]:
        """Identities with several images of each dataset."""
        identities = self._identities
        of_identity = datasets[identities.images[identities.start[identities.several]]]
        members = []
        for name in np.unique(of_identity):
            members.append(identities.several[of_identity == name])
            if len(members[-1]) < self._share:
                raise DatasetError(
                    f"Dataset {name} has {len(members[-1])} identities with at least two images, "
                    f"but `batch.datasets` needs {self._share} per dataset; use more images, "
                    "or more datasets per batch."
                )
        shares = sum(len(some) // self._share for some in members)
        if shares * self._share < self.groups:
            raise DatasetError(
                f"The datasets hold {shares} times {self._share} identities with at least two "
                f"images, but a batch needs {self.groups // self._share} times; use more images."
            )
        return members

    def _pass(self, rng: np.random.Generator) -> np.ndarray:
        """Complete batches that use each identity at most once, of shape (batches, groups)."""
        shares = np.concatenate(
            [
                rng.permutation(members)[: len(members) // self._share * self._share]
                for members in self._members
            ]
        ).reshape(-1, self._share)
        # With a single dataset, each share is a batch, already in random order.
        order = rng.permutation(len(shares)) if len(self._members) > 1 else np.arange(len(shares))
        batches = len(shares) * self._share // self.groups
        return shares[order][: batches * self.groups // self._share].reshape(batches, self.groups)

    def epoch(self, epoch: int) -> np.ndarray:
        """Batches of one epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.

        Returns
        -------
        ndarray of shape (steps, groups, images_per_identity), int64
            Row indices; each group is one identity, distinct within the batch.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        identities, several = self._identities, self._identities.several
        # Complete batches per pass, so that no batch spans two passes and repeats an identity.
        passes = [self._pass(rng)]
        while sum(map(len, passes)) < self.steps:
            passes.append(self._pass(rng))
        chosen = np.concatenate(passes)[: self.steps].ravel()
        count = identities.count[chosen][:, None]
        # Shuffle the images of each identity; padding gets the largest keys.
        keys = rng.random((len(chosen), identities.count[several].max()))
        keys[np.arange(keys.shape[1]) >= count] = 2.0
        order = np.argsort(keys, axis=1)
        order = np.take_along_axis(order, np.arange(self.group_size) % count, axis=1)
        rows = identities.images[identities.start[chosen][:, None] + order]
        return rows.reshape(self.steps, self.groups, self.group_size).astype(np.int64, copy=False)


class ShuffledBatches:
    """Batches of single images: in each pass, every image once in random order.

    For objectives that classify, which compare no images with each other; identities with one
    image take part.

    Parameters
    ----------
    labels : array_like of shape (n_images,)
        Identity of each image.
    groups : int
        Images per batch.
    steps : int or None
        Batches per epoch; None for one pass, ``floor(n_images / groups)`` batches.
    seed : int
        Not negative.

    Attributes
    ----------
    steps, groups : int
        As above, `steps` resolved.
    group_size : int
        1.
    single_image_identities : int
        Number of identities with one image.

    Raises
    ------
    DatasetError
        If there are fewer images than `groups`.
    """

    group_size = 1

    def __init__(self, labels: np.ndarray, groups: int, steps: int | None, seed: int):
        if len(labels) < groups:
            raise DatasetError(
                f"A batch of {groups} images needs as many; there are {len(labels)}. Use more "
                "images or reduce the batch size."
            )
        self._images = np.arange(len(labels))
        self.single_image_identities = _Identities(labels).single_image
        self.groups, self.seed = groups, seed
        self.steps = len(labels) // groups if steps is None else steps

    def epoch(self, epoch: int) -> np.ndarray:
        """Batches of one epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.

        Returns
        -------
        ndarray of shape (steps, groups, 1), int64
            Row indices.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        total = self.steps * self.groups
        rows = _passes(rng, self._images, len(self._images), total)
        return rows.reshape(self.steps, self.groups, 1).astype(np.int64, copy=False)


Batches = TripletBatches | BalancedBatches | ShuffledBatches
"""Any sampler."""
