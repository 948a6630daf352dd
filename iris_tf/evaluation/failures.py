"""Failures to extract, counted as errors: generalised rates of ISO/IEC 19795-1.

An image without a crop cannot be compared. The rates of a model are conditional on
extraction; a user of the whole system meets both kinds of error. So every comparison that
would have been made had all images given a crop counts as an attempt, and one of which
either image failed is neither a match nor a false match:

- GFRR = (genuine attempts - genuine matches) / genuine attempts;
- GFAR = false matches / impostor attempts.

Copies of an image (`FailureReason.DUPLICATE`) are no attempts.
"""

import collections
import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.data.layouts import parse_image
from iris_tf.data.manifest import ManifestRow, read_manifest, read_settings
from iris_tf.data.splits import split_rows
from iris_tf.metrics.counts import ScoreCounts, number_of_comparisons
from iris_tf.metrics.scores import label_images
from iris_tf.support.errors import EvaluationError, FailureReason


def failed_images(manifest: str | Path, split: str) -> list[tuple[ManifestRow, str]] | None:
    """Images of a split that gave no crop, with the reason.

    A failed image is of the split of its person or identity, also where none of its images
    gave a crop.

    Parameters
    ----------
    manifest : str or Path
        Manifest of a prepared dataset; ``failures.csv`` and ``dataset.json`` lie beside it.
    split : {"train", "val", "test", "all"}

    Returns
    -------
    list of (ManifestRow, str) or None
        None where there is no such file.

    Raises
    ------
    EvaluationError
        When ``failures.csv`` is no such table.
    """
    table, description = (Path(manifest).with_name(n) for n in ("failures.csv", "dataset.json"))
    if not (table.is_file() and description.is_file()):
        return None
    settings = read_settings(description)
    failed = []
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            for record in csv.DictReader(file):
                row = parse_image(record["image"], settings["layout"])
                if row is not None and record["reason"] != FailureReason.DUPLICATE:
                    failed.append((row, record["reason"]))
    except (KeyError, TypeError, UnicodeDecodeError, csv.Error):
        raise EvaluationError(
            f"{table}: is not a table of image, reason and detail; prepare the dataset again."
        ) from None
    if split == "all" or not failed:
        return failed
    prepared = read_manifest(manifest)
    by = settings["split_by"]
    kept = {_unit(row, by): row.split for row in prepared}
    # Units of which nothing is left are where the split of all images puts them.
    every = split_rows([*(row for row, _ in failed), *prepared], by, settings["seed"])
    return [
        (replace(row, split=split), reason)
        for (row, reason), placed in zip(failed, every, strict=False)
        if kept.get(_unit(row, by), placed.split) == split
    ]


def generalised_rates(
    rows: Sequence[ManifestRow],
    failed: Sequence[tuple[ManifestRow, str]],
    counts: ScoreCounts,
    thresholds: Mapping[str, float],
    protocol: str = "all-pairs",
) -> dict[str, Any]:
    """GFAR and GFRR at given thresholds.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Images that were compared.
    failed : sequence of (ManifestRow, str)
        Images that should have been, from `failed_images`.
    counts : ScoreCounts
        Scores of all comparisons of `rows`.
    thresholds : mapping of str to float
        Least accepted score by name of operating point.
    protocol : {"all-pairs", "same-eye", "across-datasets"}, optional
        See `label_images`.

    Returns
    -------
    dict
        ``failures`` (number by reason), ``failure_rate`` (share of all images),
        ``genuine_attempts``, ``impostor_attempts``, and ``points``: ``gfar`` and ``gfrr``
        by name of operating point.
    """
    labels = label_images([*rows, *(row for row, _ in failed)], protocol)
    images = len(rows) + len(failed)
    return _rates(failed, images, number_of_comparisons(labels), counts, thresholds)


def generalised_rates_of_pairs(
    images: int,
    failed: Sequence[tuple[ManifestRow, str]],
    genuine: np.ndarray,
    impostor: np.ndarray,
    counts: ScoreCounts,
    thresholds: Mapping[str, float],
) -> dict[str, Any]:
    """`generalised_rates` of listed comparisons.

    Parameters
    ----------
    images : int
        Number of images that could be compared.
    failed : sequence of (ManifestRow, str)
        Images that gave no crop, from `failed_images`, whether listed or not.
    genuine, impostor : ndarray of shape (n, 2), int
        All listed comparisons; indices from `images` on are of `failed`.
    counts : ScoreCounts
        Scores of the comparisons that could be made.
    thresholds : mapping of str to float
        Least accepted score by name of operating point.

    Returns
    -------
    dict
        As `generalised_rates`; failures are counted among the images that are listed.
    """
    listed = np.unique(np.concatenate([genuine, impostor]))
    listed_failed = [failed[i - images] for i in listed if i >= images]
    attempts = len(genuine), len(impostor)
    return _rates(listed_failed, len(listed), attempts, counts, thresholds)


def _rates(
    failed: Sequence[tuple[ManifestRow, str]],
    images: int,
    attempts: tuple[int, int],
    counts: ScoreCounts,
    thresholds: Mapping[str, float],
) -> dict[str, Any]:
    genuine, impostor = attempts
    points = {}
    for name, threshold in thresholds.items():
        accepted = counts.levels >= threshold
        points[name] = {
            "gfar": int(counts.impostor[accepted].sum()) / impostor,
            "gfrr": 1.0 - int(counts.genuine[accepted].sum()) / genuine,
        }
    return {
        "failures": dict(sorted(collections.Counter(reason for _, reason in failed).items())),
        "failure_rate": len(failed) / images,
        "genuine_attempts": genuine,
        "impostor_attempts": impostor,
        "points": points,
    }


def _unit(row: ManifestRow, by: str) -> tuple[str, str]:
    return row.dataset, row.subject if by == "subject" else row.identity
