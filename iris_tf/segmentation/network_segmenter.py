"""The embedded segmenter: a small network that was taught by synthetic eyes alone."""

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.segmentation.plausibility import (
    check_confidence,
    check_geometry,
    check_visible,
    expected_overlap,
)
from iris_tf.segmentation.polar import directions, fit_ellipse, sample
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError, FailureReason, ModelError
from iris_tf.support.files import sha256
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.released_models import released_model
from iris_tf.tflite.signatures import MASKS, MASKS_OF_WHOLE

FILE_NAME = "iris_segmenter"
"""Start of the names of its files (`Precision.file_name`)."""

_CODE = 4  # raised when the same masks give other results than before
_RAYS = 96
_ANGLES = directions(_RAYS)
_PART = 0.55  # height of the windows for irises too small in the whole image
_PARTS = ((0.5, 0.5), (0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7))  # their centres
_FILL = 0.75  # iris diameter in the second window, as a share of its height
_MOST_LOOKS = 3  # through windows around the iris that the look before found,
_SETTLED = 0.85  # until both agree so far: a small iris is outlined roughly at first
_SURE = 0.95  # expected overlap from which on the mirror image is not looked at
_SMALLEST = 0.06  # diameter of iris or pupil in the window, as a share of its height
_RIDGE = 0.02  # pull of the fits to circles
_LIKE_MASK = (0.6, 1.6)  # radius of an outline, in radii of a disc of the mask's area


@dataclass(frozen=True)
class _Look:
    """What the network sees through one window, in the window's pixels."""

    window: Window
    masks: np.ndarray  # (height, width, 4), probabilities
    pupil: Ellipse
    iris: Ellipse
    expected_overlap: float  # of the masks with the truth, if their probabilities are true

    def outwards(self, outline: Ellipse) -> Ellipse:
        """An outline in the image's pixels."""
        return self.window.outwards(outline, self.masks.shape[0])


class NetworkSegmenter:
    """Segment eye images with the embedded network.

    The network looks at the whole image, made small, and then at a window around the
    iris that it found there, so that irises of all sizes are outlined at like
    resolution; where both disagree, again. Where it is unsure there, it looks at the
    mirror image, too. Pupil and limbus are robust ellipses
    through the masks' edges; edges are trusted as far as they are sharp, since
    the network blurs what it has to guess under lids.

    The confidence is how far the last look's masks overlap with the truth if
    their probabilities are true, less where the looks disagree. A result with little
    of it is refused.

    Parameters
    ----------
    model : Path, optional
        A ``.tflite`` file of `pipelines/iris_segmenter.py`; None for the released one.

    Raises
    ------
    ModelError
        When the file cannot be used.
    """

    name = "network"

    def __init__(self, model: Path | None = None):
        self._path = released_model("iris-segmenter") if model is None else model
        self._finder = LiteRTModel(self._path, MASKS_OF_WHOLE)
        self._model = LiteRTModel(self._path, MASKS)
        for network in (self._finder, self._model):
            height, width = network.input_size
            if network.output_shape != (height, width, len(CHANNELS)) or 3 * width != 4 * height:
                raise ModelError(
                    f"{self._path}: goes from {network.input_size} to {network.output_shape}, "
                    f"which no iris_tf segmenter does; give a file of `{MASKS.maker}`."
                )
        self.version = f"{_CODE}-{sha256(self._path)[:12]}"

    def __reduce__(self) -> tuple[Any, ...]:
        # LiteRT's interpreter cannot be pickled; each process makes its own.
        return type(self), (self._path,)

    def __call__(self, image: np.ndarray) -> SegmentedEye:
        """Segment one eye; see `Segmenter`."""
        look = self._find(image)
        iris = look.outwards(look.iris)
        for _ in range(_MOST_LOOKS):
            before = iris
            window = Window.around(before.x, before.y, 2 * before.radius / _FILL)
            look = _look(self._model, image, window, mirrored=True)
            pupil, iris = look.outwards(look.pupil), look.outwards(look.iris)
            agreement = _overlap(iris, before)
            if agreement > _SETTLED:
                break
        check_geometry(pupil, iris, image.shape)
        visible, opening = (
            _outside(look.window, look.masks[..., channel], image.shape)
            for channel in (CHANNELS.index("visible"), CHANNELS.index("opening"))
        )
        visible &= iris.mask(image.shape) & ~pupil.mask(image.shape)
        check_visible(pupil, iris, visible)
        confidence = look.expected_overlap * min(agreement / _SETTLED, 1.0)
        check_confidence(confidence)
        return SegmentedEye(pupil, iris, visible, confidence, opening)

    def _find(self, image: np.ndarray) -> _Look:
        """Look at the whole image, and if nothing is seen, closer at its parts."""
        height, width = image.shape
        try:
            return _look(self._finder, image, Window.whole(image.shape))
        except ExtractionError as error:
            looks = []
            for x, y in _PARTS:
                window = Window.around(x * width, y * height, _PART * max(height, 0.75 * width))
                with contextlib.suppress(ExtractionError):
                    looks.append(_look(self._finder, image, window))
            if not looks:
                raise error
            return max(looks, key=lambda look: look.expected_overlap)


