"""Dataset construction: from a folder of eye images to ROI crops and a manifest.

``out/`` then holds:

- ``manifest.csv``: one row an image that gave a crop (see `ManifestRow`);
- ``roi/``: the crops at native size, PNG, under the names of their images;
- ``failures.csv``: image, reason (see `FailureReason`) and detail of the rest;
- ``dataset.json``: settings and counts, and whether the run is complete;
- ``.journal/``: what became of each image, from which an interrupted run goes on.
"""

import collections
import csv
import hashlib
import io
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iris_tf.datasets.layouts import AUTO, LayoutScan, read_layout
from iris_tf.datasets.manifest import SPLITS, ManifestRow, read_manifest, write_manifest
from iris_tf.datasets.splits import split_rows
from iris_tf.datasets.synthetic.truth import SYNTHESIS_FILE
from iris_tf.errors import DatasetError, FailureReason
from iris_tf.files import write_json, write_text
from iris_tf.parallel import check_jobs
from iris_tf.progress import StageProgress
from iris_tf.segmentation.extraction import Task, extract_all
from iris_tf.segmentation.journal import Journal, Outcome
from iris_tf.segmentation.roi import ROI_MODES
from iris_tf.segmentation.segmenter import segmenter_by_name

_MAX_EXAMPLES = 10  # of images outside the layout, named in dataset.json


@dataclass(frozen=True)
class PreparedDataset:
    """A finished dataset folder.

    Attributes
    ----------
    folder : Path
        The dataset folder; `ManifestRow.roi` is relative to it.
    manifest : Path
        ``folder/manifest.csv``.
    rows : list of ManifestRow
        What the manifest holds.
    layout : str
        The layout that was given or found.
    failures : dict of str to int
        Number of images by `FailureReason`.
    counts : dict
        The counts of ``dataset.json``: images found, prepared and failed,
        identities, persons, splits, notes and images outside the layout.
    """

    folder: Path
    manifest: Path
    rows: list[ManifestRow]
    layout: str
    failures: dict[str, int]
    counts: dict[str, Any]


def prepare(
    images: str | Path,
    out: str | Path,
    layout: str = AUTO,
    segmenter: str = "opencv",
    roi_mode: str = "algorithm1",
    split_by: str = "person",
    seed: int = 0,
    jobs: int = -1,
) -> PreparedDataset:
    """Segment and crop a folder of eye images and split them into train, val and test.

    An image that gives no crop is counted with its reason and never stops the
    run; of byte-identical images the first (by path) is kept, because a copy
    compared with itself would be a perfect genuine score. Splits are made over
    all persons (or identities) of the folder before any image fails, so that
    the same folder gives the same splits whatever the segmenter and ROI mode.

    An interrupted run goes on where it was when called again, and its manifest
    is byte for byte that of an uninterrupted one, whatever `jobs`. A finished
    one returns at once while the image files are unchanged; after a change,
    only the changed images are processed.

    Parameters
    ----------
    images : str or Path
        Folder of eye images; never written to.
    out : str or Path
        Dataset folder, new, empty, or of an earlier run with the same settings.
    layout : str
        See `iris_tf.datasets.layouts.LAYOUTS`.
    segmenter : str
        See `iris_tf.segmentation.segmenter.SEGMENTERS`.
    roi_mode : {"algorithm1", "aligned", "unrolled"}
        How to crop.
    split_by : {"person", "identity"}
        What a split keeps together; ``"identity"`` is the paper's choice.
    seed : int
        Of the split.
    jobs : int
        Processes, at least 1; -1 for one a core.

    Returns
    -------
    PreparedDataset

    Raises
    ------
    DatasetError
        For a folder, layout or choice that cannot be used, when `out` holds
        something else, when a worker process is killed, when no image gives a
        crop, or when a split stays empty.
    OSError
        When `out` cannot be written, e.g. on a full disk; run again to go on.
    """
    images, out = Path(images), Path(out)
    if roi_mode not in ROI_MODES:
        raise DatasetError(f"ROI mode {roi_mode!r} is unknown; choose one of {_listed(ROI_MODES)}.")
    check_jobs(jobs)
    segmenter_by_name(segmenter)  # an unknown one should fail before any work
    _check_apart(images, out)
    scan = read_layout(images, layout)
    rows = _with_roi_paths(split_rows(scan.rows, split_by, seed))
    settings = {
        "images": str(images.resolve()),
        "layout": scan.name,
        "segmenter": segmenter,
        "roi_mode": roi_mode,
        "split_by": split_by,
        "seed": seed,
        # Results on generated eyes are labelled as such wherever they are shown.
        "synthetic": (images / SYNTHESIS_FILE).is_file(),
    }
    stamps = {row.image: _stamp(images / row.image) for row in rows}
    inputs = hashlib.sha256(json.dumps(stamps, sort_keys=True).encode()).hexdigest()

    description = _read_description(out, settings)
    if description.get("complete") and description.get("inputs") == inputs and _is_whole(out):
        return _finished(out, description)
    write_json(out / "dataset.json", {"complete": False, "settings": settings})
    for name in ("manifest.csv", "failures.csv"):
        (out / name).unlink(missing_ok=True)  # crops may now change under them

    journal = Journal(out)
    outcomes = _still_true(journal.read(), rows, stamps, out)
    todo = [
        Task(row.image, stamps[row.image], row.roi) for row in rows if row.image not in outcomes
    ]
    with StageProgress("Cropping irises", len(rows), done=len(outcomes)) as progress:
        failed = sum(bool(outcome.reason) for outcome in outcomes.values())
        for chunk in extract_all(todo, images, out, segmenter, roi_mode, jobs):
            outcomes.update((outcome.image, outcome) for outcome in chunk)
            failed += sum(bool(outcome.reason) for outcome in chunk)
            progress.advance(len(chunk), note=f"{failed} failed")
    return _finish(out, settings, inputs, scan, rows, [outcomes[row.image] for row in rows])


