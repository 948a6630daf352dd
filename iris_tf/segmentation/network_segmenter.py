"""The embedded segmenter: a small network trained on synthetic eyes only."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.imaging.rotated_window import RotatedWindow
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.segmentation.mask_outline import mask_outline
from iris_tf.segmentation.plausibility import (
    check_confidence,
    check_geometry,
    check_visible,
    expected_overlap,
)
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.segmentation.tilt import lid_tilt
from iris_tf.support.errors import ExtractionError, FailureReason, ModelError
from iris_tf.support.files import sha256
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.released_models import released_model
from iris_tf.tflite.signatures import MASKS, MASKS_OF_WHOLE

FILE_NAME = "iris_segmenter"
"""Stem of the model file names (`Precision.file_name`)."""

_CODE = 6  # increment when the same masks yield different results
# Fallback tiles, for irises too small to be found at the resolution of the whole image:
# their height as a share of the image height, and their centres.
_TILE_HEIGHT = 0.55
_TILE_CENTRES = ((0.5, 0.5), (0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7))
# Where another eye may be: distances from an iris, and the height of windows there, in iris
# diameters. The eyes of a face are 4 to 7 apart, images of eyes side by side 2 or more.
_OTHER_DISTANCES, _OTHER_WINDOW = (2.2, 4.2, 6.2), 3.0
_OTHER_RADII = (0.5, 2.0)  # of another iris, relative to the first
# Least room for another eye between an iris's centre and the border, in iris diameters: in any
# image, and in the direction in which one is at least so much longer.
_LEAST_ROOM, _LEAST_ROOM_IF_LONG, _LONG = 3.5, 1.5, 1.45
_FILL = 0.75  # iris diameter in a refinement window, as a share of the window height
# Refinement repeats until the limbus of two successive passes overlaps this much (intersection
# over union), because the first pass outlines a small iris only coarsely.
_MAX_REFINEMENTS = 3
_CONVERGED = 0.85
_CONFIDENT = 0.95  # expected overlap above which the mirrored window is not evaluated
# Confidence from which an eye may pass for upright, or for rotated. Where the eyelids hide too
# little to tell how it is tilted, more is asked: the network is surer of upright eyes that are wide
# open.
_SURE, _SURE_WITHOUT_LIDS = 0.85, 0.94
# Largest tilt of the eyelids of an upright eye; heads are tilted less.
_MAX_UPRIGHT_TILT = math.radians(20.0)
_NEIGHBOURS_SHARE = 0.5  # weight of the overlaps in the windows rotated by 45 degrees more and less
_NO_OVERLAP = 0.6  # stands for that in a window in which there is no iris
# How much more evidence than for an upright eye is asked for in windows rotated by multiples of 45
# degrees, since rotated eyes are rare. Upright ones of which the lower eyelid hides more than the
# upper one look as if they were upside down.
_LEADS = np.array([0.0, 0.01, 0.02, 0.02, 0.03, 0.02, 0.02, 0.01])
_ANGLE_STEP = 2.0 * math.pi / len(_LEADS)
# Largest difference between the rotation of a window and the eyelids' tilt that is believed; half
# the step between rotations is 22.5 degrees.
_MAX_TILT_IN_WINDOW = math.radians(35.0)
# Least tilt that is made up for. Below it, an error would do more harm to upright eyes than the
# tilt does, over which comparisons search.
_LEAST_TILT = math.radians(25.0)
_MIN_DIAMETER = 0.06  # of iris and pupil in the window, as a share of the window height


@dataclass(frozen=True)
class _Inference:
    """Result of one forward pass on a window, in pixels of the network's input."""

    window: Window | RotatedWindow
    masks: np.ndarray  # (4, height, width), probabilities
    pupil: Ellipse
    iris: Ellipse
    expected_overlap: float  # with the ground truth, if the probabilities are calibrated

    def outwards(self, outline: Ellipse) -> Ellipse:
        """Map an outline to image pixels."""
        return self.window.outwards(outline, self.masks.shape[1])


