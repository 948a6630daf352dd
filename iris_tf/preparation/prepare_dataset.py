"""Dataset construction: from a folder of images to ROI crops and a manifest.

``out/`` then holds:

- ``manifest.csv``: one row per image that yielded a crop (see `ManifestRow`);
- ``roi/``: the crops at native size, PNG, under the names of their images, including those of
  images rejected by a quality limit, in case it changes;
- ``segmentation/``: the visible iris of each image, from which `other_roi_modes` cuts other crops;
- ``failures.csv``: image, reason (see `FailureReason`) and detail of the others;
- ``contact_sheet.html`` and ``overlays/``: a page of thumbnails with outlines;
- ``dataset.json``: settings and counts, and whether the run is complete;
- ``.journal/``: the outcome of each image, from which an interrupted run resumes.
"""

import collections
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from iris_tf.config.names import (
    BY_SUBJECT,
    CHANNELS,
    DEFAULT_SEGMENTER,
    IDENTITIES,
    NO_SEGMENTER,
    SPLIT_BY_ALIASES,
    SPLITS,
)
from iris_tf.data.image_listing import count_kinds
from iris_tf.data.iris_record import IrisRecord
from iris_tf.data.layouts import AUTO, LayoutScan, dataset_name, read_layout
from iris_tf.data.manifest import ManifestRow, read_manifest, write_manifest
from iris_tf.data.split_file import split_by_table
from iris_tf.data.splits import split_rows
from iris_tf.preparation import contact_sheet
from iris_tf.preparation.choices import (
    check_apart,
    check_choices,
    check_identities,
    check_mirroring,
    check_sides,
    check_split,
    segmenter_version,
)
from iris_tf.preparation.dataset_description import (
    IDENTITIES_BY,
    MIRROR_LEFT,
    SPLIT_TABLE,
    is_complete,
    read_description,
)
from iris_tf.preparation.dataset_hints import dataset_hints
from iris_tf.preparation.dataset_tables import count_dataset, not_read, write_failures
from iris_tf.preparation.duplicates import mark_duplicates
from iris_tf.preparation.extraction import Extraction, Task, extract_all
from iris_tf.preparation.file_stamps import file_stamp, is_unchanged
from iris_tf.preparation.journal import Journal, Outcome
from iris_tf.preparation.kept_segmentation import mask_path
from iris_tf.preparation.leftovers import remove_leftovers
from iris_tf.preparation.mixed_channels import refuse_mixed_channels
from iris_tf.preparation.overlay import overlay_path
from iris_tf.preparation.quality_rules import rejection
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import is_there, path_given, real_path, sha256, sole_user, write_json
from iris_tf.support.parallel import check_jobs
from iris_tf.support.progress import StageProgress
from iris_tf.synthetic.ground_truth import SYNTHESIS_FILE

