"""One image after the other through reader, segmenter and crop, in worker processes."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import joblib

from iris_tf.datasets.images import read_eye, write_png
from iris_tf.errors import ExtractionError, FailureReason
from iris_tf.files import sha256
from iris_tf.geometry import Ellipse
from iris_tf.parallel import one_opencv_thread, run_in_processes
from iris_tf.segmentation.journal import Journal, Outcome
from iris_tf.segmentation.roi import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye, Segmenter, segmenter_by_name

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
    roi : str
        Path of the crop, relative to the dataset folder.
    """

    image: str
    stamp: str
    roi: str


def extract_all(
    tasks: Sequence[Task], images: Path, out: Path, segmenter: str, roi_mode: str, jobs: int
) -> Iterator[list[Outcome]]:
    """Crop all images and yield their outcomes chunk by chunk, in order.

    A chunk's crops and its part of the journal are on disk before it is
    yielded; no pixels come back to the calling process.

    Parameters
    ----------
    tasks : sequence of Task
        The images.
    images, out : Path
        Image folder and dataset folder.
    segmenter, roi_mode : str
        Names, see `iris_tf.segmentation.prepare.prepare`.
    jobs : int
        Processes; -1 for one a core.

    Yields
    ------
    list of Outcome
        Of at most `CHUNK` images.

    Raises
    ------
    DatasetError
        When a worker process is killed.
    OSError
        When a crop cannot be written.
    """
    chunks = [tasks[i : i + CHUNK] for i in range(0, len(tasks), CHUNK)]
    calls = (
        joblib.delayed(_process_chunk)(chunk, images, out, segmenter, roi_mode)
        for chunk in chunks
    )
    yield from run_in_processes(calls, jobs, out)


def _process_chunk(
    chunk: Sequence[Task], images: Path, out: Path, segmenter: str, roi_mode: str
) -> list[Outcome]:
    segment = _cached_segmenter(segmenter)
    with one_opencv_thread():
        outcomes = [
            _process_image(task, images / task.image, out / task.roi, segment, roi_mode)
            for task in chunk
        ]
    Journal(out).write_chunk(outcomes)
    return outcomes


@functools.lru_cache(maxsize=1)
def _cached_segmenter(name: str) -> Segmenter:
    return segmenter_by_name(name)


def _process_image(
    task: Task, path: Path, roi_path: Path, segment: Segmenter, roi_mode: str
) -> Outcome:
    outcome = Outcome(task.image, task.stamp)
    try:
        image = read_eye(path)
        eye = segment(image.pixels)
        roi = crop_roi(image.pixels, eye, roi_mode)
        digest = sha256(path)
    except ExtractionError as error:
        return replace(outcome, reason=str(error.reason), detail=_one_line(str(error)))
    except Exception as error:
        return _internal(outcome, error)
    try:
        write_png(roi_path, roi)
    except (cv2.error, ValueError) as error:  # no image; a full disk is not caught here
        return _internal(outcome, error)
    return replace(
        outcome,
        sha256=digest,
        note=image.note,
        pupil=_plain(eye.pupil),
        iris=_plain(eye.iris),
        visible=_visible_share(eye),
    )


def _internal(outcome: Outcome, error: Exception) -> Outcome:
    detail = _one_line(f"{type(error).__name__}: {error}")
    return replace(outcome, reason=str(FailureReason.INTERNAL), detail=detail)


def _plain(ellipse: Ellipse) -> Ellipse:
    """The ellipse with Python's floats, which JSON can hold."""
    return Ellipse(*(float(value) for value in vars(ellipse).values()))


def _visible_share(eye: SegmentedEye) -> float:
    shape = eye.visible.shape
    ring = eye.iris.mask(shape) & ~eye.pupil.mask(shape)
    return float((eye.visible & ring).sum() / max(int(ring.sum()), 1))


def _one_line(text: str) -> str:
    return " ".join(text.split())
