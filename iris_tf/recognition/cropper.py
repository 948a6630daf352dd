"""From an eye image to the ROI crop that a model takes."""

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from iris_tf.config.names import IMAGE_ROI_MODES, KINDS
from iris_tf.imaging.images import (
    MIN_CROP_SIDE,
    MIN_SIDE,
    image_of_array,
    read_image,
    require_sides,
    to_grey,
)
from iris_tf.recognition.motion_blur import require_still
from iris_tf.recognition.strip_checks import why_no_strip
from iris_tf.segmentation.quality import IrisQuality, iris_quality
from iris_tf.segmentation.roi_modes import STRIP_ANGLES, STRIP_RADII, crop_roi
from iris_tf.segmentation.segmenter import Segmenter, segmenter_by_name
from iris_tf.support.errors import ArgumentError, ExtractionError, FailureReason

# A masked crop is exactly 0 in the pupil and outside the iris, its corners included; in an eye
# image few pixels are.
_MIN_BLACK_SHARE_OF_CROP = 0.15
# No image of one eye is this wide or high.
_MAX_ASPECT_OF_EYE_IMAGE = 4.0
# Standard deviation of the visible pixels in grey levels: less than a camera's noise.
_MIN_TEXTURE = 0.5
_WHAT_A_STRIP_IS = (
    f"a strip of {STRIP_ANGLES}x{STRIP_RADII} shows the ring of one iris, whose hidden places are 0"
)

