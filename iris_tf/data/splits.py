"""Train, validation and test splits that keep the images of a subject or identity together."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from iris_tf.config.names import CLOSED_WORLD, SPLIT_BY, SPLIT_BY_ALIASES
from iris_tf.data.manifest import ManifestRow
from iris_tf.support.errors import DatasetError


def split_rows(
    rows: Iterable[ManifestRow], by: str = "subject", seed: int = 0
) -> list[ManifestRow]:
    """Assign 70:15:15 of the subjects (or identities) to train, val and test.

    Groups are ordered by a hash of seed and name, and the order is cut: the split of a group
    depends on the set of groups and the seed alone, never on the order or number of rows. Of
    n groups, ``ceil(0.3 n)``, at least 2, are held out and halved, the odd one going to test,
    as two calls of scikit-learn's ``train_test_split`` do; 1,997 identities become 1,397, 300
    and 300, the counts of the MobiIris paper.

    Parameters
    ----------
    rows : iterable of ManifestRow
        The table; rows of several datasets may be mixed.
    by : {"subject", "identity"}
        ``"subject"`` keeps both eyes of a subject in one split, as unseen users require;
        ``"identity"`` may separate the two eyes, as the paper did. ``"person"`` is an alias of
        ``"subject"``.
    seed : int
        Of the order of the groups.

    Returns
    -------
    list of ManifestRow
        The rows in their order, with `split` filled.

    Raises
    ------
    DatasetError
        With fewer than three groups, or an unknown `by`.
    """
    by = SPLIT_BY_ALIASES.get(by, by)
    if by not in SPLIT_BY:
        raise DatasetError(f"split by {by!r} is unknown; choose one of {', '.join(SPLIT_BY)}.")
    rows = list(rows)
    groups = [(row.dataset, row.subject if by == "subject" else row.identity) for row in rows]
    ordered = sorted(set(groups), key=lambda group: _rank(group, seed))
    if len(ordered) < 3:
        noun = {"subject": "subjects", "identity": "identities"}[by]
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


def check_splits(rows: Iterable[ManifestRow], source: str, by: str = "identity") -> None:
    """Refuse splits that separate images of one eye, or the eyes of one subject.

    Figures for eyes that a model was trained on say nothing about others.

    Parameters
    ----------
    rows : iterable of ManifestRow
        Those without a split are ignored.
    source : str
        File that the splits come from, for the message.
    by : {"subject", "identity", "image"}
        What may not be separated; with ``"image"``, a closed world, anything may.

    Raises
    ------
    DatasetError
        Names the first identity or subject.
    """
    if by == CLOSED_WORLD:
        return
    first: dict[tuple[str, str], ManifestRow] = {}
    for row in filter(lambda row: row.split, rows):
        other = first.setdefault((row.dataset, row.identity), row)
        if other.split != row.split:
            raise DatasetError(
                f"{source}: the eye {row.identity} is on both sides of the split "
                f"({other.image} in {other.split}, {row.image} in {row.split}), so that a model "
                "would be tested on eyes it was trained on; put all images of an identity into "
                "one split."
            )
        if by != "subject":
            continue
        other = first.setdefault((row.dataset, f"subject {row.subject}"), row)
        if other.split != row.split:
            raise DatasetError(
                f"{source}: the subject {row.subject} is on both sides of the split "
                f"({other.identity} in {other.split}, {row.identity} in {row.split}), and the eyes "
                "of one subject resemble each other; put both into one split, or allow this by "
                "`--split-by identity`."
            )


def world(settings: Mapping[str, Any]) -> str:
    """What `check_splits` checks in a prepared dataset of these settings.

    Its own manifest may separate the eyes of a subject, and all images of a closed world.
    """
    return CLOSED_WORLD if settings.get("split_by") == CLOSED_WORLD else "identity"


def _sizes(groups: int) -> tuple[int, int]:
    """Number of groups for training and for validation; the rest is for test."""
    held_out = max(2, (3 * groups + 9) // 10)
    return groups - held_out, held_out // 2


def _rank(group: tuple[str, str], seed: int) -> bytes:
    return hashlib.sha256("\0".join((str(seed), *group)).encode()).digest()