@dataclass(frozen=True)
class _Attempt:
    """What became of outlining an eye in windows of one rotation."""

    iris: Ellipse  # of the last pass that found one
    eye: SegmentedEye | None
    refusal: ExtractionError | None  # why there is no eye

    @property
    def confidence(self) -> float:
        """Confidence in the eye; 0 without one."""
        return 0.0 if self.eye is None else self.eye.confidence


class NetworkSegmenter:
    """Segment eye images with the embedded network.

    The first pass runs on the downscaled image. A second pass runs on a window around the
    detected iris, so that irises of all sizes are outlined at a similar resolution. Where
    the two passes disagree, the refinement is repeated. Where the network is uncertain
    about a window, its prediction is averaged with that for the mirrored window. Pupil and
    limbus are ellipses fitted robustly to the edges of the masks. Each edge point is
    weighted by its sharpness, because the network blurs edges that it extrapolates under
    the eyelids.

    The network was trained on upright eyes. Where it is unsure, or the eyelids hide another side
    of the iris than the upper one, it also sees windows that are rotated by multiples of 45
    degrees. The eye is outlined again in the one about which it is surest, and the surer of both
    results is given. Outlines and masks are always those of the image, and `SegmentedEye.tilt`
    tells the eye's rotation, if it clearly is rotated.

    An image that has room for another eye is searched for it, and refused if it shows one.

    The confidence is the expected overlap of the last pass's masks with the ground truth,
    assuming calibrated probabilities. It is reduced where the last two passes disagree.
    Results of low confidence are rejected.

    Parameters
    ----------
    model : Path, optional
        A ``.tflite`` file written by `pipelines/iris_segmenter.py`; None for the released
        model in 8-bit integers.

    Raises
    ------
    ModelError
        If the file cannot be used.
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
        # LiteRT interpreters cannot be pickled; each process creates its own.
        return type(self), (self._path,)

    def __call__(self, image: np.ndarray) -> SegmentedEye:
        """Segment one eye; see `Segmenter`."""
        eye = self._surest_eye(image)
        if self._shows_another(image, eye):
            raise ExtractionError(
                FailureReason.SEVERAL_EYES,
                "The image shows more than one eye; cut out one of them.",
            )
        return eye

    def _surest_eye(self, image: np.ndarray) -> SegmentedEye:
        """Segment an eye, upright or rotated."""
        found = self._find(image)
        attempt = self._refine(image, found.outwards(found.iris), 0.0)
        if attempt.eye is not None and _seems_upright(attempt.eye):
            return attempt.eye
        overlaps = self._rotated_overlaps(image, attempt.iris)
        surest = _ANGLE_STEP * int(1 + overlaps[1:].argmax())
        rotated = self._refine(image, attempt.iris, surest)
        # The surest of eight is sure by chance more often than one, also of what is no eye.
        if rotated.confidence > max(attempt.confidence, _SURE):
            attempt = rotated
        if attempt.eye is None:
            assert attempt.refusal is not None
            raise attempt.refusal
        return dataclasses.replace(attempt.eye, tilt=_tilt(attempt.eye, _rotation(overlaps)))

    def _shows_another(self, image: np.ndarray, eye: SegmentedEye) -> bool:
        """Whether there is another eye, rotated alike, beside, above or below one."""
        return any(
            self._finds_another(image, eye, window) for window in _other_windows(image.shape, eye)
        )

    def _finds_another(
        self, image: np.ndarray, eye: SegmentedEye, window: Window | RotatedWindow
    ) -> bool:
        try:
            found = _infer(self._finder, image, window)
        except ExtractionError:
            return False
        other = found.outwards(found.iris)
        if not _OTHER_RADII[0] < other.radius / eye.iris.radius < _OTHER_RADII[1]:
            return False
        attempt = self._refine(image, other, eye.tilt)
        # As sure as of an upright eye: what has one by chance is no eye.
        return attempt.confidence >= _SURE and _apart(attempt.iris, eye.iris)

    def _refine(self, image: np.ndarray, iris: Ellipse, angle: float) -> _Attempt:
        """Outline an eye in windows around its iris that are rotated by an angle."""
        try:
            for _ in range(_MAX_REFINEMENTS):
                before = iris
                found = _infer(self._model, image, _window(before, angle), mirrored=True)
                iris = found.outwards(found.iris)
                agreement = _overlap(iris, before)
                if agreement > _CONVERGED:
                    break
            confidence = found.expected_overlap * min(agreement / _CONVERGED, 1.0)
            return _Attempt(iris, _plausible_eye(found, confidence, image.shape), None)
        except ExtractionError as refusal:
            return _Attempt(iris, None, refusal)

    def _rotated_overlaps(self, image: np.ndarray, iris: Ellipse) -> np.ndarray:
        """Expected overlaps (8,) in windows around an iris that are rotated by multiples of 45
        degrees, from 0 on."""
        overlaps = np.full(len(_LEADS), _NO_OVERLAP)
        for step in range(len(_LEADS)):
            with contextlib.suppress(ExtractionError):
                found = _infer(self._model, image, _window(iris, _ANGLE_STEP * step))
                overlaps[step] = found.expected_overlap
        return overlaps

    def _find(self, image: np.ndarray) -> _Inference:
        """Locate the iris in the whole image or, failing that, in overlapping tiles."""
        height, width = image.shape
        try:
            return _infer(self._finder, image, Window.whole(image.shape))
        except ExtractionError as error:
            found = []
            for x, y in _TILE_CENTRES:
                tile_height = _TILE_HEIGHT * max(height, 0.75 * width)
                window = Window.around(x * width, y * height, tile_height)
                with contextlib.suppress(ExtractionError):
                    found.append(_infer(self._finder, image, window))
            if not found:
                raise error
            return max(found, key=lambda inference: inference.expected_overlap)


def _window(iris: Ellipse, angle: float) -> Window | RotatedWindow:
    """Window around an iris; the pixels of one that is not rotated are the image's."""
    return _window_around(iris.x, iris.y, 2 * iris.radius / _FILL, angle)


