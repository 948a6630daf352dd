"""Calibrating a model to a camera from unlabelled images: `iris-tf calibrate`."""

from pathlib import Path

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES
from iris_tf.data.layouts import AUTO, PUBLISHED
from iris_tf.matching.calibration import Calibration
from iris_tf.recognition.calibration_gain import calibrated_scores, held_out_gain
from iris_tf.recognition.embed_folder import FLAT, embed_folder
from iris_tf.recognition.impostor_scores import (
    MIN_EYES,
    adaptation,
    estimate_impostors,
    eye_groups,
)
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import DatasetError, ModelError

MIN_IMAGES = 50


def calibrate(
    recognizer: IrisRecognizer, images: str | Path, name: str, layout: str = AUTO
) -> Calibration:
    """Calibrate a model to a camera from a folder of its images.

    The more eyes the better: one or two images of each of a few hundred eyes. Where the layout
    gives the identities, comparisons within an identity are left out; elsewhere, comparisons
    within an apparent identity. Where the model has scores, so has the calibration, and its `gain`
    is measured on eyes that are held out.

    Parameters
    ----------
    recognizer : IrisRecognizer
        A recogniser without a calibration.
    images : str or Path
        Folder of eye images, as for `embed_folder`.
    name : str
        Name of the calibration.
    layout : str
        One of `LAYOUTS`. With ``"auto"``, the names of subfolders are not taken for identities
        unless they follow a published layout: they may be anything, such as dates.

    Raises
    ------
    DatasetError
        When fewer than `MIN_IMAGES` images can be used, or they show too few eyes.
    ModelError
        When the recogniser has a calibration already.
    """
    if recognizer.calibration is not None:
        raise ModelError(
            f"The recogniser is calibrated already ({recognizer.calibration.name}); use one "
            "without a calibration."
        )
    found = embed_folder(recognizer, images, layout, "Calibrating")
    if len(found.images) < MIN_IMAGES:
        raise DatasetError(
            f"{images}: {len(found.images)} images can be used, but a calibration takes at least "
            f"{MIN_IMAGES} and preferably a few hundred; add images."
        )
    labelled = found.layout in PUBLISHED if layout == AUTO else found.layout != FLAT
    eyes = len(set(found.identities)) if labelled else None
    if eyes is not None and eyes < MIN_EYES:
        raise DatasetError(
            f"{images}: its images show {eyes} eyes, but a calibration takes at least "
            f"{MIN_EYES}; add images of other eyes."
        )
    matcher, identities = recognizer.matcher, found.identities if labelled else None
    compared, groups = eye_groups(found.embeddings, identities, matcher)
    thresholds = (
        {point: recognizer.thresholds[point] for point in FALSE_MATCH_RATES}
        if matcher.score_model is None
        else matcher.score_model.thresholds
    )
    return Calibration(
        name,
        recognizer.origin.model,
        recognizer.origin.model_sha256,
        adaptation(found.embeddings, matcher).astype(np.float32),
        len(found.images),
        eyes,
        found.failures,
        estimate_impostors(found.embeddings, identities, matcher),
        matcher,
        score=calibrated_scores(compared, groups, matcher),
        gain=held_out_gain(compared, groups, labelled, matcher, thresholds),
    )
