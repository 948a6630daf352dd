"""The classical segmenter: image processing only, no trained weights."""

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.occlusion import visible_iris
from iris_tf.segmentation.outlines import Outline, find_limbus, fit_limbus, fit_pupil
from iris_tf.segmentation.plausibility import check_geometry, check_visible
from iris_tf.segmentation.pupil import SEARCH_SIDE, find_eye
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError, FailureReason

_SPOT_SIDE, _SPOT_RISE = 17, 40  # side in search-image pixels; minimum rise in grey levels

# A confident wrong outline costs more than a failure. Correct outlines of real and synthetic eyes
# clear every limit by a wide margin; random textures rarely clear all of them.
_MIN_SCORE = 2.0
_MAX_UNEVENNESS = 0.6  # brightness range within the pupil over the contrast at its edge
_MIN_PUPIL_STEP, _MIN_PUPIL_SUPPORT = 6.0, 0.5
_MIN_IRIS_STEP, _MIN_IRIS_SUPPORT = 3.0, 0.4


class OpenCVSegmenter:
    """Segment close-ups of one eye with OpenCV and NumPy.

    Candidate centres come from gradient voting and dark blobs. An integro-differential
    operator (Daugman, 1993) scores pupil and limbus of each candidate jointly. Ellipses are
    then fitted robustly to the strongest steps along rays. Eyelids are the parabolas that
    best separate iris from other pixels.

    Designed for near-infrared images between 320 x 240 and 640 x 480 with an iris diameter
    of 90-300 pixels.
    """

    name = "opencv"
    version = "2"

    def __call__(self, image: np.ndarray) -> SegmentedEye:
        """Segment one eye; see `Segmenter`."""
        scale = max(max(image.shape) / SEARCH_SIDE, 1.0)
        matt = _without_reflections(image, scale)
        small = matt
        if scale > 1.0:
            size = (round(image.shape[1] / scale), round(image.shape[0] / scale))
            small = cv2.resize(matt, size, interpolation=cv2.INTER_AREA)
        coarse = find_eye(small)
        if coarse is None or coarse.score < _MIN_SCORE:
            raise ExtractionError(
                FailureReason.NO_PUPIL, "No dark disc with a ring around it was found in the image."
            )
        # Pixel centres are at integers, so scaling involves a half-pixel shift.
        x, y = (coarse.x + 0.5) * scale - 0.5, (coarse.y + 0.5) * scale - 0.5
        start = Ellipse(x, y, coarse.pupil * scale, coarse.pupil * scale)
        smooth = cv2.GaussianBlur(matt, (0, 0), max(0.012 * coarse.iris * scale, 0.8))
        smooth = smooth.astype(np.float32)

        pupil = fit_pupil(smooth, start)
        if pupil is None or pupil.step < _MIN_PUPIL_STEP or pupil.support < _MIN_PUPIL_SUPPORT:
            raise ExtractionError(
                FailureReason.NO_PUPIL, "The darkest disc in the image has no clear round edge."
            )
        if _unevenness(smooth, pupil.ellipse) > _MAX_UNEVENNESS * pupil.step:
            raise ExtractionError(
                FailureReason.NO_PUPIL,
                "The disc that stands out most is not evenly dark.",
            )
        iris = fit_limbus(smooth, find_limbus(smooth, pupil.ellipse, coarse.iris * scale))
        if iris is None or iris.step < _MIN_IRIS_STEP or iris.support < _MIN_IRIS_SUPPORT:
            raise ExtractionError(
                FailureReason.NO_IRIS, "A pupil was found, but no clear outer edge of the iris."
            )
        check_geometry(pupil.ellipse, iris.ellipse, image.shape)
        visible = visible_iris(image, pupil.ellipse, iris.ellipse)
        check_visible(pupil.ellipse, iris.ellipse, visible)
        return SegmentedEye(pupil.ellipse, iris.ellipse, visible, _confidence(pupil, iris))


def _confidence(pupil: Outline, iris: Outline) -> float:
    """0 at the limits below which an outline is rejected; rises to 1 with contrast and support."""
    margins = (
        1.0 - _MIN_PUPIL_STEP / pupil.step,
        (pupil.support - _MIN_PUPIL_SUPPORT) / (1.0 - _MIN_PUPIL_SUPPORT),
        1.0 - _MIN_IRIS_STEP / iris.step,
        (iris.support - _MIN_IRIS_SUPPORT) / (1.0 - _MIN_IRIS_SUPPORT),
    )
    # The minimum decides: a clear pupil is no evidence for the limbus.
    return float(np.clip(min(margins), 0.0, 1.0))


def _without_reflections(image: np.ndarray, scale: float) -> np.ndarray:
    """Replace specular highlights with their surroundings.

    A ring of LED reflections in a pupil resembles a small pupil in a bright iris.
    `scale` is the number of image pixels per pixel of the search image.
    """
    size = round(_SPOT_SIDE * scale)
    opened = cv2.morphologyEx(image, cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    # Only near the maximum of the image, because texture between dark crypts is also brighter
    # than its surroundings.
    spots = (image >= 0.85 * image.max()) & (cv2.subtract(image, opened) > _SPOT_RISE)
    margin = 2 * round(1.5 * scale) + 1
    spots = cv2.dilate(spots.astype(np.uint8), np.ones((margin, margin), np.uint8))
    return np.where(spots.astype(bool), opened, image)


def _unevenness(image: np.ndarray, pupil: Ellipse) -> float:
    """Brightness range within the pupil, excluding its brightest pixels (reflections)."""
    core = Ellipse(pupil.x, pupil.y, 0.85 * pupil.a, 0.85 * pupil.b, pupil.angle)
    values = image[core.mask(image.shape)]
    if not len(values):
        return np.inf
    low, high = np.percentile(values, (10, 60))
    return float(high - low)
