"""The tables of a dataset folder: failures and counts."""

import collections
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iris_tf.config.names import SPLITS
from iris_tf.data.layouts import LayoutScan
from iris_tf.data.manifest import ManifestRow
from iris_tf.preparation.journal import Outcome
from iris_tf.support.files import write_text

_MAX_EXAMPLES = 10  # of images outside the layout


def write_failures(path: Path, outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Write the failures among the outcomes as CSV (image, reason, detail).

    Parameters
    ----------
    path : Path
        Of ``failures.csv``.
    outcomes : sequence of Outcome
        Of all images.

    Returns
    -------
    dict of str to int
        Number of images by reason.
    """
    failed = [outcome for outcome in outcomes if outcome.reason]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("image", "reason", "detail"))
    writer.writerows((outcome.image, outcome.reason, outcome.detail) for outcome in failed)
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
        splits of the prepared images; notes; images outside the layout, with examples.
    """
    images_of = collections.Counter(row.identity for row in prepared)
    notes = collections.Counter(row.note for row in prepared if row.note)
    return {
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


def _count_split(prepared: Sequence[ManifestRow], split: str) -> dict[str, int]:
    rows = [row for row in prepared if row.split == split]
    return {
        "images": len(rows),
        "identities": len({row.identity for row in rows}),
        "persons": len({row.subject for row in rows}),
    }
