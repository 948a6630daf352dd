"""Which images make up which batch: triplets of Algorithm 2 and P x K batches.

Both classes give a whole epoch at once, as an array of row numbers that
depends on nothing but the seed and the number of the epoch. A resumed run
therefore sees the batches that the interrupted one would have seen.
"""

import numpy as np

from iris_tf.support.errors import DatasetError


class _Identities:
    """Images sorted by identity, so that each identity is one contiguous range."""

    def __init__(self, labels: np.ndarray):
        labels = np.asarray(labels)
        if labels.ndim != 1:
            raise ValueError(f"labels must have one dimension, not shape {labels.shape}")
        _, identity_of, self.count = np.unique(labels, return_inverse=True, return_counts=True)
        self.images = np.argsort(identity_of, kind="stable")  # sorted place -> row
        self.start = np.concatenate([[0], np.cumsum(self.count)[:-1]]).astype(np.int64)
        self.identity_of_place = identity_of[self.images]
        self.several = np.flatnonzero(self.count >= 2)

    @property
    def single_image(self) -> int:
        return len(self.count) - len(self.several)


def _passes(rng: np.random.Generator, items: np.ndarray, per_pass: int, total: int) -> np.ndarray:
    """`total` entries of `items` from shuffled passes, of which each gives `per_pass`."""
    shuffled = [rng.permutation(items)[:per_pass] for _ in range(-(-total // per_pass))]
    return np.concatenate(shuffled)[:total]


class TripletBatches:
    """Triplets of Algorithm 2: anchor, positive, negative.

    Every image of an identity with several images is an anchor once in a pass.
    Its positive is another image of the identity at random. Its negative is a
    random image of another identity that has not been used with the same anchor
    and positive in this epoch, until all have been. Identities with one image
    serve as negatives only.

    Parameters
    ----------
    labels : array_like of shape (n_images,)
        Identity of each image.
    groups : int
        Triplets in a batch.
    steps : int or None
        Batches in an epoch, over as many freshly shuffled passes as they need;
        None for one pass, ``floor(n_anchors / groups)`` batches.
    seed : int
        Not negative.

    Attributes
    ----------
    steps, groups : int
        As above, `steps` resolved.
    group_size : int
        3.
    single_image_identities : int
        Identities kept out of anchors and positives.

    Raises
    ------
    DatasetError
        When there are fewer identities or fewer anchors than a batch needs.
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
                f"{len(self._anchors)} such images. Use more images or a smaller batch."
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
            Row numbers of anchor, positive and negative.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        identities, total = self._identities, self.steps * self.groups
        anchor = _passes(rng, self._anchors, len(self._anchors), total)
        own = identities.identity_of_place[anchor]
        start, count = identities.start[own], identities.count[own]
        # One of the other images: 1 to count - 1 places on, around the identity's range.
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
            return place + np.where(place >= start[which], count[which], 0)  # step over own range

        negative = draw(slice(None))
        _, pair = np.unique(anchor * images + positive, return_inverse=True)
        # After as many triplets of a pair as it has negatives, all may be used again.
        round_ = _occurrence(pair) // others
        combination = (pair * (round_.max() + 1) + round_) * images
        while len(repeated := _repetitions(combination + negative)):
            negative[repeated] = draw(repeated)
        return negative


def _occurrence(values: np.ndarray) -> np.ndarray:
    """How many times the value of each place occurred before it."""
    order = np.argsort(values, kind="stable")
    _, first, run = np.unique(values[order], return_index=True, return_inverse=True)
    occurrence = np.empty(len(values), np.int64)
    occurrence[order] = np.arange(len(values)) - first[run]
    return occurrence


def _repetitions(values: np.ndarray) -> np.ndarray:
    """Places whose value occurred before."""
    order = np.argsort(values, kind="stable")
    return order[1:][np.diff(values[order]) == 0]


class BalancedBatches:
    """P x K batches: `groups` different identities with `images_per_identity` images each.

    An identity with fewer images gives all it has, and then some again.
    Identities with one image are left out.

    Parameters
    ----------
    labels : array_like of shape (n_images,)
        Identity of each image.
    groups : int
        Identities in a batch (P).
    images_per_identity : int
        Images of each (K), at least 2.
    steps : int or None
        Batches in an epoch; None for about as many images as the n of identities
        with several images: ``max(1, floor(n / (P K)))`` batches.
    seed : int
        Not negative.
    datasets : array_like of shape (n_images,), optional
        Dataset of each image; an identity has one.
    datasets_per_batch : int
        Of how many datasets the identities of a batch come, equally many of each (a
        dataset may be drawn twice): those of one camera and population are the
        negatives that a real gallery has. 0: whatever comes.

    Attributes
    ----------
    steps, groups : int
        As above, `steps` resolved.
    group_size : int
        `images_per_identity`.
    single_image_identities : int
        Identities left out.

    Raises
    ------
    DatasetError
        When fewer identities than `groups`, or in a dataset fewer than its part of a
        batch, have several images.
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
                f"A batch of {groups} identities needs as many with two images or more; "
                f"{len(identities.several)} of {len(identities.count)} identities have them. "
                "Use more images or a smaller batch."
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
                raise ValueError(f"{groups} groups are not equally many of {datasets_per_batch}")
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
                    f"Dataset {name} has {len(members[-1])} identities with two images or more, "
                    f"but `batch.datasets` needs {self._share} of each dataset; use more images, "
                    "or more datasets in a batch."
                )
        shares = sum(len(some) // self._share for some in members)
        if shares * self._share < self.groups:
            raise DatasetError(
                f"The datasets hold {shares} times {self._share} identities with two images or "
                f"more, but a batch needs {self.groups // self._share} times; use more images."
            )
        return members

    def _pass(self, rng: np.random.Generator) -> np.ndarray:
        """Whole batches that use each identity at most once, (batches, groups)."""
        shares = np.concatenate(
            [
                rng.permutation(members)[: len(members) // self._share * self._share]
                for members in self._members
            ]
        ).reshape(-1, self._share)
        # A single share is a batch, in the order in which it was drawn.
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
            Row numbers; each group is one identity, the groups of a batch are different ones.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, epoch]))
        identities, several = self._identities, self._identities.several
        # Whole batches from each pass, so that no batch spans two and repeats an identity.
        passes = [self._pass(rng)]
        while sum(map(len, passes)) < self.steps:
            passes.append(self._pass(rng))
        chosen = np.concatenate(passes)[: self.steps].ravel()
        count = identities.count[chosen][:, None]
        # A random order of each identity's images: absent images get the largest keys.
        keys = rng.random((len(chosen), identities.count[several].max()))
        keys[np.arange(keys.shape[1]) >= count] = 2.0
        order = np.argsort(keys, axis=1)
        order = np.take_along_axis(order, np.arange(self.group_size) % count, axis=1)
        rows = identities.images[identities.start[chosen][:, None] + order]
        return rows.reshape(self.steps, self.groups, self.group_size).astype(np.int64, copy=False)
