"""The three steps from an image file to its crop: read, locate, crop.

`CropSteps` holds one function per step, so another kind of dataset can replace a single step
without touching the rest of the preparation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.imaging.images import (
    MIN_CROP_SIDE,
    DecodedImage,
    read_eye,
    read_image,
    require_sides,
    to_grey,
)
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye, Segmenter


@dataclass(frozen=True)
class CropSteps:
    """The steps that turn one image into a crop. Each raises `ExtractionError` on failure.

    Attributes
    ----------
    read : callable
        ``read(path) -> DecodedImage``.
    locate : callable
        ``locate(pixels) -> SegmentedEye or None``; None without a segmenter.
    crop : callable
        ``crop(pixels, located) -> ndarray``.
    """

    read: Callable[[Path], DecodedImage]
    locate: Callable[[np.ndarray], SegmentedEye | None]
    crop: Callable[[np.ndarray, SegmentedEye | None], np.ndarray]


def crop_steps(segment: Segmenter | None, roi_mode: str, channels: int) -> CropSteps:
    """Build the steps of a dataset.

    Parameters
    ----------
    segment : Segmenter or None
        None for ROI modes that need no segmentation.
    roi_mode : str
        One of `iris_tf.config.names.ROI_MODES`.
    channels : {1, 3}
        Channels of the crops. Segmenters always get grey images.
    """

    def crop(pixels: np.ndarray, located: SegmentedEye | None) -> np.ndarray:
        return crop_roi(pixels, located, roi_mode)

    if segment is None:
        return CropSteps(lambda path: _read_crop(path, channels), lambda pixels: None, crop)
    return CropSteps(
        lambda path: read_eye(path, channels), lambda pixels: segment(to_grey(pixels)), crop
    )


def _read_crop(path: Path, channels: int) -> DecodedImage:
    image = read_image(path, channels)
    require_sides(image.pixels, MIN_CROP_SIDE)
    return image
