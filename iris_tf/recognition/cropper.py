"""From a picture to the crop that a model wants."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from iris_tf.imaging.images import MIN_SIDE, read_image
from iris_tf.segmentation.quality import IrisQuality, iris_quality
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import Segmenter, segmenter_by_name
from iris_tf.support.errors import ExtractionError, FailureReason

# A masked crop is black outside the iris, in the pupil, and so in its corners;
# a photograph of an eye has little that is exactly 0.
_LEAST_BLACK_SHARE_OF_CROP = 0.15
# No camera's picture is so wide, and an unrolled strip always is.
_LEAST_ASPECT_OF_STRIP = 4.0
_LEAST_SIDE_OF_CROP = 16  # pixels

Picture = str | Path | np.ndarray

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Crop:
    """What came of one picture.

    Attributes
    ----------
    roi : ndarray of shape (height, width), uint8
        The crop.
    quality : IrisQuality or None
        Quality of the eye image; None for a picture that was a crop already.
    """

    roi: np.ndarray
    quality: IrisQuality | None


def looks_like_roi(image: np.ndarray, roi_mode: str) -> bool:
    """Whether a picture is a masked crop of this project rather than a photograph of an eye.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    roi_mode : str
        Of the crops that it may be. Where they are strips, black corners do not make
        one: some cameras mask their pictures round.
    """
    height, width = image.shape
    if width >= _LEAST_ASPECT_OF_STRIP * height:
        return True
    if roi_mode == "unrolled":
        return False
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool((corners == 0).all() and np.mean(image == 0) >= _LEAST_BLACK_SHARE_OF_CROP)


class Cropper:
    """Crop pictures as a model card says.

    Parameters
    ----------
    segmenter : str
        Name of the segmenter.
    roi_mode : str
        ``"algorithm1"``, ``"aligned"`` or ``"unrolled"``.
    version : str
        Of the segmenter that the model's training crops came from, where that is known. A
        warning is logged with the first eye image if this one is another.
    """

    def __init__(self, segmenter: str, roi_mode: str, version: str = ""):
        self._name, self._roi_mode, self._version = segmenter, roi_mode, version

    @cached_property
    def _segment(self) -> Segmenter:
        # Made when the first eye image comes: ready crops need no segmenter.
        segmenter = segmenter_by_name(self._name)
        if self._version not in ("", segmenter.version):
            _log.warning(
                "The model learnt from crops of version %s of the segmenter %r, and this is "
                "version %s: similarities can be lower and thresholds wrong; prepare the "
                "training images again and train on them, or give crops instead of eye images.",
                self._version,
                self._name,
                segmenter.version,
            )
        return segmenter

    def __call__(self, picture: Picture, kind: str = "auto") -> Crop:
        """Crop one picture.

        Parameters
        ----------
        picture : str, Path, or ndarray of shape (height, width), uint8
            An eye image, or a crop made by `iris-tf prepare`.
        kind : {"auto", "eye", "roi"}
            What the picture is; ``"auto"`` tells by `looks_like_roi`.

        Raises
        ------
        ExtractionError
            When the picture cannot be read or no iris is found in it; names the file.
        """
        try:
            return self._crop(_pixels(picture), kind)
        except ExtractionError as error:
            name = "image array" if isinstance(picture, np.ndarray) else picture
            raise ExtractionError(error.reason, f"{name}: {error}") from None

    def _crop(self, pixels: np.ndarray, kind: str) -> Crop:
        height, width = pixels.shape
        if min(height, width) < _LEAST_SIDE_OF_CROP:
            raise ExtractionError(
                FailureReason.TOO_SMALL,
                f"The picture has {width}x{height} pixels, too few for a crop.",
            )
        if kind == "roi" or (kind == "auto" and looks_like_roi(pixels, self._roi_mode)):
            return Crop(pixels, None)
        if min(height, width) < MIN_SIDE:
            raise ExtractionError(
                FailureReason.TOO_SMALL,
                f"The image has {width}x{height} pixels; both sides must be at least {MIN_SIDE}.",
            )
        eye = self._segment(pixels)
        return Crop(crop_roi(pixels, eye, self._roi_mode), iris_quality(pixels, eye))


def _pixels(picture: Picture) -> np.ndarray:
    if not isinstance(picture, np.ndarray):
        return read_image(picture).pixels
    if picture.ndim != 2 or picture.dtype != np.uint8:
        raise ExtractionError(
            FailureReason.UNREADABLE,
            f"The array has shape {picture.shape} and type {picture.dtype}; give grey levels as "
            "uint8 of shape (height, width).",
        )
    return np.ascontiguousarray(picture)
