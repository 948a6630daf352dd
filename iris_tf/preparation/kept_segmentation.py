"""The masks that a dataset keeps of each image, so that crops of other ROI modes need no segmenter.

The outlines are in the journal. ``segmentation/<image>.png`` holds the visible iris as a grey image
of 0 and 255. From a segmenter with masks of its own for Algorithm 1 it is a colour image with these
in the second channel.
"""

from pathlib import Path

import cv2
import numpy as np

from iris_tf.imaging.images import write_png
from iris_tf.preparation.journal import Outcome
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import DatasetError

FOLDER = "segmentation"


def mask_path(roi: str) -> str:
    """Path of an image's masks, given that of its crop, both relative to the dataset folder."""
    return f"{FOLDER}/{roi.removeprefix('roi/')}"


def write_masks(path: Path, eye: SegmentedEye) -> None:
    """Write the masks of an eye."""
    masks = eye.visible
    if eye.iris_minus_pupil is not None:
        masks = np.dstack([eye.visible, eye.iris_minus_pupil, np.zeros_like(eye.visible)])
    write_png(path, masks.astype(np.uint8) * 255)


def read_segmentation(path: Path, outcome: Outcome) -> SegmentedEye:
    """Segmentation of an image, from its masks and its outcome in the journal.

    Raises
    ------
    DatasetError
        If it was not kept.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
    if pixels is None or outcome.pupil is None or outcome.iris is None:
        raise DatasetError(
            f"{path}: the segmentation of {outcome.image} was not kept, as by versions before "
            "0.2.0; prepare the images into a new folder."
        )
    masks = pixels > 0
    if masks.ndim == 2:
        return SegmentedEye(outcome.pupil, outcome.iris, masks, outcome.confidence)
    return SegmentedEye(  # OpenCV's order is blue, green, red
        outcome.pupil,
        outcome.iris,
        masks[..., 2],
        outcome.confidence,
        iris_minus_pupil=masks[..., 1],
    )
