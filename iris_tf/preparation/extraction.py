"""One image after the other through reader, segmenter and crop, in worker processes."""

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import joblib

from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import EyeImage, read_eye, write_png
from iris_tf.preparation.journal import Journal, Outcome
from iris_tf.preparation.overlay import draw_overlay
from iris_tf.segmentation.quality import IrisQuality, iris_quality
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye, Segmenter, segmenter_by_name
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason
from iris_tf.support.files import sha256, write_bytes
from iris_tf.support.parallel import one_opencv_thread, run_in_processes

CHUNK = 8  # images a task: what an interruption can cost at most, per process


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
    """

    image: str
    stamp: str
    roi: str
    overlay: str


@dataclass(frozen=True)
class Extraction:
    """How all images of a dataset are cropped.

    Attributes
    ----------
    images, out : Path
        Image folder and dataset folder, absolute: workers of a cluster have
        working directories of their own.
    roi_mode, segmenter : str
        Names, see `iris_tf.preparation.prepare_dataset.prepare`.
    model : Path or None
        The segmenter's network, absolute.
    version : str
        That the segmenter must have.
    """

    images: Path
    out: Path
    roi_mode: str
    segmenter: str
    model: Path | None
    version: str


def extract_all(
    tasks: Sequence[Task], how: Extraction, jobs: int, scheduler: str | None = None
) -> Iterator[list[Outcome]]:
    """Crop all images and yield their outcomes chunk by chunk, in order.

    A chunk's crops, thumbnails and part of the journal are on disk before it
    is yielded; no pixels come back to the calling process.

    Parameters
    ----------
    tasks : sequence of Task
        The images.
    how : Extraction
    jobs : int
        Processes; -1 for one a core.
    scheduler : str, optional
        Address of a cluster to work instead.

    Yields
    ------
    list of Outcome
        Of at most `CHUNK` images.

    Raises
    ------
    DatasetError
        When a worker process is killed, or does not see the same files.
    OSError
        When a crop cannot be written.
    """
    chunks = (tasks[i : i + CHUNK] for i in range(0, len(tasks), CHUNK))
    calls = (joblib.delayed(_process_chunk)(chunk, how) for chunk in chunks)
    yield from run_in_processes(calls, jobs, how.out, scheduler)


def _process_chunk(chunk: Sequence[Task], how: Extraction) -> list[Outcome]:
    if not how.out.is_dir() or not how.images.is_dir():
        # Every image would be "unreadable", and the crops lie on a disk of the worker's.
        raise DatasetError(
            f"{how.out}: a worker process does not see this folder or {how.images}; all machines "
            "of a cluster must share both under the same paths."
        )
    segment = worker_segmenter(how)
    with one_opencv_thread():
        outcomes = [_process_image(task, how, segment) for task in chunk]
    Journal(how.out).write_chunk(outcomes)
    return outcomes


# Per thread, because interpreters of networks are not for several, and a worker
# of a cluster may have several. Only the one used last is kept.
_cache = threading.local()


def worker_segmenter(how: Extraction) -> Segmenter:
    """The segmenter of this thread, made once for all images that are cropped the same way.

    Raises
    ------
    DatasetError
        When it is not of the version that `how` asks for.
    """
    # The version is part of the key: a file may hold other weights than a while ago.
    key = (how.segmenter, how.model, how.version)
    if getattr(_cache, "key", None) != key:
        segmenter = segmenter_by_name(how.segmenter, how.model)
        if segmenter.version != how.version:
            raise DatasetError(
                f"{how.out}: the segmenter {how.segmenter!r} of a worker process is of version "
                f"{segmenter.version!r} and not {how.version!r}; install the same package, and "
                "the same model file, on all machines."
            )
        _cache.key, _cache.segmenter = key, segmenter
    return _cache.segmenter


def _process_image(task: Task, how: Extraction, segment: Segmenter) -> Outcome:
    """Read, segment, crop and judge one image, and write what comes of it."""
    path = how.images / task.image
    outcome = Outcome(task.image, task.stamp)
    image: EyeImage | None = None
    eye: SegmentedEye | None = None
    try:
        image = read_eye(path)
        eye = segment(image.pixels)
        roi = crop_roi(image.pixels, eye, how.roi_mode)
        outcome = replace(
            outcome,
            sha256=sha256(path),
            note=image.note,
            pupil=_plain(eye.pupil),
            iris=_plain(eye.iris),
            visible=_visible_share(eye),
            confidence=_rounded(eye.confidence),
            quality=_rounded_figures(iris_quality(image.pixels, eye)),
        )
    except ExtractionError as error:
        outcome = replace(outcome, reason=str(error.reason), detail=_one_line(str(error)))
    except MemoryError:
        raise  # nothing is known about the image
    except Exception as error:
        outcome = _internal(outcome, error)
    # What is below goes to the disk: that it is full is no failure of the image.
    if image is not None:
        thumbnail = draw_overlay(image.pixels, None if outcome.reason else eye)
        write_bytes(how.out / task.overlay, thumbnail)
        outcome = replace(outcome, overlay=True)
    if outcome.reason:
        return outcome
    try:
        write_png(how.out / task.roi, roi)
    except (cv2.error, ValueError) as error:  # no image
        return _internal(Outcome(task.image, task.stamp, overlay=True), error)
    return outcome


def _internal(outcome: Outcome, error: Exception) -> Outcome:
    detail = _one_line(f"{type(error).__name__}: {error}")
    return replace(outcome, reason=str(FailureReason.INTERNAL), detail=detail)


def _plain(ellipse: Ellipse) -> Ellipse:
    """The ellipse with Python's floats, which JSON can hold."""
    return Ellipse(*(float(value) for value in vars(ellipse).values()))


# Figures as the manifest shows them, so that none is "20.0000" and yet below 20.
def _rounded(figure: float) -> float:
    if not math.isfinite(figure):
        raise ValueError(f"a figure is {figure}")
    return round(float(figure), 4)


def _rounded_figures(quality: IrisQuality) -> IrisQuality:
    return IrisQuality(**{name: _rounded(value) for name, value in asdict(quality).items()})


def _visible_share(eye: SegmentedEye) -> float:
    """Visible share of the ring as far as it is in the frame."""
    shape = eye.visible.shape
    ring = eye.iris.mask(shape) & ~eye.pupil.mask(shape)
    return float((eye.visible & ring).sum() / max(int(ring.sum()), 1))


def _one_line(text: str) -> str:
    return " ".join(text.split())
