"""Crops of the same images for models of different ROI modes."""

import logging
from collections.abc import Sequence
from pathlib import Path

from iris_tf.config.names import IRIS_ROI_MODES
from iris_tf.data.manifest import ManifestRow, model_segmenter
from iris_tf.evaluation.failures import FailedImage
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.recognition.open_model import crop_settings
from iris_tf.support.errors import DatasetError, EvaluationError, InUseError, ModelError

_log = logging.getLogger(__name__)


def set_for_model(model: str | Path, channels: int, given: PreparedSet) -> PreparedSet:
    """The images of a dataset with the crops that a model was trained on.

    Crops of another ROI mode are cut from the segmentation that the dataset keeps, and kept beside
    it. What a model needs is not known of a ``.tflite`` without a card, and how crops were made
    not without a ``dataset.json``; the crops are then those given.

    Parameters
    ----------
    model : str or Path
        As for `iris_tf.recognition.open_model.open_model`.
    channels : int
        Of the crops that the model takes.
    given : PreparedSet

    Raises
    ------
    ModelError
        If the crops are of another kind than the model's, whose figures would mean nothing, and
        the model's cannot be cut.
    """
    if given.settings is None:
        return given
    wanted = (crop_settings(model) or {}) | {"channels": channels}
    found = given.settings | {"segmenter": model_segmenter(given.settings)}
    different = [name for name in wanted if wanted[name] != found[name]]
    if not different:
        return given
    # Without the right segmenter or channels, cutting crops would be in vain.
    name = min(different, key="roi_mode".__eq__)
    remedy = "prepare the images as the model requires"
    if name == "roi_mode" and wanted[name] in IRIS_ROI_MODES:
        try:
            return _cut(model, str(wanted[name]), given)
        except (DatasetError, EvaluationError, InUseError) as error:
            remedy = f"such crops cannot be cut: {str(error).removesuffix('.')}"
    raise ModelError(
        f"{model}: was trained on crops with {name} {wanted[name]}, but {given.manifest} holds "
        f"{found[name]}; {remedy}."
    )


def _cut(model: str | Path, roi_mode: str, given: PreparedSet) -> PreparedSet:
    cut = given.in_roi_mode(roi_mode)
    _log.warning("%s takes crops in the ROI mode %s: those of %s.", model, roi_mode, cut.manifest)
    return cut


def common_images(
    versions: Sequence[PreparedSet], split: str
) -> tuple[list[ManifestRow], list[FailedImage] | None]:
    """Images of a split that have a crop for every model, and those that lack one for any.

    Parameters
    ----------
    versions : sequence of PreparedSet
        One dataset with the crops of each model.
    split : {"train", "val", "test", "all"}

    Returns
    -------
    rows : list of ManifestRow
    failed : list of FailedImage or None
        None where they are not known.

    Raises
    ------
    DatasetError
        As `PreparedSet.of_split`.
    """
    by_version = [each.of_split(split) for each in versions]
    images = set.intersection(*({row.image for row in rows} for rows in by_version))
    rows = [row for row in by_version[0] if row.image in images]
    failures = [each.failed_of_split(split) for each in versions]
    failed: dict[str, FailedImage] = {}
    for found in failures:
        if found is None:
            return rows, None
        failed = {failure.row.image: failure for failure in found} | failed
    return rows, list(failed.values())