def _window_around(x: float, y: float, height: float, angle: float) -> Window | RotatedWindow:
    if angle:
        return RotatedWindow.around(x, y, height, angle)
    return Window.around(x, y, height)


def _other_windows(shape: tuple[int, ...], eye: SegmentedEye) -> Iterator[Window | RotatedWindow]:
    """Windows of an image in which another eye may be, if the image has room for one."""
    height, width = shape
    x, y, diameter = eye.iris.x, eye.iris.y, 2 * eye.iris.radius
    for along, across, at, step_x, step_y in ((width, height, x, 1, 0), (height, width, y, 0, 1)):
        least = _LEAST_ROOM_IF_LONG if along >= _LONG * across else _LEAST_ROOM
        for sign, room in ((1, along - 1 - at), (-1, at)):
            if room < least * diameter:
                continue
            for distance in _OTHER_DISTANCES:
                if (distance - _OTHER_WINDOW / 2) * diameter <= room:
                    moved = sign * distance * diameter
                    yield _window_around(
                        x + moved * step_x, y + moved * step_y, _OTHER_WINDOW * diameter, eye.tilt
                    )


def _apart(one: Ellipse, other: Ellipse) -> bool:
    return math.hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius


def _plausible_eye(found: _Inference, confidence: float, shape: tuple[int, int]) -> SegmentedEye:
    """Segmentation of an image of `shape` by a pass on a window."""
    pupil, iris = found.outwards(found.pupil), found.outwards(found.iris)
    check_geometry(pupil, iris, shape)
    visible, opening = (
        found.window.outside(found.masks[CHANNELS.index(name)], shape)
        for name in ("visible", "opening")
    )
    visible &= iris.mask(shape) & ~pupil.mask(shape)
    check_visible(pupil, iris, visible)
    check_confidence(confidence)
    return SegmentedEye(pupil, iris, visible, confidence, opening)