def _check_apart(images: Path, out: Path) -> None:
    if out.resolve().is_relative_to(images.resolve()):
        raise DatasetError(
            f"{out}: the dataset folder lies inside the image folder, where its crops would be "
            "taken for eye images; choose one outside."
        )


def _with_roi_paths(rows: list[ManifestRow]) -> list[ManifestRow]:
    stems = [row.image.rpartition(".")[0] for row in rows]
    # a.jpg and a.png of one folder would share a crop: those keep their suffix.
    shared = {stem for stem, n in collections.Counter(stems).items() if n > 1}
    return [
        replace(row, roi=f"roi/{row.image if stem in shared else stem}.png")
        for row, stem in zip(rows, stems, strict=True)
    ]


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"  # a dangling link; reading will count it as unreadable
    return f"{status.st_size} {status.st_mtime_ns}"


def _read_description(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """``dataset.json`` of an earlier run with the same settings, or ``{}`` for a new folder."""
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out}: this is a file; choose a folder for the dataset.")
    path = out / "dataset.json"
    if not path.exists():
        # Hidden files are what a killed run or a file manager leaves behind.
        if out.exists() and any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise DatasetError(
                f"{out}: this folder holds other files than a dataset; choose a new or empty one."
            )
        return {}
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        earlier = description["settings"]
        differing = [name for name in settings if earlier.get(name) != settings[name]]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DatasetError(
            f"{path}: this was not written by `iris-tf prepare`; choose another folder."
        ) from None
    if differing:
        changes = "; ".join(f"{n} {earlier.get(n)!r} and not {settings[n]!r}" for n in differing)
        raise DatasetError(
            f"{out}: this folder holds a dataset of other settings ({changes}); "
            "choose another folder, or delete this one."
        )
    return description


def _is_whole(out: Path) -> bool:
    if not (out / "failures.csv").is_file() or not (out / "manifest.csv").is_file():
        return False
    return all(_is_there(out / row.roi) for row in read_manifest(out / "manifest.csv"))


def _is_there(crop: Path) -> bool:
    # A power cut can leave a name without its bytes.
    return crop.is_file() and crop.stat().st_size > 0


def _finished(out: Path, description: dict[str, Any]) -> PreparedDataset:
    counts = description["counts"]
    return PreparedDataset(
        folder=out,
        manifest=out / "manifest.csv",
        # Read back, so that a fresh run and a later call give the same decimals.
        rows=read_manifest(out / "manifest.csv"),
        layout=description["settings"]["layout"],
        failures=counts["failures"],
        counts=counts,
    )


def _still_true(
    outcomes: dict[str, Outcome], rows: list[ManifestRow], stamps: dict[str, str], out: Path
) -> dict[str, Outcome]:
    """The journal's outcomes of unchanged images whose crop is there."""
    kept = {}
    for row in rows:
        outcome = outcomes.get(row.image)
        if outcome is None or outcome.stamp != stamps[row.image]:
            continue
        if outcome.reason or _is_there(out / row.roi):
            kept[row.image] = outcome
    return kept


