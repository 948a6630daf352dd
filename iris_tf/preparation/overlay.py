"""Thumbnails of images with the outlines that were found, for visual inspection."""

import cv2
import numpy as np

from iris_tf.segmentation.segmenter import SegmentedEye

HEIGHT = 160  # pixels of a thumbnail
MAX_WIDTH = 320  # limits the thumbnails of panoramic images

# Okabe and Ito's palette, distinct under all kinds of colour vision. BGR.
PUPIL_COLOUR = (0, 159, 230)  # orange
IRIS_COLOUR = (233, 180, 86)  # sky blue
HIDDEN_COLOUR = (167, 121, 204)  # reddish purple

_HIDDEN_SHARE = 0.4  # opacity of the colour over occluded iris
_JPEG_QUALITY = 80
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 90, endpoint=False)


def overlay_path(roi: str) -> str:
    """Path of an image's thumbnail, given that of its crop, both relative to the dataset folder."""
    return f"overlays/{roi.removeprefix('roi/').removesuffix('.png')}.jpg"


def draw_overlay(image: np.ndarray, eye: SegmentedEye | None = None) -> bytes:
    """Draw a thumbnail; with a segmentation, also its outlines and the occluded iris.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8
    eye : SegmentedEye, optional
        Segmentation of that image.

    Returns
    -------
    bytes
        JPEG file, `HEIGHT` pixels high or `MAX_WIDTH` wide; never enlarged.
    """
    height, width = image.shape[:2]
    scale = min(HEIGHT / height, MAX_WIDTH / width, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if small.ndim == 3:
        small = small[..., ::-1]  # BGR
    if eye is None:
        return _jpeg(small)
    # Sizes are rounded, so each axis has its own scale.
    scales = np.array([size[0] / width, size[1] / height])
    outlines = [_scaled(ellipse.points(_ANGLES), scales) for ellipse in (eye.iris, eye.pupil)]
    thumbnail = small.copy() if small.ndim == 3 else cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)

    ring = np.zeros(small.shape[:2], np.uint8)
    cv2.fillPoly(ring, outlines[:1], 1, shift=4)
    cv2.fillPoly(ring, outlines[1:], 0, shift=4)
    seen = cv2.resize(eye.visible.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    hidden = (ring > 0) & (seen == 0)
    shade = np.array(HIDDEN_COLOUR) * _HIDDEN_SHARE
    thumbnail[hidden] = thumbnail[hidden] * (1.0 - _HIDDEN_SHARE) + shade

    for outline, colour in zip(outlines, (IRIS_COLOUR, PUPIL_COLOUR), strict=True):
        cv2.polylines(thumbnail, [outline], True, colour, 1, cv2.LINE_AA, 4)
    return _jpeg(thumbnail)


def _scaled(points: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Points on the thumbnail in 16ths of a pixel; pixel centres are at integers."""
    # Points far outside the image are clipped, so that fixed-point numbers do not overflow.
    pixels = np.clip((points + 0.5) * scales - 0.5, -1e4, 1e4)
    return np.round(pixels * 16.0).astype(np.int32)


def _jpeg(thumbnail: np.ndarray) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return cv2.imencode(".jpg", thumbnail, options)[1].tobytes()
