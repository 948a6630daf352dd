"""The ROI modes: how the input crop of a network is cut from an image.

``algorithm1``, ``aligned`` and ``unrolled`` take an eye image and its `SegmentedEye`, and set
all pixels outside the visible iris to 0. ``whole`` and ``center`` take any image, so aligned
faces and ready-made crops need no segmenter. All keep the native resolution except ``unrolled``,
whose strip has a fixed size.

Images are grey, of shape (height, width), or colour, of shape (height, width, 3).
"""

import math

import cv2
import numpy as np

from iris_tf.config.names import ROI_MODES
from iris_tf.imaging.images import to_grey
from iris_tf.segmentation.halos import halos
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError, FailureReason

# Grid of the strip. The number of radii is about the width in pixels of the iris ring in a phone
# close-up; the number of angles is a power of two, so that strides of 2 divide it evenly.
STRIP_RADII = 64
STRIP_ANGLES = 512


def algorithm1(image: np.ndarray, eye: SegmentedEye) -> np.ndarray:
    """Masked bounding box of the iris: Algorithm 1 of MobiIris (Huynh et al., 2026).

    ``roi_mask = iris_mask - pupil_mask``; ``roi = image x roi_mask``; the mask
    scaled to 0..255; the bounding box of ``mask > 0``; the crop, which is discarded if it has
    the size of the whole image.

    The paper takes both masks from Open-Iris, whose iris class excludes eyelids but includes
    eyelashes and highlights. A segmenter that produces these masks returns them as
    `SegmentedEye.iris_minus_pupil`, which is used unmodified. Otherwise, ``iris_mask`` is
    `SegmentedEye.visible`, so that detected eyelashes and highlights are 0 as well.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8
    eye : SegmentedEye

    Returns
    -------
    ndarray of shape (roi_height, roi_width) or (roi_height, roi_width, 3), uint8
        Its size follows the visible iris, so eyelids change its aspect ratio.

    Raises
    ------
    ExtractionError
        ``OCCLUDED`` if no iris pixel is visible; ``ROI_IS_WHOLE_IMAGE`` if the crop has the
        size of the image.
    """
    roi_mask = _roi_mask(image, eye, eye.iris_minus_pupil)
    roi = _masked(image, roi_mask)
    mask = roi_mask * np.uint8(255)
    left, top, width, height = cv2.boundingRect(mask)
    if (height, width) == image.shape[:2]:
        raise ExtractionError(
            FailureReason.ROI_IS_WHOLE_IMAGE,
            "The iris region is as large as the whole image, which Algorithm 1 discards; "
            "use an image that shows more around the eye.",
        )
    return roi[top : top + height, left : left + width]