def _finish(
    out: Path,
    settings: dict[str, Any],
    inputs: str,
    scan: LayoutScan,
    rows: list[ManifestRow],
    outcomes: list[Outcome],
) -> PreparedDataset:
    """Write the tables; ``dataset.json`` last, because it declares the rest complete."""
    outcomes_with_duplicates = _mark_duplicates(outcomes)
    prepared = [
        replace(row, note=outcome.note).with_geometry(outcome.pupil, outcome.iris, outcome.visible)
        for row, outcome in zip(rows, outcomes_with_duplicates, strict=True)
        if not outcome.reason
    ]
    failed = [outcome for outcome in outcomes_with_duplicates if outcome.reason]
    failures = dict(sorted(collections.Counter(o.reason for o in failed).items()))
    _write_failures(out / "failures.csv", failed)
    _check_survivors(out, prepared, len(rows), failures)
    _remove_leftovers(out, {row.roi for row in prepared})
    Journal(out).compact(outcomes)
    write_manifest(out / "manifest.csv", prepared)
    counts = _counts(scan, prepared, failures)
    description = {"complete": True, "settings": settings, "inputs": inputs, "counts": counts}
    write_json(out / "dataset.json", description)
    return _finished(out, description)


def _mark_duplicates(outcomes: list[Outcome]) -> list[Outcome]:
    first: dict[str, str] = {}
    marked = []
    for outcome in outcomes:
        if not outcome.reason and (original := first.setdefault(outcome.sha256, outcome.image)) != (
            outcome.image
        ):
            outcome = replace(
                outcome,
                reason=str(FailureReason.DUPLICATE),
                detail=f"The file has the same bytes as {original}.",
            )
        marked.append(outcome)
    return marked


def _write_failures(path: Path, failed: list[Outcome]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("image", "reason", "detail"))
    writer.writerows((outcome.image, outcome.reason, outcome.detail) for outcome in failed)
    write_text(path, buffer.getvalue())


def _check_survivors(
    out: Path, prepared: list[ManifestRow], found: int, failures: dict[str, int]
) -> None:
    reasons = ", ".join(f"{n} {reason}" for reason, n in failures.items())
    if not prepared:
        raise DatasetError(
            f"{out}: none of the {found} images gave a crop ({reasons}); see failures.csv there, "
            "and check that these are near-infrared close-ups of eyes."
        )
    empty = [split for split in SPLITS if not any(row.split == split for row in prepared)]
    if empty:
        raise DatasetError(
            f"{out}: no image of the split {_listed(empty)} gave a crop ({reasons}); "
            "add images, or choose another seed and folder."
        )


def _remove_leftovers(out: Path, crops: set[str]) -> None:
    """Remove all other crops, and what killed writers left behind."""
    for current, _, files in os.walk(out / "roi"):
        for name in files:
            path = Path(current, name)
            if path.relative_to(out).as_posix() not in crops:
                path.unlink()
    for name in ("dataset.json", "manifest.csv", "failures.csv"):
        for path in out.glob(f".{name}.*"):
            path.unlink()


def _counts(
    scan: LayoutScan, prepared: list[ManifestRow], failures: dict[str, int]
) -> dict[str, Any]:
    images_of = collections.Counter(row.identity for row in prepared)
    failed = sum(failures.values())
    return {
        "images": len(scan.rows),
        "prepared": len(prepared),
        "failed": failed,
        "failures": failures,
        "persons": len({row.subject for row in prepared}),
        "identities": len(images_of),
        "identities_with_one_image": sum(n == 1 for n in images_of.values()),
        "notes": dict(sorted(collections.Counter(r.note for r in prepared if r.note).items())),
        "splits": {split: _split_counts(prepared, split) for split in SPLITS},
        "outside_layout": {
            "images": len(scan.unmatched),
            "examples": scan.unmatched[:_MAX_EXAMPLES],
        },
    }


def _split_counts(prepared: list[ManifestRow], split: str) -> dict[str, int]:
    rows = [row for row in prepared if row.split == split]
    return {
        "images": len(rows),
        "identities": len({row.identity for row in rows}),
        "persons": len({row.subject for row in rows}),
    }


def _listed(names) -> str:
    return ", ".join(names)
