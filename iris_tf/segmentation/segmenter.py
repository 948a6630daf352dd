"""What a segmenter takes and gives, and how one is found by name."""

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np

from iris_tf.errors import DatasetError
from iris_tf.geometry import Ellipse

# name -> (module, class). Modules are imported when asked for, because an
# implementation may need a library that others do without.
SEGMENTERS = {
    "opencv": ("iris_tf.segmentation.opencv", "OpenCVSegmenter"),
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
    """

    pupil: Ellipse
    iris: Ellipse
    visible: np.ndarray


class Segmenter(Protocol):
    """Finds pupil, iris and visible iris in an eye image.

    Implementations can be pickled (datasets are prepared by several processes)
    and give the same result for the same image.
    """

    name: str

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


def segmenter_by_name(name: str) -> Segmenter:
    """Make the segmenter called `name`.

    Parameters
    ----------
    name : str
        A key of ``SEGMENTERS``.

    Returns
    -------
    Segmenter

    Raises
    ------
    DatasetError
        If there is none of that name.
    """
    if name not in SEGMENTERS:
        raise DatasetError(
            f"There is no segmenter called {name!r}; choose one of {', '.join(sorted(SEGMENTERS))}."
        )
    module, cls = SEGMENTERS[name]
    return getattr(import_module(module), cls)()
