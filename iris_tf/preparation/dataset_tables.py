"""The tables of a dataset folder: failures and counts."""

import collections
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iris_tf.config.names import SPLITS
from iris_tf.data.image_listing import count_kinds, suffix_of
from iris_tf.data.layouts import LayoutScan
from iris_tf.data.manifest import ManifestRow
from iris_tf.preparation.journal import Outcome
from iris_tf.support.errors import FailureReason
from iris_tf.support.files import write_text

_MAX_EXAMPLES = 10


def not_read(unread: Sequence[str]) -> list[Outcome]:
    """Entries of ``failures.csv`` for files of kinds that are not read; they do not count as
    failures to extract.
    """
    detail = "Files ending in {} are not read; convert them to PNG."
    return [
        Outcome(
            file,
            stamp="",
            reason=str(FailureReason.NOT_READ),
            detail=detail.format(suffix)
            if (suffix := suffix_of(file))
            else "Files without a suffix are not read.",
        )
        for file in unread
    ]


def write_failures(
    path: Path,
    outcomes: Sequence[Outcome],
    split_of: Mapping[str, str],
    others: Sequence[Outcome] = (),
) -> dict[str, int]:
    """Write the failures among the outcomes as CSV (image, reason, detail, split).

    Parameters
    ----------
    path : Path
        Of ``failures.csv``.
    outcomes : sequence of Outcome
        Of all images.
    split_of : mapping of str to str
        Split by image.
    others : sequence of Outcome, optional
        Entries to append without counting them.

    Returns
    -------
    dict of str to int
        Number of images by reason.
    """
    failed = [outcome for outcome in outcomes if outcome.reason]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("image", "reason", "detail", "split"))
    writer.writerows(
        (outcome.image, outcome.reason, outcome.detail, split_of.get(outcome.image, ""))
        for outcome in (*failed, *others)
    )
    write_text(path, buffer.getvalue())
    return dict(sorted(collections.Counter(outcome.reason for outcome in failed).items()))


def count_dataset(
    scan: LayoutScan, prepared: Sequence[ManifestRow], failures: dict[str, int]
) -> dict[str, Any]:
    """Compute the counts for ``dataset.json``.

    Parameters
    ----------
    scan : LayoutScan
        What was found in the image folder.
    prepared : sequence of ManifestRow
        The manifest.
    failures : dict of str to int
        Number of images by reason.

    Returns
    -------
    dict
        Numbers of images found, prepared and failed; subjects (``persons``), identities and
        splits of the prepared images; notes; images outside the layout, with examples. Only where
        there are some: identities without a usable image, with examples (``without_images``), and
        the number of files that are not read by suffix (``not_read``).
    """
    images_of = collections.Counter(row.identity for row in prepared)
    lost = sorted({row.identity for row in scan.rows} - images_of.keys()) + scan.without_images
    notes = collections.Counter(row.note for row in prepared if row.note)
    counts: dict[str, Any] = {
        "images": len(scan.rows),
        "prepared": len(prepared),
        "failed": sum(failures.values()),
        "failures": failures,
        "persons": len({row.subject for row in prepared}),
        "identities": len(images_of),
        "identities_with_one_image": sum(n == 1 for n in images_of.values()),
        "notes": dict(sorted(notes.items())),
        "splits": {split: _count_split(prepared, split) for split in SPLITS},
        "outside_layout": {
            "images": len(scan.unmatched),
            "examples": scan.unmatched[:_MAX_EXAMPLES],
        },
    }
    if lost:
        counts["without_images"] = {"identities": len(lost), "examples": lost[:_MAX_EXAMPLES]}
    if scan.unread:
        counts["not_read"] = count_kinds(scan.unread)
    return counts


def _count_split(prepared: Sequence[ManifestRow], split: str) -> dict[str, int]:
    rows = [row for row in prepared if row.split == split]
    return {
        "images": len(rows),
        "identities": len({row.identity for row in rows}),
        "persons": len({row.subject for row in rows}),
    }
