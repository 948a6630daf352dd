"""Accuracy of a segmenter on synthetic eyes, whose ground truth is known."""

import collections
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.segmenter import SegmentedEye, Segmenter, segmenter_by_name
from iris_tf.support.errors import ExtractionError
from iris_tf.support.parallel import one_opencv_thread, run_in_processes
from iris_tf.support.progress import StageProgress
from iris_tf.synthetic.eye_renderer import SyntheticEye
from iris_tf.synthetic.segmentation_samples import draw_eyes

WRONG_IOU = 0.8
"""A result counts as wrong if the IoU of its iris disc or of its visible iris is lower."""

_EYES_PER_TASK = 25
_EXTRACTABLE = 0.2  # least visible share of the ring; below it, a failure is the right answer


@dataclass(frozen=True)
class SegmentationScore:
    """Result for one eye.

    Attributes
    ----------
    visible_share : float
        Visible share of the true ring, 0..1.
    reason : str
        Reason of a failure, or ``""``.
    iou_visible, iou_pupil, iou_iris : float
        Intersection over union with the ground truth, 0..1, of the visible iris and of both whole
        discs within the frame; 0 after a failure.
    limbus_error : float
        Relative error of the limbus radius.
    confidence : float
        The segmenter's own confidence.
    """

    visible_share: float
    reason: str = ""
    iou_visible: float = 0.0
    iou_pupil: float = 0.0
    iou_iris: float = 0.0
    limbus_error: float = 0.0
    confidence: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether there is a result, but it is far from the ground truth."""
        return not self.reason and min(self.iou_visible, self.iou_iris) < WRONG_IOU


def intersection_over_union(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks (bool, same shape), 0..1; 1 for two empty ones."""
    either = int((one | other).sum())
    return float((one & other).sum()) / either if either else 1.0


def score_eye(segment: Segmenter, eye: SyntheticEye) -> SegmentationScore:
    """Segment one eye and compare the result with the ground truth."""
    shape = eye.image.shape
    ring = np.pi * (eye.iris.radius**2 - eye.pupil.radius**2)
    share = float(eye.visible.sum() / ring)
    try:
        found: SegmentedEye = segment(eye.image)
    except ExtractionError as error:
        return SegmentationScore(share, str(error.reason))

    def disc(one: Ellipse, other: Ellipse) -> float:
        return intersection_over_union(one.mask(shape), other.mask(shape))

    return SegmentationScore(
        share,
        "",
        intersection_over_union(found.visible, eye.visible),
        disc(found.pupil, eye.pupil),
        disc(found.iris, eye.iris),
        abs(found.iris.radius - eye.iris.radius) / eye.iris.radius,
        found.confidence,
    )


def _score_batch(
    segmenter: str, model: Path | None, seed: int, number: int, eyes: int
) -> list[SegmentationScore]:
    segment = segmenter_by_name(segmenter, model)
    with one_opencv_thread():
        return [score_eye(segment, eye) for eye, _ in draw_eyes(seed, number, eyes)]


def score_segmenter(
    segmenter: str,
    model: Path | None,
    seed: int,
    eyes: int,
    first: int = 0,
    jobs: int = -1,
) -> list[SegmentationScore]:
    """Score a segmenter on varied synthetic eyes.

    Parameters
    ----------
    segmenter : str
        Its name, see `segmenter_by_name`.
    model : Path or None
        Its network's file.
    seed, first : int
        Determine the eyes; see `draw_eyes`.
    eyes : int
    jobs : int, optional
        Processes; -1 for one per core.

    Returns
    -------
    list of SegmentationScore
        One per eye.
    """
    batches = [min(_EYES_PER_TASK, eyes - start) for start in range(0, eyes, _EYES_PER_TASK)]
    calls = (
        joblib.delayed(_score_batch)(segmenter, model, seed, first + number, batch)
        for number, batch in enumerate(batches)
    )
    scores = []
    with StageProgress(f"Scoring segmenter {segmenter}", eyes) as progress:
        for batch in run_in_processes(calls, jobs, Path()):
            scores.extend(batch)
            progress.advance(len(batch))
    return scores


def summarise(scores: Sequence[SegmentationScore]) -> dict[str, Any]:
    """Summarise scores as JSON values; shares and IoU in 0..1.

    Means and percentiles are over the eyes that gave a result and of whose iris at least a fifth
    is visible; None where there is no such eye.
    """
    shown = [score for score in scores if score.visible_share >= _EXTRACTABLE]
    given = [score for score in shown if not score.reason]
    hidden = [score for score in scores if score.visible_share < _EXTRACTABLE]
    ranked = sorted(given, key=lambda score: score.confidence)
    dropped = ranked[: round(0.05 * len(ranked))]
    errors = [score.limbus_error for score in given]
    return {
        "eyes": len(shown),
        "failures": dict(sorted(collections.Counter(s.reason for s in shown if s.reason).items())),
        "failure_rate": 1.0 - len(given) / max(len(shown), 1),
        "iou_visible": _figure(np.mean, [score.iou_visible for score in given]),
        "iou_pupil": _figure(np.mean, [score.iou_pupil for score in given]),
        "iou_iris": _figure(np.mean, [score.iou_iris for score in given]),
        "limbus_error_median": _figure(np.median, errors),
        "limbus_error_p95": _figure(np.percentile, errors, 95),
        "wrong": sum(score.wrong for score in given),
        "wrong_among_least_confident_5_percent": sum(score.wrong for score in dropped),
        "hidden_eyes": len(hidden),
        "hidden_eyes_given_a_result": sum(not score.reason for score in hidden),
    }


def _figure(function: Callable[..., Any], values: list[float], *arguments: float) -> float | None:
    return float(function(values, *arguments)) if values else None