def _look(model: LiteRTModel, image: np.ndarray, window: Window, mirrored: bool = False) -> _Look:
    """Look through a window; `mirrored`: if unsure at its mirror image, too, for the mean."""
    height = model.input_size[0]
    seen = window.cut(image, height)
    masks = model(seen)
    overlap = _expected_overlap(masks)
    if mirrored and overlap < _SURE:
        masks = (masks + model(seen[:, ::-1])[:, ::-1]) / 2
        overlap = _expected_overlap(masks)
    outlines = {}
    for name, reason, what in (
        ("iris", FailureReason.NO_IRIS, "iris"),
        ("pupil", FailureReason.NO_PUPIL, "pupil"),
    ):
        fitted = _outline(masks[..., CHANNELS.index(name)], _SMALLEST * height / 2)
        if fitted is None:
            raise ExtractionError(reason, f"The network sees no {what} in the image.")
        outlines[name] = fitted
    return _Look(window, masks, outlines["pupil"], outlines["iris"], overlap)


def _expected_overlap(masks: np.ndarray) -> float:
    """Product of the expected intersections over union of visible iris, pupil and iris."""
    wanted = [masks[..., CHANNELS.index(name)] for name in ("visible", "pupil", "iris")]
    return math.prod(expected_overlap(mask, mask > 0.5) for mask in wanted)


def _outline(mask: np.ndarray, smallest: float) -> Ellipse | None:
    """Ellipse through the edge of a mask's largest part.

    None where there is no part of at least the radius `smallest`, or the
    ellipse is not like it.
    """
    count, labels, stats, centres = cv2.connectedComponentsWithStats(
        (mask > 0.5).astype(np.uint8), connectivity=4
    )
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    radius = float(np.sqrt(stats[largest, cv2.CC_STAT_AREA] / np.pi))
    if radius < smallest:
        return None
    x, y = (float(value) for value in centres[largest])
    step = 0.5
    reach = np.arange(0.3 * radius, 1.8 * radius + 2.0, step)
    cos, sin = np.cos(_ANGLES)[:, None], np.sin(_ANGLES)[:, None]
    profile = sample(
        np.where(labels == largest, mask, np.minimum(mask, 0.5)), x + cos * reach, y + sin * reach
    )
    # The last step from inside to outside: a highlight may leave a hole.
    falls = (profile[:, :-1] > 0.5) & (profile[:, 1:] <= 0.5)
    at = falls.shape[1] - 1 - falls[:, ::-1].argmax(axis=1)
    rays = np.arange(_RAYS)
    before, after = profile[rays, at], profile[rays, at + 1]
    slope = np.maximum(before - after, 1e-6)
    edge = reach[at] + step * np.clip((before - 0.5) / slope, 0.0, 1.0)
    inner = profile[rays, np.maximum(at - 2, 0)]
    outer = profile[rays, np.minimum(at + 3, profile.shape[1] - 1)]
    sharpness = np.clip(inner - outer, 0.02, 1.0)
    weights = np.where(falls.any(axis=1), sharpness, 0.0)
    fitted = fit_ellipse(x + edge * cos[:, 0], y + edge * sin[:, 0], weights, _RIDGE)
    if fitted is None:
        return None
    outline = fitted[0]
    return outline if _LIKE_MASK[0] < outline.radius / radius < _LIKE_MASK[1] else None


def _overlap(one: Ellipse, other: Ellipse) -> float:
    """Intersection over union of two ellipses, drawn at a fixed size."""
    scale = 40.0 / max(one.radius, other.radius)
    x, y = (one.x + other.x) / 2, (one.y + other.y) / 2
    masks = [
        ellipse.scaled(scale, (100.0 - x * scale, 100.0 - y * scale)).mask((201, 201))
        for ellipse in (one, other)
    ]
    return float((masks[0] & masks[1]).sum() / max((masks[0] | masks[1]).sum(), 1))


def _outside(window: Window, mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Put a window's mask (probabilities) back into an image of `shape`, as bool."""
    size = (4 * window.unit, 3 * window.unit)
    enlarged = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) > 0.5
    result = np.zeros(shape, bool)
    top, left = max(window.top, 0), max(window.left, 0)
    bottom = max(min(window.top + size[1], shape[0]), top)
    right = max(min(window.left + size[0], shape[1]), left)
    result[top:bottom, left:right] = enlarged[
        top - window.top : bottom - window.top, left - window.left : right - window.left
    ]
    return result
