"""Failures to extract, counted as errors: generalised rates of ISO/IEC 19795-1.

An image without a crop cannot be compared. The error rates of a model are conditional on
extraction, whereas a user of the whole system meets both kinds of error. Every comparison that
would have been made if all images had given a crop therefore counts as an attempt, and one whose
images include a failure is neither a match nor a false match:

- GFRR = (genuine attempts - genuine matches) / genuine attempts;
- GFAR = false matches / impostor attempts.

Copies of an image (`FailureReason.DUPLICATE`) are not attempts.
"""

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from iris_tf.config.names import CLOSED_WORLD
from iris_tf.data.layouts import parse_image
from iris_tf.data.manifest import ManifestRow
from iris_tf.data.splits import split_rows
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.support.errors import EvaluationError, FailureReason
from iris_tf.support.foreign_files import read_table


class FailedImage(NamedTuple):
    """An image without a crop, and the reason."""

    row: ManifestRow
    reason: str


def read_failures(table: Path, layout: str, dataset: str = "") -> list[FailedImage]:
    """Read the images without a crop of a prepared dataset, except copies of others.

    Parameters
    ----------
    table : Path
        Its ``failures.csv``.
    layout : str
        Its layout, by which subject and eye are read from the image's name.
    dataset : str, optional
        Its name, if that is not the layout's.

    Raises
    ------
    EvaluationError
        If the file is not such a table.
    """
    failed = []
    try:
        for _, record in read_table(table):
            row = parse_image(record["image"], layout)
            if row is not None and record["reason"] != FailureReason.DUPLICATE:
                row = replace(row, dataset=dataset or row.dataset, split=record.get("split", ""))
                failed.append(FailedImage(row, record["reason"]))
    except (KeyError, ValueError):
        raise EvaluationError(
            f"{table}: is not a table of image, reason and detail; prepare the dataset again."
        ) from None
    return failed


def failures_of_split(
    failed: Sequence[FailedImage],
    split: str,
    rows: Sequence[ManifestRow],
    settings: Mapping[str, Any],
) -> list[FailedImage]:
    """Select the failed images that belong to a split.

    A failed image belongs to the split of its subject or identity, also if none of its images
    gave a crop.

    Parameters
    ----------
    failed : sequence of FailedImage
        From `read_failures`.
    split : {"train", "val", "test", "all"}
    rows : sequence of ManifestRow
        All images of the dataset that have a crop.
    settings : mapping
        ``split_by`` and ``seed`` of the dataset.
    """
    if split == "all":
        return list(failed)
    by = settings["split_by"]
    # Failures say their split where it was not drawn.
    splits = {_unit(row, by): row.split for row, _ in failed if row.split}
    splits |= {_unit(row, by): row.split for row in rows}
    if any(_unit(row, by) not in splits for row, _ in failed):
        # Units of which nothing is left are where the split of all images puts them. It is drawn
        # by the name of the layout.
        everyone = [*(row for row, _ in failed), *rows]
        drawn = split_rows(
            [replace(row, dataset=settings["layout"]) for row in everyone], by, settings["seed"]
        )
        splits = {
            _unit(row, by): found.split for row, found in zip(everyone, drawn, strict=True)
        } | splits
    return [
        FailedImage(replace(row, split=split), reason)
        for row, reason in failed
        if splits[_unit(row, by)] == split
    ]


def _unit(row: ManifestRow, by: str) -> tuple[str, str]:
    names = {"subject": row.subject, "identity": row.identity, CLOSED_WORLD: row.image}
    return row.dataset, names[by]


@dataclass(frozen=True)
class Attempts:
    """Comparisons that would have been made if all images had given a crop.

    Attributes
    ----------
    images : int
        Number of their images.
    failed : sequence of FailedImage
        Those of them that gave no crop.
    genuine, impostor : int
        Number of comparisons.
    """

    images: int
    failed: Sequence[FailedImage]
    genuine: int
    impostor: int


def generalised_rates(
    attempts: Attempts,
    counts: ScoreCounts,
    thresholds: Mapping[str, float],
    card_thresholds: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """GFAR and GFRR at given thresholds.

    Parameters
    ----------
    attempts : Attempts
        All comparisons that should have been made.
    counts : ScoreCounts
        Scores of those that could be made.
    thresholds : mapping of str to float
        Least accepted score by name of the operating point.
    card_thresholds : mapping of str to float, optional
        The same for the operating points of the model's card, which may have the same names.

    Returns
    -------
    dict
        JSON values: ``failures`` (number by reason), ``failure_rate`` (share of all images),
        ``genuine_attempts``, ``impostor_attempts``, and ``points``: ``gfar`` and ``gfrr``
        by name of the operating point; with operating points of a card, the same for these as
        ``card_points``.
    """

    def at(threshold: float) -> dict[str, float]:
        genuine, impostor = counts.accepted(threshold)
        return {"gfar": impostor / attempts.impostor, "gfrr": 1.0 - genuine / attempts.genuine}

    at_card = {name: at(threshold) for name, threshold in (card_thresholds or {}).items()}
    reasons = collections.Counter(reason for _, reason in attempts.failed)
    return {
        "failures": dict(sorted(reasons.items())),
        "failure_rate": len(attempts.failed) / attempts.images,
        "genuine_attempts": attempts.genuine,
        "impostor_attempts": attempts.impostor,
        "points": {name: at(threshold) for name, threshold in thresholds.items()},
    } | ({"card_points": at_card} if at_card else {})
