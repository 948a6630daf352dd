"""Packing of a quantised run to an ``.irq`` file with a model card."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.config.names import CARD_NAME
from iris_tf.exporting.run_model import RunModel
from iris_tf.networks.embed_rois import embed_rois
from iris_tf.quantization.packed_file import PACKED_SUFFIX
from iris_tf.quantization.packed_model import (
    PackedSize,
    load_packed_model,
    pack_model,
    quantized_layers,
)
from iris_tf.support.errors import ExportError
from iris_tf.support.files import replace_folder, sha256
from iris_tf.tflite.model_card import ModelFile
from iris_tf.training.run_folder import RunFolder


@dataclass(frozen=True)
class PackedRun:
    """What `pack_run` wrote.

    Attributes
    ----------
    file : Path
        The ``.irq`` file; its card lies beside it.
    size : PackedSize
        Bytes of the file, by what they are for.
    layers : dict of str to float
        Average bits of the weights of each layer, from input to output.
    """

    file: Path
    size: PackedSize
    layers: dict[str, float]


def packed_file(run: RunFolder, name: str, precision: str) -> Path:
    """Path of the file that `pack_run` writes."""
    return run.models / f"{name}_{precision}{PACKED_SUFFIX}"


def pack_run(run: RunFolder, name: str, precision: str) -> PackedRun:
    """Pack the best checkpoint of a quantised run to ``models/`` in its folder.

    Parameters
    ----------
    run : RunFolder
        Of a network that `iris_tf.quantization.wrapping` has quantised.
    name : str
        Name of the model.
    precision : str
        What the card calls its precision.

    Raises
    ------
    ModelError, DatasetError, TrainingError, EvaluationError
        See `RunModel.of`.
    ExportError
        If embeddings of the file are not those of the checkpoint, bit for bit.
    """
    source = RunModel.of(run, with_quantizers=True)
    with replace_folder(run.models) as folder:
        file = folder / packed_file(run, name, precision).name
        size = pack_model(source.model, file)
        rois = source.parity_rois
        expected, found = embed_rois(source.model, rois), embed_rois(load_packed_model(file), rois)
        if not np.array_equal(found, expected):
            raise ExportError(
                f"{run.path}: embeddings of the packed file differ from the checkpoint's by up to "
                f"{np.abs(found - expected).max():.3g}; report this as a fault of the program."
            )
        entry = ModelFile(precision, sha256(file), file.stat().st_size)
        source.card(name, {file.name: entry}, {precision: 1.0}).write(folder / CARD_NAME)
    layers = {
        layer.name: float(layer.bits_of_weights().mean())
        for layer in quantized_layers(source.model)
    }
    return PackedRun(packed_file(run, name, precision), size, layers)
