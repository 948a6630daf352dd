"""`iris-tf export` of a segmenter's ``.tflite`` file in another precision."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import CARD_NAME
from iris_tf.config.precision import PRECISIONS, any_calibrated
from iris_tf.exporting.export_segmenter import (
    WHOLE_HEIGHT,
    export_segmenter,
    file_facts,
    write_segmenter_card,
)
from iris_tf.exporting.segmenter_file import load_segmenter
from iris_tf.support.errors import ExportError, ModelError
from iris_tf.support.files import write_json
from iris_tf.support.progress import StageProgress, status
from iris_tf.synthetic.segmentation_samples import draw_samples
from iris_tf.tflite.signatures import MASKS, MASKS_OF_WHOLE, Signature

# Eyes that neither training nor the test of `pipelines/iris_segmenter.py` sees.
_PARITY_SEED, _CALIBRATION_SEED = 26, 27
_PARITY_EYES, _CALIBRATION_EYES = 8, 96
_LOOKS = ("whole", "last")  # what the network sees at first, and once it has found the iris
_TRAINING = ("training_data", "training_epochs", "weights_sha256")
"""Facts of a card that hold in any precision."""


def export_segmenter_file(
    source: str | Path, out: str | Path, precisions: Sequence[str]
) -> list[Path]:
    """Export a segmenter in other precisions, from its float32 or float16 file.

    Ranges of activations of calibrated precisions are estimated from generated eyes, on which the
    released segmenter was trained, too.

    Parameters
    ----------
    source : str or Path
        Beside its card, such as ``models/iris-segmenter/iris_segmenter_float16.tflite``.
    out : str or Path
        Folder of the new files and of their card. A card of the same network that lies there is
        kept, and these files are added to it.
    precisions : sequence of str
        From `iris_tf.config.precision.PRECISIONS`.

    Returns
    -------
    list of Path
        The files, in the order of `precisions`.

    Raises
    ------
    ModelError
        If the file or its card cannot be used.
    ExportError
        If a precision is unknown, `out` holds the card of another model, the file is one of
        integers or of another network, or a new file's masks differ.
    OSError
        If a file cannot be written.
    """
    source, out = Path(source), Path(out)
    if unknown := [name for name in precisions if name not in PRECISIONS]:
        raise ExportError(
            f"{unknown[0]!r} is not a precision that {source} can be exported in; "
            f"choose from {', '.join(PRECISIONS)}."
        )
    training = _training_facts(source.with_name(CARD_NAME))
    existing = _existing_card(out / CARD_NAME, training)
    with status(f"Loading {source}"):
        model = load_segmenter(source)
        height = model.input_shape[1]
        parity = _drawn(_PARITY_SEED, _PARITY_EYES, height)
    calibration: dict[Signature, np.ndarray] | None = None
    if any_calibrated(precisions):
        heights = {MASKS: height, MASKS_OF_WHOLE: min(WHOLE_HEIGHT, height)}
        with status("Generating eyes for calibration"):
            calibration = {
                signature: _drawn(_CALIBRATION_SEED, _CALIBRATION_EYES, rows)
                for signature, rows in heights.items()
            }
    files = {}
    with StageProgress(f"Exporting {source.name}", len(precisions)) as progress:
        for name in precisions:
            files[export_segmenter(model, out, parity, name, calibration)] = name
            progress.advance(note=name)
    card = existing
    if card is None:
        path, name = next(iter(files.items()))
        card = json.loads(write_segmenter_card(path, name, training).read_text("utf-8"))
    card["files"] |= {path.name: file_facts(path, name) for path, name in files.items()}
    write_json(out / CARD_NAME, card)
    return list(files)


def _training_facts(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text("utf-8"))
        return {name: card[name] for name in _TRAINING}
    except (OSError, ValueError, LookupError, TypeError):
        raise ModelError(
            f"{path}: is missing, or not the card of a segmenter; copy the file and its card from "
            "one place again."
        ) from None


def _existing_card(path: Path, training: dict[str, Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        card: dict[str, Any] = json.loads(path.read_text("utf-8"))
        same = card["weights_sha256"] == training["weights_sha256"] and "files" in card
    except (ValueError, LookupError, TypeError):
        same = False
    if not same:
        raise ExportError(
            f"{path.parent}: holds the card of another model; choose another folder as --out."
        )
    return card


def _drawn(seed: int, eyes: int, height: int) -> np.ndarray:
    """Grey images of generated eyes, (2 eyes, height, width), as a whole and close up."""
    return np.ascontiguousarray(draw_samples(seed, 0, eyes, height, _LOOKS)[..., 0])