def _rotation(overlaps: np.ndarray) -> float:
    """Angle, -pi..pi, of the window in which an eye is most upright; 0.0 if none clearly is.

    `overlaps` are those of `NetworkSegmenter._rotated_overlaps`.
    """
    # Overlap falls with the angle between eye and window, so neighbours tell, too: by itself, a
    # window is hardly better than the one in which the same eye is upside down.
    neighbours = np.roll(overlaps, 1) + np.roll(overlaps, -1)
    evidence = overlaps + _NEIGHBOURS_SHARE * neighbours
    return math.remainder(_ANGLE_STEP * int((evidence - _LEADS).argmax()), 2.0 * math.pi)


def _tilt(eye: SegmentedEye, angle: float) -> float:
    """Tilt of an eye in radians, -pi..pi, that is most upright in a window of some angle."""
    tilt = lid_tilt(eye.pupil, eye.iris, eye.visible) if angle else None
    if tilt is None or math.cos(tilt - angle) < math.cos(_MAX_TILT_IN_WINDOW):
        tilt = angle if abs(angle) > 1.5 * _ANGLE_STEP else 0.0  # hardly more than a guess
    return tilt if abs(tilt) > _LEAST_TILT else 0.0


def _seems_upright(eye: SegmentedEye) -> bool:
    if eye.confidence < _SURE:
        return False
    tilt = lid_tilt(eye.pupil, eye.iris, eye.visible)
    if tilt is None:
        return eye.confidence >= _SURE_WITHOUT_LIDS
    return abs(tilt) <= _MAX_UPRIGHT_TILT


def _infer(
    model: LiteRTModel,
    image: np.ndarray,
    window: Window | RotatedWindow,
    mirrored: bool = False,
) -> _Inference:
    """Run the network on a window and fit the outlines.

    If `mirrored` and the expected overlap is low, the masks are averaged with those of the
    mirrored window (test-time augmentation).
    """
    height = model.input_size[0]
    pixels = window.cut(image, height)
    masks = _masks(model, pixels)
    overlap = _expected_overlap(masks)
    if mirrored and overlap < _CONFIDENT:
        masks = (masks + _masks(model, pixels[:, ::-1])[..., ::-1]) / 2
        overlap = _expected_overlap(masks)
    outlines = {}
    for name, reason, what in (
        ("iris", FailureReason.NO_IRIS, "iris"),
        ("pupil", FailureReason.NO_PUPIL, "pupil"),
    ):
        fitted = mask_outline(masks[CHANNELS.index(name)], _MIN_DIAMETER * height / 2)
        if fitted is None:
            raise ExtractionError(reason, f"The network sees no {what} in the image.")
        outlines[name] = fitted
    return _Inference(window, masks, outlines["pupil"], outlines["iris"], overlap)


def _masks(model: LiteRTModel, pixels: np.ndarray) -> np.ndarray:
    """Masks of an image, (4, height, width): each is contiguous, for what is computed from it."""
    return np.ascontiguousarray(np.moveaxis(model(pixels), -1, 0))


def _expected_overlap(masks: np.ndarray) -> float:
    """Product of the expected IoU (intersection over union) of visible iris, pupil and iris."""
    wanted = [masks[CHANNELS.index(name)] for name in ("visible", "pupil", "iris")]
    return math.prod(expected_overlap(mask, mask > 0.5) for mask in wanted)


def _overlap(one: Ellipse, other: Ellipse) -> float:
    """Intersection over union of two ellipses, rasterised at a fixed size."""
    scale = 40.0 / max(one.radius, other.radius)
    x, y = (one.x + other.x) / 2, (one.y + other.y) / 2
    masks = [
        ellipse.scaled(scale, (100.0 - x * scale, 100.0 - y * scale)).mask((201, 201))
        for ellipse in (one, other)
    ]
    both, either = (int(np.count_nonzero(m)) for m in (masks[0] & masks[1], masks[0] | masks[1]))
    return both / max(either, 1)
