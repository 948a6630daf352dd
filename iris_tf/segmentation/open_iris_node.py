"""iris_tf segmenters as the first node of the Open-Iris pipeline (extra ``open-iris``).

The geometry, normalisation, Gabor filters and IrisCode of Open-Iris then run on the masks of
any segmenter that detects the eyelids, without Open-Iris's own network.
Importing this module needs Open-Iris.
"""

from pathlib import Path
from typing import Any

import cv2
import iris
import numpy as np
from iris.io.class_configs import Algorithm

from iris_tf.config.names import DEFAULT_SEGMENTER
from iris_tf.segmentation.open_iris_segmenter import largest_region
from iris_tf.segmentation.segmenter import SegmentedEye, segmenter_by_name
from iris_tf.support.errors import DatasetError

_CLASSES = {0: "eyeball", 1: "iris", 2: "pupil", 3: "eyelashes"}


class SegmenterNode(Algorithm):
    """Node that supplies Open-Iris with the masks of an iris_tf segmenter.

    Parameters
    ----------
    segmenter : str
        Key of ``SEGMENTERS``.
    model : str, optional
        File with the segmenter's network.

    Raises
    ------
    DatasetError, ModelError
        See `segmenter_by_name`.

    Examples
    --------
    In Open-Iris's pipeline file::

        - name: segmentation
          algorithm:
            class_name: iris_tf.segmentation.open_iris_node.SegmenterNode
            params: {segmenter: network}
          inputs:
            - {name: image, source_node: input}
    """

    class Parameters(Algorithm.Parameters):
        """Parameters of the node, under the names that Open-Iris expects."""

        segmenter: Any

    __parameters_type__ = Parameters

    def __init__(self, segmenter: str = DEFAULT_SEGMENTER, model: str | None = None):
        super().__init__(segmenter=segmenter_by_name(segmenter, model))

    def run(self, image: iris.IRImage) -> iris.SegmentationMap:
        """Segment one eye.

        Parameters
        ----------
        image : iris.IRImage

        Returns
        -------
        iris.SegmentationMap
            See `segmentation_map`; for the segmenter ``"open-iris"``, the unmodified
            probabilities of its network.

        Raises
        ------
        ExtractionError
            If the segmenter finds no iris; the Open-Iris pipeline records it as the error
            of the image.
        DatasetError
            If the segmenter does not detect eyelids.
        """
        segmenter = self.params.segmenter
        if hasattr(segmenter, "segmentation_map"):
            return segmenter.segmentation_map(image.img_data)
        eye = segmenter(image.img_data)
        if eye.opening is None:
            raise DatasetError(
                f"The segmenter {segmenter.name!r} does not detect eyelids, which Open-Iris needs; "
                "choose the segmenter network or open-iris."
            )
        return segmentation_map(eye)


def segmentation_map(eye: SegmentedEye) -> iris.SegmentationMap:
    """Convert a segmented eye to the output format of Open-Iris's network, with 0/1 certainty.

    Parameters
    ----------
    eye : SegmentedEye
        With an `opening`.

    Returns
    -------
    iris.SegmentationMap
        Predictions of shape (height, width, 4), float32, zeros and ones. Channel 0: the
        eyeball between the eyelids; 1: the iris with the pupil, within channel 0; 2: the
        pupil, within channel 0; 3: what occludes the iris between the eyelids (eyelashes
        and reflections). Channels 0 to 2 have one connected component each, because
        Open-Iris rejects several.
    """
    assert eye.opening is not None
    shape = eye.visible.shape
    opening = _region(eye.opening)
    iris_mask = _region(eye.iris.mask(shape) & opening)
    pupil_mask = _region(eye.pupil.mask(shape) & iris_mask)
    hidden = iris_mask & ~eye.pupil.mask(shape) & ~eye.visible
    classes = np.stack([opening, iris_mask, pupil_mask, hidden], axis=-1)
    return iris.SegmentationMap(predictions=classes.astype(np.float32), index2class=_CLASSES)


def open_iris_pipeline(
    segmenter: str = DEFAULT_SEGMENTER, model: str | Path | None = None
) -> iris.IRISPipeline:
    """Build the stock Open-Iris pipeline with an iris_tf segmenter in place of its network.

    Parameters
    ----------
    segmenter : str
        Key of ``SEGMENTERS``.
    model : str or Path, optional
        File with the segmenter's network.

    Returns
    -------
    iris.IRISPipeline
        Called with an ``IRImage``, it gives ``{"error", "iris_template", "metadata"}``; the
        exception behind an error is ``pipeline.call_trace.get_error()``. All other
        nodes, parameters and validators are those of the installed version.

    Raises
    ------
    DatasetError, ModelError
        See `segmenter_by_name`.
    """
    config = iris.IRISPipeline.load_config(None)
    node = next(part for part in config["pipeline"] if part["name"] == "segmentation")
    params = {"segmenter": segmenter} | ({} if model is None else {"model": str(model)})
    node["algorithm"] = {
        "class_name": f"{SegmenterNode.__module__}.{SegmenterNode.__qualname__}",
        "params": params,
    }
    return iris.IRISPipeline(config=config)


def _region(mask: np.ndarray) -> np.ndarray:
    """The largest connected component, with holes filled."""
    region = largest_region(mask).astype(np.uint8)
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(region), contours, -1, 1, cv2.FILLED).astype(bool)
