"""The masks that a dataset keeps of each image, so that crops of other ROI modes need no segmenter.

The outlines are in the journal. ``segmentation/<image>.png`` holds the visible iris as a grey image
of 0 and 255. From a segmenter with masks of its own for Algorithm 1 it is a colour image with these
in the second channel.
"""

from pathlib import Path

import numpy as np

from iris_tf.imaging.images import read_image, write_png
from iris_tf.preparation.journal import Outcome
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import DatasetError, ExtractionError

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
        If it was not kept, or its masks cannot be read.
    """
    if not path.is_file() or outcome.pupil is None or outcome.iris is None:
        raise DatasetError(
            f"{path}: the segmentation of {outcome.image} was not kept, as by versions before "
            "0.2.0; prepare the images into a new folder."
        )
    try:
        masks = read_image(path, channels=3).pixels > 0
    except ExtractionError as error:
        raise DatasetError(
            f"{path}: these masks of {outcome.image} cannot be read ({error}); prepare the images "
            "into a new folder."
        ) from None
    visible, own, rest = np.moveaxis(masks, -1, 0)
    # A grey image has three equal channels, and one with masks of two kinds an empty third.
    is_grey = np.array_equal(visible, own) and np.array_equal(visible, rest)
    return SegmentedEye(
        outcome.pupil,
        outcome.iris,
        visible,
        outcome.confidence,
        iris_minus_pupil=None if is_grey else own,
        tilt=outcome.tilt,
    )
