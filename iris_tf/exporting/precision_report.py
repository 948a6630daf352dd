"""What `iris-tf export --report` finds out about a model's precisions."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from iris_tf.exporting.export_tflite import ExportedFile
from iris_tf.exporting.float16_check import check_float16, extreme_crops
from iris_tf.support.files import write_json

REPORT_NAME = "precision_report.json"
"""File beside the models of an export with a report."""


def write_precision_report(
    folder: Path, model: keras.Model, rois: np.ndarray, files: Sequence[ExportedFile]
) -> None:
    """Write how far layers in integers agree with float32, and how a model fares in float16.

    Parameters
    ----------
    folder : Path
        In which `REPORT_NAME` is written.
    model : keras.Model
        That the files were exported from.
    rois : ndarray of shape (n, H, W) or (n, H, W, channels), uint8
        Crops to run the model on in float16 arithmetic, beside extreme ones.
    files : sequence of ExportedFile
        Those with `layers` are reported on.
    """
    size, channels = model.input_shape[1:3], model.input_shape[3]
    extreme = np.stack(list(extreme_crops(size, channels).values()))
    write_json(
        folder / REPORT_NAME,
        {
            "layers": {
                file.precision: [dataclasses.asdict(layer) for layer in file.layers]
                for file in files
                if file.layers
            },
            "float16_arithmetic": {
                name: dataclasses.asdict(check_float16(model, crops))
                for name, crops in (("real", rois), ("extreme", extreme))
            },
        },
    )
