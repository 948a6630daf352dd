"""Ground truth files of an image: ``<stem>.json`` and ``<stem>_mask.png``."""

import os
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import read_image
from iris_tf.support.errors import DatasetError, ExtractionError
from iris_tf.support.files import write_bytes, write_json
from iris_tf.support.foreign_files import read_object

SYNTHESIS_FILE = "synthesis.json"  # at the top of every folder of synthetic eyes


def mask_path(image_path: str | os.PathLike) -> Path:
    """Path of the visible iris mask of an image."""
    path = Path(image_path)
    return path.with_name(f"{path.stem}_mask.png")


def geometry_path(image_path: str | os.PathLike) -> Path:
    """Path of the JSON file with ellipses and parameters of an image."""
    return Path(image_path).with_suffix(".json")


def write_truth(
    image_path: str | os.PathLike,
    pupil: Ellipse,
    iris: Ellipse,
    visible: np.ndarray,
    parameters: dict,
) -> None:
    """Write the ground truth of an image next to it, each file atomically.

    Parameters
    ----------
    image_path : path
    pupil, iris : Ellipse
    visible : ndarray of shape (height, width), bool
    parameters : dict
        Rendering parameters; JSON values.
    """
    encoded = cv2.imencode(".png", visible.astype(np.uint8) * 255)[1]
    write_bytes(mask_path(image_path), encoded.tobytes())
    write_json(
        geometry_path(image_path),
        {"pupil": asdict(pupil), "iris": asdict(iris), "parameters": parameters},
    )


def read_truth(image_path: str | os.PathLike) -> tuple[Ellipse, Ellipse, np.ndarray]:
    """Read the ground truth of a synthetic image.

    Parameters
    ----------
    image_path : path
        The eye image, not the mask.

    Returns
    -------
    pupil, iris : Ellipse
        Outlines in image pixels.
    visible : ndarray of shape (height, width), bool
        The visible iris mask.

    Raises
    ------
    DatasetError
        If the image has no readable ground truth.
    """
    path = geometry_path(image_path)
    try:
        geometry = read_object(path)
        pupil, iris = Ellipse(**geometry["pupil"]), Ellipse(**geometry["iris"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: no ground truth of a synthetic eye ({error}); run `iris-tf synthesize`."
        ) from error
    path = mask_path(image_path)
    try:
        mask = read_image(path).pixels
    except ExtractionError as error:
        raise DatasetError(
            f"{path}: missing or no image ({error}); run `iris-tf synthesize` again."
        ) from None
    return pupil, iris, mask > 127
