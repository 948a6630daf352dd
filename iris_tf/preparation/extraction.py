"""Reads, segments and crops all images of a dataset in worker processes."""

import hashlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import joblib
import numpy as np

from iris_tf.config.names import NO_SEGMENTER
from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import DecodedImage, to_grey, write_png
from iris_tf.preparation.journal import Journal, Outcome
from iris_tf.preparation.kept_segmentation import mask_path, write_masks
from iris_tf.preparation.overlay import draw_overlay
from iris_tf.preparation.steps import CropSteps, crop_steps
from iris_tf.segmentation.quality import IrisQuality, iris_quality
from iris_tf.segmentation.segmenter import SegmentedEye, Segmenter, segmenter_by_name
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason
from iris_tf.support.files import sha256, write_bytes
from iris_tf.support.parallel import one_opencv_thread, run_in_processes

CHUNK = 8  # images per task: the most work that an interruption can cost each process


@dataclass(frozen=True)
class Task:
    """One image to crop.

    Attributes
    ----------
    image : str
        Path relative to the image folder.
    stamp : str
        See `Outcome`.
    roi, overlay : str
        Paths of the crop and the thumbnail, relative to the dataset folder.
    mirrored : bool
        Whether the crop is mirrored left to right.
    """

    image: str
    stamp: str
    roi: str
    overlay: str
    mirrored: bool = False


@dataclass(frozen=True)
class Extraction:
    """How all images of a dataset are cropped.

    Attributes
    ----------
    images, out : Path
        Image folder and dataset folder, absolute: workers of a cluster have their own working
        directories.
    roi_mode, segmenter : str
        Names, see `iris_tf.preparation.prepare_dataset.prepare`.
    model : Path or None
        The segmenter's network, absolute.
    version : str
        Required version of the segmenter; empty without one.
    channels : {1, 3}
        Of the crops.
    """

    images: Path
    out: Path
    roi_mode: str
    segmenter: str
    model: Path | None
    version: str
    channels: int = 1


def extract_all(
    tasks: Sequence[Task], how: Extraction, jobs: int, scheduler: str | None = None
) -> Iterator[list[Outcome]]:
    """Crop all images and yield their outcomes chunk by chunk, in order.

    A chunk's crops, thumbnails and journal entries are on disk before it is yielded; no pixels
    return to the calling process.

    Parameters
    ----------
    tasks : sequence of Task
        The images.
    how : Extraction
    jobs : int
        Processes; -1 for one per core.
    scheduler : str, optional
        Address of a cluster to use instead.

    Yields
    ------
    list of Outcome
        Of at most `CHUNK` images.

    Raises
    ------
    DatasetError
        If a worker process is killed, or does not see the same files.
    OSError
        If a crop cannot be written.
    """
    chunks = (tasks[i : i + CHUNK] for i in range(0, len(tasks), CHUNK))
    calls = (joblib.delayed(_process_chunk)(chunk, how) for chunk in chunks)
    yield from run_in_processes(calls, jobs, how.out, scheduler)


def _process_chunk(chunk: Sequence[Task], how: Extraction) -> list[Outcome]:
    if not how.out.is_dir() or not how.images.is_dir():
        # Otherwise every image would be "unreadable", and crops would go to the worker's disk.
        raise DatasetError(
            f"{how.out}: a worker process does not see this folder or {how.images}; all machines "
            "of a cluster must share both under the same paths."
        )
    segment = None if how.segmenter == NO_SEGMENTER else worker_segmenter(how)
    steps = crop_steps(segment, how.roi_mode, how.channels)
    with one_opencv_thread():
        outcomes = [_process_image(task, how, steps) for task in chunk]
    Journal(how.out).write_chunk(outcomes)
    return outcomes


# Per thread, because a worker of a cluster may have several, and not every segmenter promises to
# be thread-safe. Only the segmenter used last is kept.
_cache = threading.local()


