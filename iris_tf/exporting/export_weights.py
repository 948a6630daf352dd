"""`iris-tf export` of a released model's ``.keras`` file, for precisions that are not released."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from iris_tf.config.names import CARD_NAME
from iris_tf.config.precision import DEFAULT_PRECISIONS, any_calibrated
from iris_tf.exporting.export_tflite import export_model
from iris_tf.exporting.precision_report import write_precision_report
from iris_tf.exporting.static_quantization import Quantization
from iris_tf.matching.matcher import Matcher
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.networks.phase_code import with_phase
from iris_tf.support.errors import ExportError, ModelError
from iris_tf.support.files import sha256
from iris_tf.support.progress import status
from iris_tf.synthetic.strips import draw_strips
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

_STRIPS = 8  # on which files are compared with the Keras model
# Strips that neither training nor the tests of `pipelines/released_models.py` see.
_CALIBRATION_SEED, _EYES, _STRIPS_PER_EYE = 27, 128, 2
_SHARE_DECIMALS = 3  # of a phase code's share, as recipes state it


def export_weights(
    weights: str | Path,
    out: str | Path,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    report: bool = False,
    keep_float: Sequence[str] = (),
) -> tuple[Path, ModelCard]:
    """Export the weights of a released model to another folder.

    Parameters
    ----------
    weights : str or Path
        ``.keras`` file beside the card and a ``.tflite`` file of the model, such as
        ``models/mobiiris/mobiiris.keras``.
    out : str or Path
        Folder of the new files and of their card, which is the model's with these files.
    precisions : sequence of str, optional
        From `iris_tf.config.precision.PRECISIONS`. Ranges of activations of those that are
        calibrated are estimated from generated strips, on which the model was trained.
    report : bool, optional
        Whether to write `precision_report.REPORT_NAME` beside the files.
    keep_float : sequence of str, optional
        Regular expressions of layers that stay float32 in calibrated precisions.

    Returns
    -------
    folder : Path
        `out`.
    card : ModelCard

    Raises
    ------
    ModelError
        If the card is missing or describes other weights.
    ExportError
        If the model takes other crops than unrolled strips, `out` holds a card already, or a file
        does not agree with the Keras model.
    """
    weights, out = Path(weights), Path(out)
    card = ModelCard.read(weights.with_name(CARD_NAME))
    _check(weights, out, card)
    with status(f"Loading {weights}"):
        model = load_embedding_model(weights)
        strips = draw_strips(0, 0, _STRIPS)
        if card.phase is not None:
            model = _with_released_phase(model, weights.parent, card, strips)
    quantization = None
    if any_calibrated(precisions):
        quantization = Quantization(_calibration_strips(), tuple(keep_float), report=report)
    made = export_model(
        model, out, card.name, precisions, parity_rois=strips, quantization=quantization
    )
    if report:
        write_precision_report(out, model, strips, made)
    card = dataclasses.replace(
        card,
        files={file.path.name: file.card_entry() for file in made},
        parity={file.precision: file.parity_min_cosine for file in made},
    )
    card.write(out / CARD_NAME)
    return out, card


def _calibration_strips() -> np.ndarray:
    """Generated strips of many eyes and cameras, (n, 64, 512)."""
    with status("Generating strips for calibration"):
        return np.concatenate(
            [draw_strips(_CALIBRATION_SEED, eye, _STRIPS_PER_EYE) for eye in range(_EYES)]
        )


def _check(weights: Path, out: Path, card: ModelCard) -> None:
    if card.weights_sha256 != sha256(weights):
        raise ModelError(
            f"{weights}: {CARD_NAME} beside it describes other weights; export the run that they "
            "come from."
        )
    if card.roi_mode != "unrolled":
        raise ExportError(
            f"{weights}: takes {card.roi_mode} crops, but files are compared on unrolled strips; "
            "export the run that it comes from."
        )
    if (out / CARD_NAME).exists():
        raise ExportError(f"{out}: holds a model card already; choose another folder as --out.")


def _with_released_phase(
    model: keras.Model, folder: Path, card: ModelCard, strips: np.ndarray
) -> keras.Model:
    """Append the phase code with the share that it has in a file of the card."""
    existing = next((folder / file for file in card.files if (folder / file).is_file()), None)
    if existing is None:
        raise ModelError(f"{folder}: none of the files of its card is there; restore one.")
    _, codes = Matcher(card.phase).split(TFLiteEmbedder(existing).embed(strips))
    # Components have lengths whose squares are their shares.
    share = float(np.median(np.square(codes).sum(axis=1)))
    model, _ = with_phase(model, round(share, _SHARE_DECIMALS))
    return model