_TABLES = ("manifest.csv", "failures.csv", contact_sheet.NAME)


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
        The layout that was given or detected.
    failures : dict of str to int
        Number of images by `FailureReason`.
    counts : dict
        The counts of ``dataset.json``: images found, prepared and failed,
        identities, subjects (``persons``), splits, notes and images outside the layout.
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
    segmenter: str = DEFAULT_SEGMENTER,
    roi_mode: str = "algorithm1",
    split_by: str = "subject",
    seed: int = 0,
    jobs: int = -1,
    *,
    split: str | Path | None = None,
    channels: int | None = None,
    mirror_left: bool = False,
    identities: str = IDENTITIES[0],
    segmenter_model: str | Path | None = None,
    min_quality: Mapping[str, float] | None = None,
    scheduler: str | None = None,
) -> PreparedDataset:
    """Crop a folder of images and split them into train, val and test.

    An image that yields no crop is counted with its reason and never stops the run. Of
    images with the same bytes or the same pixels the first (by path) is kept, because a copy
    compared with itself would be a perfect genuine score. Splits are drawn over all subjects (or
    identities) of the folder before any image fails, so the splits of a folder do not depend on
    segmenter or ROI mode.

    A repeated call resumes an interrupted run; the manifest is byte for byte that of an
    uninterrupted one, for any `jobs`. A complete run returns at once while the image files are
    unchanged; after a change, only the changed images are processed. New quality limits are
    applied to the recorded figures, without processing the images again.

    Parameters
    ----------
    images : str or Path
        Folder of images; never written to.
    out : str or Path
        Dataset folder: new, empty, or of an earlier run with the same settings.
    layout : str
        See `iris_tf.data.layouts.LAYOUTS`.
    segmenter : str
        See `iris_tf.segmentation.segmenter.SEGMENTERS`; ``"none"`` for ROI modes that need no
        iris, e.g. for aligned faces.
    roi_mode : {"algorithm1", "aligned", "unrolled", "whole", "center"}
        How to crop (see `iris_tf.segmentation.roi_modes`). The last two require the segmenter
        ``"none"``; the others require any other segmenter.
    split_by : {"subject", "identity", "image"}
        The groups that splits keep together; ``"identity"`` is the choice of the paper. With
        ``"image"``, which needs a table, the same identities are trained on and tested.
    seed : int
        Of the split.
    jobs : int
        Processes, at least 1; -1 for one per core.
    split : str or Path, optional
        Table of splits, instead of drawing them; see `iris_tf.data.split_file.split_by_table`.
    channels : {1, 3}, optional
        1 for grey crops, to which colour images are converted; 3 for colour, in which a grey
        image gets three equal channels. Conversions are noted in the manifest and counted. None
        for grey crops, too, but without a segmenter not of grey and colour images together.
    mirror_left : bool
        Whether to mirror the crops of left eyes left to right, so that the inner corner of all eyes
        is on the same side, as periocular recognition may want. Models then need mirrored crops of
        left eyes in use, too. Only without a segmenter.
    identities : {"eye", "subject"}
        Whether the two eyes of a subject are two identities or one, as periocular recognition may
        want with `mirror_left`; one only without a segmenter.
    segmenter_model : str or Path, optional
        File with the segmenter's network, for those that have one; None for its default.
    min_quality : mapping of str to float, optional
        Minimum by quality figure (see `quality_rules.MAXIMA`); an image below one fails as
        ``low_quality``, or ``low_confidence`` where its confidence is too low.
    scheduler : str, optional
        Address ``tcp://host:port`` of a ``dask.distributed`` scheduler, whose workers are used
        instead of processes on this machine. They must see `images`, `out` and
        `segmenter_model` under the same paths.

    Returns
    -------
    PreparedDataset

    Raises
    ------
    DatasetError
        For an unusable folder, layout or choice; or if `out` holds other data, a worker process
        is killed, a cluster cannot be used, no image yields a crop, or a split stays empty; or if
        the images are grey and in colour and `channels` does not say what crops are to be.
    ModelError
        If the segmenter's network cannot be used.
    InUseError
        If another process is preparing `out`.
    OSError
        If `out` cannot be written, e.g. on a full disk; run again to resume.
    """
    images, out = path_given(images, "The image folder"), path_given(out, "The dataset folder")
    check_choices(segmenter, roi_mode, split_by, channels, min_quality)
    check_split(split_by, split is not None)
    check_mirroring(mirror_left, segmenter)
    check_identities(identities, segmenter)
    check_jobs(jobs, scheduler)
    split_by = SPLIT_BY_ALIASES.get(split_by, split_by)
    limits = dict(sorted((min_quality or {}).items()))
    model = None
    if segmenter_model is not None:
        model = real_path(path_given(segmenter_model, "The segmenter's network"))
    if split is not None:
        split = path_given(split, "The table of splits")
    # Invalid arguments should fail before any work.
    version = segmenter_version(segmenter, model)
    check_apart(images, out)
    scan = read_layout(images, layout)
    if identities == BY_SUBJECT and split_by == "identity":
        split_by = "subject"  # the same, but identities are those of eyes until splits are known
    rows = _with_roi_paths(
        split_rows(scan.rows, split_by, seed)
        if split is None
        else split_by_table(scan.rows, split, split_by)
    )
    if identities == BY_SUBJECT:
        rows = [replace(row, identity=row.subject) for row in rows]
    crop_channels = channels or CHANNELS[0]
    settings = {
        "images": str(real_path(images)),
        "layout": scan.name,
        "segmenter": segmenter,
        "segmenter_version": version,
        "roi_mode": roi_mode,
        "channels": crop_channels,
        "split_by": split_by,
        "seed": seed,
        "min_quality": limits,
        # Results on synthetic eyes are labelled as such wherever they appear.
        "synthetic": (images / SYNTHESIS_FILE).is_file(),
    }
    if split is not None:
        settings[SPLIT_TABLE] = sha256(split)
    if mirror_left:
        check_sides(scan.rows, images)
        settings[MIRROR_LEFT] = True
    if identities == BY_SUBJECT:
        settings[IDENTITIES_BY] = BY_SUBJECT
    stamps = {row.image: file_stamp(images / row.image) for row in rows}
    inputs = hashlib.sha256(json.dumps(stamps, sort_keys=True).encode()).hexdigest()

    description = read_description(out, settings)
    # Datasets of version 0.1 have the names of their layouts, which runs on them have copied.
    name = description.get("name", scan.name) if description else dataset_name(scan.name, images)
    rows = [replace(row, dataset=name) for row in rows]
    complete = is_complete(description, settings) and _is_whole(out)
    complete = complete and description["counts"].get("not_read", {}) == count_kinds(scan.unread)
    if complete and (description["inputs"] == inputs or _are_unchanged(out, images, stamps)):
        return _finished(out, description)
    how = Extraction(
        real_path(images), real_path(out), roi_mode, segmenter, model, version, crop_channels
    )
    with sole_user(out):
        started = {"name": name, "settings": settings}
        write_json(out / "dataset.json", {"complete": False, **started})
        for table in _TABLES:
            (out / table).unlink(missing_ok=True)  # the crops they list may change from here on

        earlier = Journal(out).read()
        outcomes = _still_valid(earlier, rows, images, stamps, out)
        todo = [
            Task(
                row.image,
                stamps[row.image],
                row.roi,
                overlay_path(row.roi),
                mirrored=mirror_left and row.eye == "L",
            )
            for row in rows
            if row.image not in outcomes
        ]
        stage = "Cropping images" if segmenter == NO_SEGMENTER else "Cropping irises"
        with StageProgress(stage, len(rows), done=len(outcomes)) as progress:
            failed = sum(bool(outcome.reason) for outcome in outcomes.values())
            for chunk in extract_all(todo, how, jobs, scheduler) if todo else ():
                outcomes.update((outcome.image, outcome) for outcome in chunk)
                failed += sum(bool(outcome.reason) for outcome in chunk)
                progress.advance(len(chunk), note=f"{failed} failed")
        in_order = [outcomes[row.image] for row in rows]
        if channels is None and segmenter == NO_SEGMENTER:
            refuse_mixed_channels(images, in_order)
        return _finish(out, started | {"inputs": inputs}, scan, rows, in_order, earlier)