def worker_segmenter(how: Extraction) -> Segmenter:
    """Return this thread's segmenter, created once for all images with the same settings.

    Raises
    ------
    DatasetError
        If its version is not the one that `how` requires.
    """
    # The version is part of the key: the model file may have been replaced.
    key = (how.segmenter, how.model, how.version)
    if getattr(_cache, "key", None) != key:
        segmenter = segmenter_by_name(how.segmenter, how.model)
        if segmenter.version != how.version:
            raise DatasetError(
                f"{how.out}: the segmenter {how.segmenter!r} of a worker process has version "
                f"{segmenter.version!r} instead of {how.version!r}; install the same package, and "
                "the same model file, on all machines."
            )
        _cache.key, _cache.segmenter = key, segmenter
    return _cache.segmenter


def _process_image(task: Task, how: Extraction, steps: CropSteps) -> Outcome:
    """Read, segment, crop and assess one image, and write its crop and thumbnail."""
    path = how.images / task.image
    bare = Outcome(task.image, task.stamp)
    image: DecodedImage | None = None
    eye: SegmentedEye | None = None
    try:
        image = steps.read(path)
        eye = steps.locate(image.pixels)
        roi = steps.crop(image.pixels, eye)
        if task.mirrored:
            roi = np.ascontiguousarray(roi[:, ::-1])
        outcome = replace(
            bare, sha256=sha256(path), note=image.note, pixels=_pixel_hash(image.pixels)
        )
        if eye is not None:
            outcome = _with_iris(outcome, image.pixels, eye)
    except ExtractionError as error:
        outcome = replace(bare, reason=str(error.reason), detail=_one_line(str(error)))
    except MemoryError:
        raise  # not a property of the image
    except Exception as error:
        outcome = _internal(bare, error)
    # Disk errors from here on are not failures of the image.
    if image is not None:
        thumbnail = draw_overlay(image.pixels, None if outcome.reason else eye)
        write_bytes(how.out / task.overlay, thumbnail)
        outcome = replace(outcome, overlay=True)
    if outcome.reason:
        return outcome
    if eye is not None:
        write_masks(how.out / mask_path(task.roi), eye)
    try:
        write_png(how.out / task.roi, roi)
    except (cv2.error, ValueError) as error:  # not an image
        return _internal(replace(bare, overlay=True), error)
    return outcome


def _pixel_hash(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _with_iris(outcome: Outcome, pixels: np.ndarray, eye: SegmentedEye) -> Outcome:
    return replace(
        outcome,
        pupil=_plain(eye.pupil),
        iris=_plain(eye.iris),
        visible=_visible_share(eye),
        confidence=_rounded(eye.confidence),
        tilt=eye.tilt,
        quality=_rounded_figures(iris_quality(to_grey(pixels), eye)),
    )


def _internal(outcome: Outcome, error: Exception) -> Outcome:
    detail = _one_line(f"{type(error).__name__}: {error}")
    return replace(outcome, reason=str(FailureReason.INTERNAL), detail=detail)


def _plain(ellipse: Ellipse) -> Ellipse:
    """Return the ellipse with Python floats, which JSON can hold."""
    return Ellipse(*(float(value) for value in vars(ellipse).values()))


# Figures are rounded as in the manifest, so that none is shown as "20.0000" and yet below 20.
def _rounded(figure: float) -> float:
    if not math.isfinite(figure):
        raise ValueError(f"a figure is {figure}")
    return round(float(figure), 4)


def _rounded_figures(quality: IrisQuality) -> IrisQuality:
    return IrisQuality(**{name: _rounded(value) for name, value in asdict(quality).items()})


def _visible_share(eye: SegmentedEye) -> float:
    """Visible share of the iris ring, as far as the ring is inside the image."""
    shape = eye.visible.shape
    ring = eye.iris.mask(shape) & ~eye.pupil.mask(shape)
    return float((eye.visible & ring).sum() / max(int(ring.sum()), 1))


def _one_line(text: str) -> str:
    return " ".join(text.split())
