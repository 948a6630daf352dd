"""The segmenter interface, its result, and the registry of implementations."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.errors import DatasetError

# name -> (module, class). Modules are imported lazily, because an implementation may depend on an
# optional library.
SEGMENTERS = {
    "open-iris": ("iris_tf.segmentation.open_iris_segmenter", "OpenIrisSegmenter"),
    "network": ("iris_tf.segmentation.network_segmenter", "NetworkSegmenter"),
    "opencv": ("iris_tf.segmentation.opencv_segmenter", "OpenCVSegmenter"),
}


@dataclass(frozen=True)
class SegmentedEye:
    """Segmentation of one eye image.

    Attributes
    ----------
    pupil, iris : Ellipse
        Complete outlines of pupil and iris (limbus) in pixels, including the parts under
        the eyelids. The iris may extend beyond the image.
    visible : ndarray of shape (height, width), bool
        Visible iris mask: the ring between the outlines minus eyelids, eyelashes and
        highlights.
    confidence : float, optional
        Estimated reliability of the result, 0..1; 1 for known outlines. Comparable only
        between results of the same segmenter.
    opening : ndarray of shape (height, width), bool, optional
        Eyeball between the eyelids: sclera, iris and pupil, including what eyelashes
        cover. None if the segmenter does not provide it.
    iris_minus_pupil : ndarray of shape (height, width), bool, optional
        The mask that Algorithm 1 crops by, from a segmenter that produces the same masks
        as the paper's. None: `visible` is used instead.
    tilt : float, optional
        Rotation of the eye from upright in radians, -pi..pi, from +x towards +y, at which strips
        begin. 0 for an eye that is about upright, and from segmenters that do not tell.
    """

    pupil: Ellipse
    iris: Ellipse
    visible: np.ndarray
    confidence: float = 1.0
    opening: np.ndarray | None = None
    iris_minus_pupil: np.ndarray | None = None
    tilt: float = 0.0


class Segmenter(Protocol):
    """Finds pupil, iris and visible iris in an eye image.

    Implementations are picklable (datasets are prepared in several processes) and
    deterministic.

    Attributes
    ----------
    name : str
        Key of ``SEGMENTERS``.
    version : str
        Changes whenever results change, e.g. with new weights. A dataset prepared with
        another version is out of date.
    """

    name: str
    version: str

    def __call__(self, image: np.ndarray) -> SegmentedEye:
        """Segment one eye.

        Parameters
        ----------
        image : ndarray of shape (height, width), uint8
            Near-infrared eye image, at least 64 x 64 pixels.

        Returns
        -------
        SegmentedEye

        Raises
        ------
        ExtractionError
            If no iris is found reliably; `reason` says why. No pixel content raises any
            other exception.
        """
        ...


def segmenter_by_name(name: str, model: str | Path | None = None) -> Segmenter:
    """Create the segmenter called `name`.

    Parameters
    ----------
    name : str
        A key of ``SEGMENTERS``.
    model : str or Path, optional
        Network file, for segmenters that have a network; None for the default one.

    Returns
    -------
    Segmenter

    Raises
    ------
    DatasetError
        If no segmenter has that name, or the segmenter takes no model file.
    ModelError
        If the model file cannot be used.
    """
    if name not in SEGMENTERS:
        raise DatasetError(
            f"There is no segmenter called {name!r}; choose one of {', '.join(sorted(SEGMENTERS))}."
        )
    module, class_name = SEGMENTERS[name]
    cls = getattr(import_module(module), class_name)
    if model is None:
        return cls()
    if "model" not in inspect.signature(cls).parameters:
        raise DatasetError(f"{model}: the segmenter {name!r} has no network; leave the file out.")
    return cls(model=Path(model))