def _with_roi_paths(rows: list[ManifestRow]) -> list[ManifestRow]:
    names = [row.image.rpartition(".")[0] for row in rows]
    # a.jpg and a.png of one folder would share a crop: those keep their suffix, and so does
    # a.jpg.png next to them. Full names are all different, so the loop ends.
    while shared := {name for name, n in collections.Counter(names).items() if n > 1}:
        names = [
            row.image if name in shared else name for row, name in zip(rows, names, strict=True)
        ]
    return [replace(row, roi=f"roi/{name}.png") for row, name in zip(rows, names, strict=True)]


def _is_whole(out: Path) -> bool:
    if not all(is_there(out / name) for name in _TABLES):
        return False
    return all(is_there(out / row.roi) for row in read_manifest(out / "manifest.csv"))


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


def _are_unchanged(out: Path, images: Path, stamps: dict[str, str]) -> bool:
    """Whether a finished dataset was made of these very files."""
    outcomes = Journal(out).read()
    return outcomes.keys() == stamps.keys() and all(
        is_unchanged(outcomes[image], images / image, stamp) for image, stamp in stamps.items()
    )


def _still_valid(
    outcomes: dict[str, Outcome],
    rows: list[ManifestRow],
    images: Path,
    stamps: dict[str, str],
    out: Path,
) -> dict[str, Outcome]:
    """Journal outcomes of unchanged images whose crop and thumbnail exist, with today's stamps."""
    current = [
        (row, replace(outcome, stamp=stamps[row.image]))
        for row in rows
        if (outcome := outcomes.get(row.image)) is not None
        and is_unchanged(outcome, images / row.image, stamps[row.image])
    ]
    # Crops of duplicates are not kept, so they are not required.
    marked = mark_duplicates([outcome for _, outcome in current])
    kept = {}
    for (row, outcome), mark in zip(current, marked, strict=True):
        needed = [] if mark.reason else [row.roi]
        if outcome.overlay:
            needed.append(overlay_path(row.roi))
        if all(is_there(out / path) for path in needed):
            kept[row.image] = outcome
    return kept


