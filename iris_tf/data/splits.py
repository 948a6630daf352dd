"""Train, validation and test splits that keep a person, or an identity, together."""

import dataclasses
import hashlib
from collections.abc import Iterable

from iris_tf.data.manifest import ManifestRow
from iris_tf.support.errors import DatasetError

SPLIT_BY = ("person", "identity")


def split_rows(rows: Iterable[ManifestRow], by: str = "person", seed: int = 0) -> list[ManifestRow]:
    """Assign 70:15:15 of the persons (or identities) to train, val and test.

    Groups are ordered by a hash of seed and name, and the order is cut: which
    split a group falls into depends on the set of groups and the seed alone,
    never on the order or number of rows. Of n groups, ``ceil(0.3 n)``, at least 2, are held
    out and halved, the odd one going to test, as two calls of scikit-learn's
    ``train_test_split`` do; 1,997 identities become 1,397, 300 and 300, the
    counts of the MobiIris paper.

    Parameters
    ----------
    rows : iterable of ManifestRow
        The table; rows of several datasets may be mixed.
    by : {"person", "identity"}
        ``"person"`` keeps both eyes of a person in one split, which is what an
        unseen user is; ``"identity"`` lets the two eyes part, as the paper did.
    seed : int
        Another seed gives another assignment.

    Returns
    -------
    list of ManifestRow
        The rows in their order, with `split` filled.

    Raises
    ------
    DatasetError
        With fewer than three groups, or an unknown `by`.
    """
    if by not in SPLIT_BY:
        raise DatasetError(f"split by {by!r} is unknown; choose one of {', '.join(SPLIT_BY)}.")
    rows = list(rows)
    groups = [(row.dataset, row.subject if by == "person" else row.identity) for row in rows]
    ordered = sorted(set(groups), key=lambda group: _rank(group, seed))
    if len(ordered) < 3:
        noun = {"person": "persons", "identity": "identities"}[by]
        raise DatasetError(
            f"{len(ordered)} {noun if len(ordered) != 1 else by} cannot be split into train, "
            f"val and test: at least 3 {noun} are needed, so add images."
        )
    train, val = _sizes(len(ordered))
    split_of = {
        group: "train" if i < train else "val" if i < train + val else "test"
        for i, group in enumerate(ordered)
    }
    return [
        dataclasses.replace(row, split=split_of[group])
        for row, group in zip(rows, groups, strict=True)
    ]


def _sizes(groups: int) -> tuple[int, int]:
    """How many groups are for training and validation; the rest is for test."""
    held_out = max(2, (3 * groups + 9) // 10)
    return groups - held_out, held_out // 2


def _rank(group: tuple[str, str], seed: int) -> bytes:
    return hashlib.sha256("\0".join((str(seed), *group)).encode()).digest()
