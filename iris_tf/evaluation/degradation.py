"""Robustness: the same eyes with degraded images or degraded segmentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import joblib
import numpy as np

from iris_tf.config.names import NO_SEGMENTER
from iris_tf.data.manifest import ManifestRow, read_settings, write_manifest
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import read_eye, write_png
from iris_tf.preparation.dataset_tables import write_failures
from iris_tf.preparation.extraction import Extraction, worker_segmenter
from iris_tf.preparation.journal import Outcome
from iris_tf.preparation.source_images import SourceImages
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye, segmenter_by_name
from iris_tf.support.errors import DatasetError, ExtractionError
from iris_tf.support.files import real_path, write_json
from iris_tf.support.parallel import one_opencv_thread, run_in_processes
from iris_tf.support.progress import StageProgress
from iris_tf.synthetic.degradations import reduce_contrast

_BLUR = 1.5  # sigma in pixels
_SMALL = 90.0  # iris diameter in pixels
_JITTER = 0.04  # of a radius
_COVERED = 0.4  # of the iris's height, from the top
_CHUNK = 16


@dataclass(frozen=True)
class Degradation:
    """One way to degrade an image or its segmentation.

    Attributes
    ----------
    image : callable
        ``image(pixels, iris_diameter) -> pixels``, uint8 in and out; the diameter in
        pixels, as found in the original image.
    eye : callable
        ``eye(segmented, rng) -> segmented``, applied after the degraded image was segmented.
    """

    image: Callable[[np.ndarray, float], np.ndarray] = lambda pixels, _: pixels
    eye: Callable[[SegmentedEye, np.random.Generator], SegmentedEye] = lambda eye, _: eye


def blur(pixels: np.ndarray, iris_diameter: float) -> np.ndarray:
    """Blur with a Gaussian of sigma 1.5 pixels."""
    return cv2.GaussianBlur(pixels, (0, 0), _BLUR)


def shrink(pixels: np.ndarray, iris_diameter: float) -> np.ndarray:
    """Downsample the image so that the iris is 90 pixels wide; smaller irises are unchanged."""
    factor = min(_SMALL / iris_diameter, 1.0)
    height, width = (round(factor * side) for side in pixels.shape)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def jitter_outlines(eye: SegmentedEye, rng: np.random.Generator) -> SegmentedEye:
    """Make the radii of pupil and limbus, independently, 4 % too large or too small."""
    pupil, iris = (
        _scaled(outline, 1.0 + _JITTER * rng.choice((-1.0, 1.0)))
        for outline in (eye.pupil, eye.iris)
    )
    # A segmenter that places the limbus too far out takes the added area for visible iris.
    wider = iris.mask(eye.visible.shape) & ~eye.iris.mask(eye.visible.shape)
    inner = eye.pupil.mask(eye.visible.shape) & ~pupil.mask(eye.visible.shape)
    visible = (eye.visible | wider | inner) & iris.mask(eye.visible.shape)
    if eye.opening is not None:
        visible &= eye.opening
    return replace(eye, pupil=pupil, iris=iris, visible=visible, iris_minus_pupil=None)


def cover_above(eye: SegmentedEye, rng: np.random.Generator) -> SegmentedEye:
    """Mask the upper 40 % of the iris, like an eyelid that the segmenter has found."""
    rows = np.arange(len(eye.visible))[:, None]
    limit = eye.iris.y - eye.iris.radius + 2 * _COVERED * eye.iris.radius
    return replace(eye, visible=eye.visible & (rows >= limit), iris_minus_pupil=None)


def _scaled(outline: Ellipse, factor: float) -> Ellipse:
    return replace(outline, a=outline.a * factor, b=outline.b * factor)


DEGRADATIONS = {
    "contrast 30 %": Degradation(image=lambda pixels, _: reduce_contrast(pixels)),
    "blur 1.5 px": Degradation(image=blur),
    "iris 90 px wide": Degradation(image=shrink),
    "radii off by 4 %": Degradation(eye=jitter_outlines),
    "upper 40 % covered": Degradation(eye=cover_above),
    "all together": Degradation(
        image=lambda pixels, diameter: reduce_contrast(blur(shrink(pixels, diameter), diameter)),
        eye=lambda eye, rng: cover_above(jitter_outlines(eye, rng), rng),
    ),
}


def degrade_dataset(manifest: str | Path, name: str, out: str | Path, jobs: int = -1) -> Path:
    """Crop all images of a prepared dataset again after one kind of degradation.

    Parameters
    ----------
    manifest : str or Path
        Made by `iris-tf prepare`; its images must not have been moved or changed.
    name : str
        Key of `DEGRADATIONS`.
    out : str or Path
        Folder for crops, ``manifest.csv``, ``failures.csv`` and ``dataset.json``.
    jobs : int, optional
        Processes; -1 for one per core.

    Returns
    -------
    Path
        The new manifest: same rows and splits, without the images that gave no crop.
        ``failures.csv`` beside it lists these, and those that gave none originally.

    Raises
    ------
    DatasetError
        If the manifest or its images cannot be used, its crops were cut by another version
        of the segmenter, or no image gave a crop.
    """
    prepared, out = PreparedSet.read(manifest), real_path(out)
    rows = prepared.rows
    settings = prepared.settings or read_settings(Path(manifest).with_name("dataset.json"))
    how = _same_extraction(manifest, settings, out)
    SourceImages(prepared.manifest.parent, settings).require(rows)
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    done: list[ManifestRow] = []
    failures = [
        Outcome(row.image, stamp="", reason=reason) for row, reason in prepared.failed or ()
    ]
    with StageProgress(f"Degrading: {name}", len(rows)) as progress:
        calls = (joblib.delayed(_crop_chunk)(chunk, how, name) for chunk in chunks)
        for chunk, outcomes in zip(chunks, run_in_processes(calls, jobs, out), strict=True):
            failures += [outcome for outcome in outcomes if outcome.reason]
            done += [row for row, found in zip(chunk, outcomes, strict=True) if not found.reason]
            progress.advance(len(chunk))
    if not done:
        raise DatasetError(f"{manifest}: no image gave a crop with {name}; check its images.")
    write_manifest(out / "manifest.csv", done)
    everyone = [*rows, *(row for row, _ in prepared.failed or ())]
    split_of = {row.image: row.split for row in everyone}
    counts = {"failures": write_failures(out / "failures.csv", failures, split_of)}
    description = {"settings": settings | {"degradation": name}, "name": rows[0].dataset}
    write_json(out / "dataset.json", {"complete": True, "counts": counts, **description})
    return out / "manifest.csv"


def _same_extraction(manifest: str | Path, settings: dict, out: Path) -> Extraction:
    """How the crops were cut; raises if that was another version of the segmenter."""
    if settings["segmenter"] == NO_SEGMENTER:
        raise DatasetError(
            f"{manifest}: its crops were made without a segmenter, so there is no iris to degrade; "
            "prepare eye images with a segmenter."
        )
    segmenter = segmenter_by_name(settings["segmenter"])
    wanted = settings.get("segmenter_version", segmenter.version)
    if segmenter.version != wanted:
        raise DatasetError(
            f"{manifest}: the crops were cut by version {wanted} of the segmenter "
            f"{segmenter.name!r}, but this is {segmenter.version}; prepare the dataset again."
        )
    images = Path(settings["images"])
    return Extraction(images, out, settings["roi_mode"], settings["segmenter"], None, wanted)


def _crop_chunk(rows: Sequence[ManifestRow], how: Extraction, name: str) -> list[Outcome]:
    """Crop some images; an outcome without a reason is a success."""
    degradation, segment = DEGRADATIONS[name], worker_segmenter(how)
    outcomes = []
    with one_opencv_thread():
        for row in rows:
            # The same errors in every run, independent of the order of the images.
            rng = np.random.default_rng(list(row.image.encode()))
            assert row.iris is not None  # degraded datasets are of eyes
            try:
                pixels = read_eye(how.images / row.image).pixels
                pixels = degradation.image(pixels, row.iris.limbus.a + row.iris.limbus.b)
                eye = degradation.eye(segment(pixels), rng)
                write_png(how.out / row.roi, crop_roi(pixels, eye, how.roi_mode))
                outcomes.append(Outcome(row.image, stamp=""))
            except ExtractionError as error:
                outcomes.append(
                    Outcome(row.image, stamp="", reason=error.reason.value, detail=str(error))
                )
    return outcomes