def _finish(
    out: Path,
    description: dict[str, Any],
    scan: LayoutScan,
    rows: list[ManifestRow],
    outcomes: list[Outcome],
    earlier: Iterable[str],
) -> PreparedDataset:
    """Write the tables; ``dataset.json`` last, because it declares the rest complete.

    `earlier` are the images that earlier runs have processed.
    """
    settings = description["settings"]
    marked = mark_duplicates(outcomes)
    limited = _apply_limits(marked, settings["min_quality"])
    prepared = [
        _with_results(row, outcome)
        for row, outcome in zip(rows, limited, strict=True)
        if not outcome.reason
    ]
    split_of = {row.image: row.split for row in rows}
    failures = write_failures(out / "failures.csv", limited, split_of, not_read(scan.unread))
    overlays = [overlay_path(row.roi) for row in rows]
    segmenter = None
    if settings["segmenter"] != NO_SEGMENTER:
        segmenter = f"{settings['segmenter']} {settings['segmenter_version']}"
    contact_sheet.write_contact_sheet(out, segmenter, limited, overlays)
    _check_survivors(out, prepared, rows, failures, segmenter is not None)
    crops = {row.roi for row, outcome in zip(rows, marked, strict=True) if not outcome.reason}
    thumbnails = {path for path, outcome in zip(overlays, outcomes, strict=True) if outcome.overlay}
    processed = {*earlier, *(row.image for row in rows)}
    kept = crops | set(map(mask_path, crops)) | thumbnails
    remove_leftovers(out, processed, kept, ("dataset.json", *_TABLES))
    _check_crops(out, crops)
    Journal(out).compact(outcomes)
    write_manifest(out / "manifest.csv", prepared)
    counts = count_dataset(scan, prepared, failures)
    if hints := dataset_hints(scan, outcomes, settings):
        counts["hints"] = hints
    description = description | {"complete": True, "counts": counts}
    write_json(out / "dataset.json", description)
    return _finished(out, description)


def _apply_limits(outcomes: list[Outcome], limits: Mapping[str, float]) -> list[Outcome]:
    limited = []
    for outcome in outcomes:
        if not outcome.reason and (rejected := rejection(outcome, limits)) is not None:
            outcome = replace(outcome, reason=rejected[0], detail=rejected[1])
        limited.append(outcome)
    return limited


def _with_results(row: ManifestRow, outcome: Outcome) -> ManifestRow:
    if outcome.quality is None or outcome.pupil is None or outcome.iris is None:
        return replace(row, note=outcome.note)
    iris = IrisRecord(
        outcome.pupil, outcome.iris, outcome.visible, outcome.confidence, **asdict(outcome.quality)
    )
    return replace(row, note=outcome.note, iris=iris)


def _check_survivors(
    out: Path,
    prepared: list[ManifestRow],
    rows: list[ManifestRow],
    failures: dict[str, int],
    of_eyes: bool,
) -> None:
    reasons = ", ".join(f"{n} {reason}" for reason, n in failures.items())
    if not prepared:
        hint = ", and check that these are near-infrared close-ups of eyes" if of_eyes else ""
        raise DatasetError(
            f"{out}: none of the {len(rows)} images yielded a crop ({reasons}); see failures.csv "
            f"there{hint}."
        )
    wanted, found = ({row.split for row in some} for some in (rows, prepared))
    empty = [split for split in SPLITS if split in wanted - found]
    if empty:
        raise DatasetError(
            f"{out}: no image of the split {_listed(empty)} yielded a crop ({reasons}); "
            "add images, or choose another seed and folder."
        )


def _check_crops(out: Path, crops: Iterable[str]) -> None:
    missing = sorted(path for path in crops if not is_there(out / path))
    if missing:
        raise DatasetError(
            f"{out / missing[0]}: this crop, one of {len(missing)}, was removed while `prepare` "
            "was running; run it again to make them."
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
