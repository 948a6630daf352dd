"""The same eyes, photographed or segmented worse: how much a model bears."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import joblib
import numpy as np

from iris_tf.config.names import NO_SEGMENTER
from iris_tf.data.manifest import ManifestRow, read_manifest, read_settings, write_manifest
from iris_tf.evaluation.failures import failed_images
from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import read_eye, write_png
from iris_tf.preparation.dataset_tables import write_failures
from iris_tf.preparation.extraction import Extraction, worker_segmenter
from iris_tf.preparation.journal import Outcome
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye, segmenter_by_name
from iris_tf.support.errors import DatasetError, ExtractionError
from iris_tf.support.files import write_json
from iris_tf.support.parallel import one_opencv_thread, run_in_processes
from iris_tf.support.progress import StageProgress

_CONTRAST = 0.3
_BLUR = 1.5  # sigma in pixels
_SMALL = 90.0  # iris diameter in pixels
_JITTER = 0.04  # of a radius
_COVERED = 0.4  # of the iris's height, from above
_CHUNK = 16


@dataclass(frozen=True)
class Degradation:
    """One way to make an image or its segmentation worse.

    Attributes
    ----------
    image : callable
        ``image(pixels, iris_diameter) -> pixels``, uint8 in and out; the diameter in
        pixels, as it was found on the image as it is.
    eye : callable
        ``eye(segmented, rng) -> segmented``, after the degraded image was segmented.
    """

    image: Callable[[np.ndarray, float], np.ndarray] = lambda pixels, _: pixels
    eye: Callable[[SegmentedEye, np.random.Generator], SegmentedEye] = lambda eye, _: eye


def reduce_contrast(pixels: np.ndarray, iris_diameter: float) -> np.ndarray:
    """Press all grey levels to 30 % of their distance from the mean, in 8 bits."""
    mean = pixels.mean()
    return np.round(mean + _CONTRAST * (pixels - mean)).astype(np.uint8)


def blur(pixels: np.ndarray, iris_diameter: float) -> np.ndarray:
    """Blur with a Gaussian of sigma 1.5 pixels."""
    return cv2.GaussianBlur(pixels, (0, 0), _BLUR)


def shrink(pixels: np.ndarray, iris_diameter: float) -> np.ndarray:
    """Resample the image so that the iris is 90 pixels wide; smaller ones stay."""
    factor = min(_SMALL / iris_diameter, 1.0)
    height, width = (round(factor * side) for side in pixels.shape)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def jitter_outlines(eye: SegmentedEye, rng: np.random.Generator) -> SegmentedEye:
    """Make the radius of pupil and limbus, each for itself, 4 % too large or too small."""
    pupil, iris = (
        _scaled(outline, 1.0 + _JITTER * rng.choice((-1.0, 1.0)))
        for outline in (eye.pupil, eye.iris)
    )
    # What a limbus too wide takes in looks visible to a segmenter that errs so.
    wider = iris.mask(eye.visible.shape) & ~eye.iris.mask(eye.visible.shape)
    inner = eye.pupil.mask(eye.visible.shape) & ~pupil.mask(eye.visible.shape)
    visible = (eye.visible | wider | inner) & iris.mask(eye.visible.shape)
    if eye.opening is not None:
        visible &= eye.opening
    return replace(eye, pupil=pupil, iris=iris, visible=visible, iris_minus_pupil=None)


def cover_above(eye: SegmentedEye, rng: np.random.Generator) -> SegmentedEye:
    """Hide the upper 40 % of the iris, as a lid that the segmenter has found."""
    rows = np.arange(len(eye.visible))[:, None]
    limit = eye.iris.y - eye.iris.radius + 2 * _COVERED * eye.iris.radius
    return replace(eye, visible=eye.visible & (rows >= limit), iris_minus_pupil=None)


def _scaled(outline: Ellipse, factor: float) -> Ellipse:
    return replace(outline, a=outline.a * factor, b=outline.b * factor)


DEGRADATIONS = {
    "contrast 30 %": Degradation(image=reduce_contrast),
    "blur 1.5 px": Degradation(image=blur),
    "iris 90 px wide": Degradation(image=shrink),
    "radii off by 4 %": Degradation(eye=jitter_outlines),
    "upper 40 % covered": Degradation(eye=cover_above),
    "all together": Degradation(
        image=lambda pixels, diameter: reduce_contrast(
            blur(shrink(pixels, diameter), diameter), diameter
        ),
        eye=lambda eye, rng: cover_above(jitter_outlines(eye, rng), rng),
    ),
}


def degrade_dataset(manifest: str | Path, name: str, out: str | Path, jobs: int = -1) -> Path:
    """Crop all images of a prepared dataset again, made worse in one way.

    Parameters
    ----------
    manifest : str or Path
        Of `iris-tf prepare`; its images must still be where they were.
    name : str
        Key of `DEGRADATIONS`.
    out : str or Path
        Folder for crops, ``manifest.csv``, ``failures.csv`` and ``dataset.json``.
    jobs : int, optional
        Processes; -1 for one a core.

    Returns
    -------
    Path
        The new manifest: same rows and splits, without the images that gave no crop.
        ``failures.csv`` beside it has these, and those that gave none as they are.

    Raises
    ------
    DatasetError
        When the manifest or its images cannot be used, its crops are of another version
        of the segmenter, or no image gave a crop.
    """
    rows = read_manifest(manifest)
    settings = read_settings(Path(manifest).with_name("dataset.json"))
    out = Path(out).resolve()
    how = _same_extraction(manifest, settings, out)
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    done: list[ManifestRow] = []
    failures = [
        Outcome(row.image, stamp="", reason=reason)
        for row, reason in failed_images(manifest, "all") or ()
    ]
    with StageProgress(f"Degrading: {name}", len(rows)) as progress:
        calls = (joblib.delayed(_crop_chunk)(chunk, how, name) for chunk in chunks)
        for chunk, outcomes in zip(chunks, run_in_processes(calls, jobs, out), strict=True):
            failures += [outcome for outcome in outcomes if outcome.reason]
            done += [row for row, found in zip(chunk, outcomes, strict=True) if not found.reason]
            progress.advance(len(chunk))
    if not done:
        raise DatasetError(f"{manifest}: no image gave a crop with {name}; check {manifest}.")
    write_manifest(out / "manifest.csv", done)
    counts = {"failures": write_failures(out / "failures.csv", failures)}
    settings = settings | {"degradation": name}
    write_json(out / "dataset.json", {"complete": True, "counts": counts, "settings": settings})
    return out / "manifest.csv"


def _same_extraction(manifest: str | Path, settings: dict, out: Path) -> Extraction:
    """How the crops were cut; refuses to compare the work of two segmenters."""
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
    """Crop some images; an outcome without a reason is a crop."""
    degradation, segment = DEGRADATIONS[name], worker_segmenter(how)
    outcomes = []
    with one_opencv_thread():
        for row in rows:
            # The same mistakes in every run, whatever the order of the images.
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
