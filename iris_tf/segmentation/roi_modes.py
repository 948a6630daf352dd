"""The three ROI modes: how an eye image becomes the crop that a network sees.

Each takes the image and its `SegmentedEye`, keeps the native resolution (the
strip has its own) and sets everything that is not visible iris to 0.
"""

import math

import cv2
import numpy as np

from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError, FailureReason

# The strip's grid: as tall as an iris ring of a phone close-up is wide, and a
# power of two around, so that it halves evenly down to any network input.
STRIP_RADII = 64
STRIP_ANGLES = 512


def algorithm1(image: np.ndarray, eye: SegmentedEye) -> np.ndarray:
    """Masked bounding box of the iris: Algorithm 1 of MobiIris (Huynh et al., 2026).

    ``roi_mask = iris_mask - pupil_mask``; ``roi = image x roi_mask``; the mask
    scaled to 0..255; the bounding box of ``mask > 0``; the crop; discarded when
    it has the size of the whole image.

    The paper takes both masks from Open-Iris, whose iris class covers what lids
    leave of the iris, while lashes and highlights stay in. A segmenter that has
    these masks gives them as `SegmentedEye.iris_minus_pupil`, and they are taken
    as they are. With any other, ``iris_mask`` is `SegmentedEye.visible`, so
    lashes and highlights that the segmenter found are 0 as well.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    eye : SegmentedEye

    Returns
    -------
    ndarray of shape (roi_height, roi_width), uint8
        Its sides follow the visible iris, so lids change its shape.

    Raises
    ------
    ExtractionError
        ``OCCLUDED`` if no iris pixel is visible, ``ROI_IS_WHOLE_IMAGE`` if the
        crop is as large as the image.
    """
    roi_mask = _roi_mask(image, eye, eye.iris_minus_pupil)
    roi = image * roi_mask
    mask = roi_mask * np.uint8(255)
    left, top, width, height = cv2.boundingRect(mask)
    if (height, width) == image.shape:
        raise ExtractionError(
            FailureReason.ROI_IS_WHOLE_IMAGE,
            "The iris region is as large as the whole image, which Algorithm 1 discards; "
            "use an image that shows more around the eye.",
        )
    return roi[top : top + height, left : left + width]


def aligned(image: np.ndarray, eye: SegmentedEye) -> np.ndarray:
    """Masked square around the iris ellipse, whatever the lids cover.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    eye : SegmentedEye

    Returns
    -------
    ndarray of shape (2 r + 1, 2 r + 1), uint8
        r is the iris's longer semi-axis in pixels, rounded up; the middle pixel
        is the one nearest to the iris centre. What lies outside the frame is 0.

    Raises
    ------
    ExtractionError
        ``OCCLUDED`` if no iris pixel is visible.
    """
    roi = image * _roi_mask(image, eye)
    radius = math.ceil(max(eye.iris.a, eye.iris.b))
    left, top = round(eye.iris.x) - radius, round(eye.iris.y) - radius
    side = 2 * radius + 1
    height, width = image.shape
    square = np.zeros((side, side), np.uint8)
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    square[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = roi[
        rows, columns
    ]
    return square


def unrolled(image: np.ndarray, eye: SegmentedEye) -> np.ndarray:
    """Rubber-sheet strip between pupil and limbus (Daugman, 1993), masked.

    Row i lies at the fraction (i + 1/2) / 64 of the way from pupil to limbus;
    column j at the angle 2 pi j / 512, from +x (image right) towards +y (down),
    so column 512 would be column 0 again. Pixels between four neighbours are
    interpolated bilinearly.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    eye : SegmentedEye

    Returns
    -------
    ndarray of shape (64, 512), uint8
        Hidden iris, and iris outside the frame, is 0; visible iris is at least 1.

    Raises
    ------
    ExtractionError
        ``OCCLUDED`` if no iris pixel is visible.
    """
    angles = np.arange(STRIP_ANGLES) * (2.0 * np.pi / STRIP_ANGLES)
    share = ((np.arange(STRIP_RADII) + 0.5) / STRIP_RADII)[:, None, None]
    grid = (1.0 - share) * eye.pupil.points(angles) + share * eye.iris.points(angles)
    x, y = np.ascontiguousarray(grid.astype(np.float32).transpose(2, 0, 1))
    # The mask is applied after interpolation: zeros of a masked image would
    # bleed into the visible pixels next to lids and highlights.
    strip = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.remap(_roi_mask(image, eye), x, y, cv2.INTER_NEAREST)
    # 0 says hidden, and networks read it so: the blackest that is seen is 1.
    return np.maximum(strip, 1) * mask


CROPS = {"algorithm1": algorithm1, "aligned": aligned, "unrolled": unrolled}
"""The function that cuts each of `iris_tf.config.names.ROI_MODES`."""


def crop_roi(image: np.ndarray, eye: SegmentedEye, mode: str) -> np.ndarray:
    """Crop the region of interest in one of the `ROI_MODES`.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    eye : SegmentedEye
        Segmentation of that image.
    mode : {'algorithm1', 'aligned', 'unrolled'}

    Returns
    -------
    ndarray of shape (roi_height, roi_width), uint8

    Raises
    ------
    ExtractionError
        If the image gives no crop in this mode.
    ValueError
        If the mode is unknown.
    """
    if mode not in CROPS:
        raise ValueError(f"There is no ROI mode {mode!r}; choose one of {', '.join(CROPS)}.")
    return CROPS[mode](image, eye)


def _roi_mask(image: np.ndarray, eye: SegmentedEye, given: np.ndarray | None = None) -> np.ndarray:
    """Return `given`, or ``iris_mask - pupil_mask``, as uint8 zeros and ones, not all zero."""
    if eye.visible.shape != image.shape:
        raise ValueError(
            f"The mask is {eye.visible.shape} and the image {image.shape}; "
            "segment the very image that is cropped."
        )
    # Subtraction of sets: a pupil that reaches past the iris leaves no -1.
    roi_mask = eye.visible & ~eye.pupil.mask(image.shape) if given is None else given
    if not roi_mask.any():
        raise ExtractionError(
            FailureReason.OCCLUDED, "No pixel of the iris is visible; use an image of an open eye."
        )
    return roi_mask.astype(np.uint8)
