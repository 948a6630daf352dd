"""What a segmenter takes and gives, and how one is found by name."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.errors import DatasetError

# name -> (module, class). Modules are imported when asked for, because an
# implementation may need a library that others do without.
SEGMENTERS = {
    "open-iris": ("iris_tf.segmentation.open_iris_segmenter", "OpenIrisSegmenter"),
    "network": ("iris_tf.segmentation.network_segmenter", "NetworkSegmenter"),
    "opencv": ("iris_tf.segmentation.opencv_segmenter", "OpenCVSegmenter"),
}


@dataclass(frozen=True)
class SegmentedEye:
    """Where pupil and iris are in one eye image.

    Attributes
    ----------
    pupil, iris : Ellipse
        Outlines of pupil and iris (limbus) in pixels, also where lids hide
        them. The iris may reach beyond the frame.
    visible : ndarray of shape (height, width), bool
        The iris pixels that can be seen: the ring between both outlines
        without lids, lashes and highlights.
    confidence : float, optional
        How far the result can be trusted, 0..1; 1 is for outlines that are
        known. Comparable among results of one segmenter only.
    opening : ndarray of shape (height, width), bool, optional
        Eyeball between the lids: sclera, iris and pupil, whatever lashes lie
        over it. None where the segmenter does not look for it.
    iris_minus_pupil : ndarray of shape (height, width), bool, optional
        The mask that Algorithm 1 crops by, for a segmenter that makes the very
        masks of which the paper speaks. None: `visible` stands for it.
    """

    pupil: Ellipse
    iris: Ellipse
    visible: np.ndarray
    confidence: float = 1.0
    opening: np.ndarray | None = None
    iris_minus_pupil: np.ndarray | None = None


class Segmenter(Protocol):
    """Finds pupil, iris and visible iris in an eye image.

    Implementations can be pickled (datasets are prepared by several processes)
    and give the same result for the same image.

    Attributes
    ----------
    name : str
        Key of ``SEGMENTERS``.
    version : str
        Changes whenever the results change, e.g. with the weights: a dataset
        prepared by another version is out of date.
    """

    name: str
    version: str

    def __call__(self, image: np.ndarray) -> SegmentedEye:
        """Segment one eye.

        Parameters
        ----------
        image : ndarray of shape (height, width), uint8
            Near-infrared eye image, any size from 64 x 64.

        Returns
        -------
        SegmentedEye

        Raises
        ------
        ExtractionError
            When no trustworthy iris is found; `reason` says why. Nothing else
            is raised, whatever the pixels are.
        """
        ...


def segmenter_by_name(name: str, model: str | Path | None = None) -> Segmenter:
    """Make the segmenter called `name`.

    Parameters
    ----------
    name : str
        A key of ``SEGMENTERS``.
    model : str or Path, optional
        File with the segmenter's network, for those that have one; None for
        the one that comes with it.

    Returns
    -------
    Segmenter

    Raises
    ------
    DatasetError
        If there is none of that name, or it takes no model file.
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
