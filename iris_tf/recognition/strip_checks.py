"""Whether an image is a finished strip: the unrolled, masked ring of one iris.

The network compares any two images, and finds two lines of text or two halves of a face alike. A
strip (see `iris_tf.segmentation.roi_modes.unrolled`) is told from other images by its mask and by
its being a ring. The limits accept all of 3,211 strips: 2,679 of two cameras, and 532 of 216
generated images of 25 cameras, by two segmenters and by the ground truth.
"""

import cv2
import numpy as np

from iris_tf.imaging.images import to_grey
from iris_tf.segmentation.roi_modes import STRIP_ANGLES, STRIP_RADII

# Hidden places are those of eyelids, or lie along the outlines, which are rarely found to the
# pixel, so they reach the strip's first or last row; highlights and single eyelashes do not.
# Shares of the strip, and of its hidden pixels (least of all strips: 0.8 % and 25 %).
_MIN_ATTACHED = 0.004
_MIN_ATTACHED_OF_HIDDEN = 0.1
# Hidden places apart from these rows: black letters or noise have hundreds, the strips at most 22.
_MAX_HOLES = 30
# Borders between a hidden pixel and a visible one below or above it, relative to those with one
# beside it: bars have hardly any (at least 0.43).
_MIN_RADIAL_BORDERS = 0.25
# Median of the visible pixels near hidden ones, relative to that of all: a mask cuts the iris off
# (at least 0.59), but a dark place of a photograph, a pupil for instance, has a dark rim.
_RIM = 2
_MIN_RIM_LEVEL = 0.45
# Correlation of neighbouring pixels, which noise and small print lack (at least 0.49).
_MIN_CORRELATION = 0.45
# Mean difference, in grey levels, between the last column and the first, which is its neighbour:
# at most this factor of that of other neighbours, plus an offset for smooth strips. Not judged if
# fewer rows than this show both.
_SEAM_FACTOR, _SEAM_OFFSET = 3.0, 3.0
_MIN_SEAM_ROWS = 32


def why_no_strip(image: np.ndarray) -> str:
    """Say what shows that an image is no strip.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8

    Returns
    -------
    str
        A clause with ``it`` for the image, or ``""`` if nothing shows that.
    """
    height, width = image.shape[:2]
    if width * STRIP_RADII != height * STRIP_ANGLES:
        return f"it has {width}x{height} pixels"
    strip = grey_strip(image)
    return _fault_of_mask(strip) or _fault_of_texture(strip)


def grey_strip(image: np.ndarray) -> np.ndarray:
    """A strip (height, width) or (height, width, 3), uint8, as a grey one of the usual size."""
    # Without interpolation, which would blend hidden pixels with visible ones.
    size = (STRIP_ANGLES, STRIP_RADII)
    return cv2.resize(to_grey(image), size, interpolation=cv2.INTER_NEAREST)


def _fault_of_mask(strip: np.ndarray) -> str:
    hidden = strip == 0
    if hidden.all():
        return "no pixel of it is visible"
    attached, holes = _hidden_places(hidden)
    if attached < max(_MIN_ATTACHED * hidden.size, _MIN_ATTACHED_OF_HIDDEN * hidden.sum()):
        return "hardly any pixels along its upper and lower edge are hidden (0)"
    if holes > _MAX_HOLES:
        return f"it has {holes} separate places of hidden pixels (0)"
    above, beside = hidden[1:] != hidden[:-1], hidden != np.roll(hidden, 1, axis=1)
    if above.sum() < _MIN_RADIAL_BORDERS * beside.sum():
        return "its hidden pixels (0) form bars, as in a barcode"
    rim = near_hidden(hidden, _RIM) & ~hidden
    if np.median(strip[rim]) < _MIN_RIM_LEVEL * np.median(strip[~hidden]):
        return "its black places (0) have a dark rim, so that they are no mask"
    return ""


def _fault_of_texture(strip: np.ndarray) -> str:
    angular = _neighbours(strip[:, :-1], strip[:, 1:])
    radial = _neighbours(strip[:-1], strip[1:])
    if min(_correlation(angular), _correlation(radial)) < _MIN_CORRELATION:
        return "neighbouring pixels are unrelated, as in noise or small print"
    seam = _neighbours(strip[:, -1], strip[:, 0])
    most = _SEAM_FACTOR * _difference(angular) + _SEAM_OFFSET
    if seam.shape[1] >= _MIN_SEAM_ROWS and _difference(seam) > most:
        return "its last column does not continue in its first"
    return ""


def _hidden_places(hidden: np.ndarray) -> tuple[int, int]:
    """Hidden pixels connected to the first or last row, and the number of other hidden places.

    A place across the seam counts twice.
    """
    # Half a turn more at either end, so that places are connected across the seam.
    half = STRIP_ANGLES // 2
    ring = np.pad(hidden.astype(np.uint8), ((0, 0), (half, half)), mode="wrap")
    count, labels = cv2.connectedComponents(ring, connectivity=8)
    at_edge = np.zeros(count, bool)
    at_edge[labels[[0, -1]]] = True
    pixels = np.bincount(labels[:, half:-half].ravel(), minlength=count)
    pixels[0] = 0  # what is visible
    return int(pixels[at_edge].sum()), int((pixels[~at_edge] > 0).sum())


def near_hidden(hidden: np.ndarray, reach: int) -> np.ndarray:
    """Pixels (height, width), bool, at most so far from hidden ones, row- and columnwise."""
    ring = np.pad(hidden.astype(np.uint8), ((0, 0), (reach, reach)), mode="wrap")
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return cv2.dilate(ring, square)[:, reach:-reach] > 0


def _neighbours(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Levels of neighbouring pixels that are both visible, of shape (2, pairs)."""
    visible = (first > 0) & (second > 0)
    return np.stack([first[visible], second[visible]]).astype(np.float64)


def _difference(pairs: np.ndarray) -> float:
    return float(np.abs(pairs[0] - pairs[1]).mean()) if pairs.size else 0.0


def _correlation(pairs: np.ndarray) -> float:
    varied = pairs.size and np.ptp(pairs, axis=1).all()
    return float(np.corrcoef(pairs)[0, 1]) if varied else 0.0