def aligned(image: np.ndarray, eye: SegmentedEye) -> np.ndarray:
    """Masked square around the iris ellipse, independent of the eyelids.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8
    eye : SegmentedEye

    Returns
    -------
    ndarray of shape (2 r + 1, 2 r + 1) or (2 r + 1, 2 r + 1, 3), uint8
        r is the major semi-axis of the iris in pixels, rounded up. The central pixel is the
        one nearest to the iris centre. Pixels outside the image are 0.

    Raises
    ------
    ExtractionError
        ``OCCLUDED`` if no iris pixel is visible.
    """
    roi = _masked(image, _roi_mask(image, eye))
    radius = math.ceil(max(eye.iris.a, eye.iris.b))
    left, top = round(eye.iris.x) - radius, round(eye.iris.y) - radius
    side = 2 * radius + 1
    height, width = image.shape[:2]
    square = np.zeros((side, side, *image.shape[2:]), np.uint8)
    rows = slice(max(top, 0), min(top + side, height))
    columns = slice(max(left, 0), min(left + side, width))
    square[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = roi[
        rows, columns
    ]
    return square


def unrolled(image: np.ndarray, eye: SegmentedEye) -> np.ndarray:
    """Rubber-sheet strip between pupil and limbus (Daugman, 1993), masked.

    Row i lies at the fraction (i + 1/2) / 64 of the way from pupil to limbus, and column j at
    the angle 2 pi j / 512 from +x (image right) towards +y (down), plus the eye's tilt, so that
    column 512 would equal column 0. Interpolation is bilinear. Halos of highlights are masked, too
    (see `iris_tf.segmentation.halos`).

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8
    eye : SegmentedEye

    Returns
    -------
    ndarray of shape (64, 512) or (64, 512, 3), uint8
        Occluded iris, and iris outside the image, is 0; visible iris is at least 1.

    Raises
    ------
    ExtractionError
        ``OCCLUDED`` if no iris pixel is visible.
    """
    angles = eye.tilt + np.arange(STRIP_ANGLES) * (2.0 * np.pi / STRIP_ANGLES)
    share = ((np.arange(STRIP_RADII) + 0.5) / STRIP_RADII)[:, None]
    x, y = (
        ((1.0 - share) * inner + share * outer).astype(np.float32)
        for inner, outer in zip(eye.pupil.points(angles).T, eye.iris.points(angles).T, strict=True)
    )
    # The mask is applied after interpolation: zeros of a masked image would bleed into the
    # visible pixels next to eyelids and highlights.
    strip = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.remap(_roi_mask(image, eye), x, y, cv2.INTER_NEAREST)
    mask[halos(to_grey(strip), mask)] = 0
    # Networks take 0 to mean occluded, so visible pixels are at least 1.
    return _masked(np.maximum(strip, 1), mask)


def whole(image: np.ndarray) -> np.ndarray:
    """Return the image unmodified: an aligned face, or a ready-made crop."""
    return image


def center(image: np.ndarray) -> np.ndarray:
    """Cut the largest central square from an image.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8

    Returns
    -------
    ndarray of shape (side, side) or (side, side, 3), uint8
        The side is the shorter side of the image. If the margins cannot be equal, the left
        or upper one is a pixel smaller.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


IRIS_CROPS = {"algorithm1": algorithm1, "aligned": aligned, "unrolled": unrolled}
"""The function that cuts each of `iris_tf.config.names.IRIS_ROI_MODES`."""

IMAGE_CROPS = {"whole": whole, "center": center}
"""The function that cuts each of `iris_tf.config.names.IMAGE_ROI_MODES`."""


def crop_roi(image: np.ndarray, eye: SegmentedEye | None, mode: str) -> np.ndarray:
    """Crop the region of interest in one of the `ROI_MODES`.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8
    eye : SegmentedEye or None
        Segmentation of that image; None for one of the `IMAGE_ROI_MODES`.
    mode : str
        One of `iris_tf.config.names.ROI_MODES`.

    Returns
    -------
    ndarray of shape (roi_height, roi_width) or (roi_height, roi_width, 3), uint8

    Raises
    ------
    ExtractionError
        If the image yields no crop in this mode.
    ValueError
        If the mode is unknown, or requires a segmentation and `eye` is None.
    """
    if mode in IMAGE_CROPS:
        return IMAGE_CROPS[mode](image)
    if mode not in IRIS_CROPS:
        raise ValueError(f"There is no ROI mode {mode!r}; choose one of {', '.join(ROI_MODES)}.")
    if eye is None:
        raise ValueError(f"The ROI mode {mode!r} needs the outlines of the iris.")
    return IRIS_CROPS[mode](image, eye)


def _roi_mask(image: np.ndarray, eye: SegmentedEye, given: np.ndarray | None = None) -> np.ndarray:
    """Return `given`, or ``iris_mask - pupil_mask``, as uint8 of 0 and 1; never all 0."""
    shape = image.shape[:2]
    if eye.visible.shape != shape:
        raise ValueError(
            f"The mask is {eye.visible.shape} and the image {shape}; "
            "segment the image that is cropped."
        )
    # Set difference: a pupil that extends beyond the iris must not give -1.
    roi_mask = eye.visible & ~eye.pupil.mask(shape) if given is None else given
    if not roi_mask.any():
        raise ExtractionError(
            FailureReason.OCCLUDED, "No pixel of the iris is visible; use an image of an open eye."
        )
    return roi_mask.astype(np.uint8)


def _masked(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Multiply a grey or colour image by a mask of 0 and 1."""
    return image * (mask if image.ndim == 2 else mask[..., None])