EyeImageSource = str | Path | np.ndarray
"""An eye image or ROI crop: its file, or its pixels as uint8, grey (height, width) or red, green
and blue (height, width, 3). Arrays are converted as files are, see `image_of_array`."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Crop:
    """ROI crop of one image.

    Attributes
    ----------
    roi : ndarray of shape (height, width), uint8
        The crop.
    quality : IrisQuality or None
        Quality of the eye image; None if the image was a crop already.
    """

    roi: np.ndarray
    quality: IrisQuality | None


def looks_like_roi(image: np.ndarray, roi_mode: str) -> bool:
    """Whether an image is a masked ROI crop rather than an eye image.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, 3), uint8
    roi_mode : str
        ROI mode of the crops to recognise, one of `ROI_MODES`. Unrolled strips are recognised by
        size, mask and seam (see `iris_tf.recognition.strip_checks`), because some cameras mask
        the corners of their images.
    """
    if roi_mode == "unrolled":
        return _has_size_of_strip(image) and not why_no_strip(image)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool((corners == 0).all() and np.mean(image == 0) >= _MIN_BLACK_SHARE_OF_CROP)


def _has_size_of_strip(image: np.ndarray) -> bool:
    return image.shape[:2] == (STRIP_RADII, STRIP_ANGLES)


def name_of(image: EyeImageSource) -> str:
    """What messages call an image."""
    return "image array" if isinstance(image, np.ndarray) else str(image)


class Cropper:
    """Crops images as a model card prescribes.

    Parameters
    ----------
    segmenter : str
        Name of the segmenter.
    roi_mode : str
        One of `ROI_MODES`.
    version : str
        Version of the segmenter that made the model's training crops, or ``""`` if unknown. A
        warning is logged at the first eye image if the installed segmenter has another version.
    channels : {1, 3}, optional
        Of the crops.
    segmenter_model : str or Path, optional
        The segmenter's network, if not its default; `version` is that of the default.

    Raises
    ------
    DatasetError, ModelError
        If `segmenter_model` cannot be used.
    """

    def __init__(
        self,
        segmenter: str,
        roi_mode: str,
        version: str = "",
        channels: int = 1,
        segmenter_model: str | Path | None = None,
    ):
        self._name, self._roi_mode, self._version = segmenter, roi_mode, version
        self._channels = channels
        if segmenter_model is not None:
            # Made at once, which refuses a wrong file before any image.
            self._segment = segmenter_by_name(segmenter, segmenter_model)

    @cached_property
    def _segment(self) -> Segmenter:
        # Made for the first eye image only: crops need no segmenter.
        segmenter = segmenter_by_name(self._name)
        if self._version not in ("", segmenter.version):
            _log.warning(
                "The model was trained on crops by version %s of the segmenter %r, but version %s "
                "is installed: similarities may be lower and thresholds wrong; prepare the "
                "training images again and retrain, or give crops instead of eye images.",
                self._version,
                self._name,
                segmenter.version,
            )
        return segmenter

    @property
    def segmenter_version(self) -> str:
        """Version of the segmenter, which names its network, too."""
        return self._segment.version

    def __call__(self, image: EyeImageSource, kind: str = "auto") -> Crop:
        """Crop one image.

        Parameters
        ----------
        image : str, Path, or ndarray of shape (height, width) or (height, width, 3), uint8
            An eye image, or a crop made by `iris-tf prepare`.
        kind : {"auto", "eye", "roi"}
            Whether it is an eye image or a crop; ``"auto"`` decides by `looks_like_roi`. For
            ``"unrolled"``, a crop that `why_no_strip` refuses is none.

        Raises
        ------
        ExtractionError
            When the image cannot be read, no iris is found in it, it is no crop but called one,
            or the crop is blank or blurred by motion; names the file.
        ArgumentError
            When `kind` is none of `KINDS`, or `image` neither a path nor an array.
        """
        if kind not in KINDS:
            raise ArgumentError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}.")
        try:
            crop = self._crop(_pixels(image, self._channels), kind)
            _check_texture(crop.roi)
            if self._roi_mode == "unrolled":
                require_still(crop.roi)
            return crop
        except ExtractionError as error:
            raise ExtractionError(error.reason, f"{name_of(image)}: {error}") from None

    def _crop(self, pixels: np.ndarray, kind: str) -> Crop:
        height, width = pixels.shape[:2]
        if min(height, width) < MIN_CROP_SIDE:
            raise ExtractionError(
                FailureReason.TOO_SMALL,
                f"The image has {width}x{height} pixels; both sides of a crop must be at least "
                f"{MIN_CROP_SIDE}.",
            )
        if self._roi_mode in IMAGE_ROI_MODES:
            return Crop(pixels if kind == "roi" else crop_roi(pixels, None, self._roi_mode), None)
        if kind == "roi":
            self._check_crop(pixels)
            return Crop(pixels, None)
        if kind == "auto":
            if looks_like_roi(pixels, self._roi_mode):
                return Crop(pixels, None)
            self._check_aspect(pixels)
        require_sides(pixels, MIN_SIDE)
        grey = to_grey(pixels)
        eye = self._segment(grey)
        return Crop(crop_roi(pixels, eye, self._roi_mode), iris_quality(grey, eye))

    def _check_crop(self, pixels: np.ndarray) -> None:
        """Refuse what is called a crop and is none that the model takes."""
        if self._roi_mode != "unrolled":
            return
        _check_texture(pixels)  # Says more about a blank strip than the lack of a mask.
        if why := why_no_strip(pixels):
            raise ExtractionError(
                FailureReason.IMPLAUSIBLE_GEOMETRY,
                f"The image is no finished crop for this model: {why}; {_WHAT_A_STRIP_IS}, so "
                "make crops with `iris-tf prepare --roi-mode unrolled`, or give an image of one "
                "eye without `--kind roi`.",
            )

    def _check_aspect(self, pixels: np.ndarray) -> None:
        """Refuse what has the shape of no image of one eye, such as a band with both eyes."""
        height, width = pixels.shape[:2]
        if max(height, width) < _MAX_ASPECT_OF_EYE_IMAGE * min(height, width):
            return
        no_strip = ""
        if self._roi_mode == "unrolled" and _has_size_of_strip(pixels):
            _check_texture(pixels)
            no_strip = f", and it is no finished crop: {why_no_strip(pixels)} ({_WHAT_A_STRIP_IS})"
        raise ExtractionError(
            FailureReason.IMPLAUSIBLE_GEOMETRY,
            f"With {width}x{height} pixels the image is too {'wide' if width > height else 'high'} "
            f"for one eye{no_strip}; cut out one eye.",
        )


def _check_texture(roi: np.ndarray) -> None:
    """Refuse a crop that shows nothing to compare: any two blank crops are similar."""
    visible = roi[roi > 0]
    if not visible.size:
        raise ExtractionError(
            FailureReason.OCCLUDED, "No iris is visible in the crop, which is black all over."
        )
    if visible.std() < _MIN_TEXTURE:
        raise ExtractionError(
            FailureReason.LOW_QUALITY,
            f"The crop has no texture: its visible pixels are all of grey level "
            f"{visible.mean():.0f}; use a sharp, well-exposed image.",
        )


def _pixels(image: EyeImageSource, channels: int) -> np.ndarray:
    if isinstance(image, str | Path):
        return read_image(image, channels).pixels
    if not isinstance(image, np.ndarray):
        raise ArgumentError(
            f"An image is given as {type(image).__name__}; give a path or a NumPy array of uint8, "
            "for instance numpy.asarray(image) of an image by another library."
        )
    return image_of_array(image, channels).pixels
