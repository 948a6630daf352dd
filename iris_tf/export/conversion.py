"""From a Keras model to the bytes of a TFLite file."""

import re
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from iris_tf.errors import ExportError, first_line
from iris_tf.litert import SIGNATURE
from iris_tf.quiet import quiet


def _float32(converter: tf.lite.TFLiteConverter) -> None:
    """Nothing to set: weights and arithmetic are the graph's."""


def _float16(converter: tf.lite.TFLiteConverter) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


PRECISIONS: dict[str, Callable[[tf.lite.TFLiteConverter], None]] = {
    "float32": _float32,
    "float16": _float16,
}


def save_signature(model: keras.Model, taken: str, given: str, folder: str) -> None:
    """Save a model as a SavedModel with one signature of batch size 1.

    Parameters
    ----------
    model : keras.Model
        From (None, H, W, 1) to one tensor.
    taken, given : str
        Names of input and output.
    folder : str
    """
    # Not model.export: the names of the signature would be Keras's own, and the
    # batch size open, which leaves shape arithmetic in the graph.
    module = tf.Module()
    # The values, not the model: through Keras objects the converter does not see
    # that they are constant, and leaves variables in the file that nothing fills.
    module.variables_of_model = [variable.value for variable in model.variables]
    image = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name=taken)
    with quiet(1, 2):
        # The argument's name becomes the input's.
        function = tf.function(
            lambda **inputs: {given: model(inputs[taken], training=False)}, autograph=False
        ).get_concrete_function(**{taken: image})
        tf.saved_model.save(module, folder, signatures={SIGNATURE: function})


def convert(saved_model: str, precision: str, path: Path) -> bytes:
    """Convert what `save_signature` wrote, with built-in TFLite operations alone.

    Parameters
    ----------
    saved_model : str
        Folder.
    precision : str
        Key of `PRECISIONS`.
    path : Path
        Of the file to be, for messages.

    Raises
    ------
    ExportError
        When TensorFlow cannot convert the model.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=[SIGNATURE])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    PRECISIONS[precision](converter)
    try:
        with quiet(1, 2):
            return converter.convert()
    except Exception as error:  # the converter's own exception class is not public
        operators = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
        if operators:
            raise foreign_operators_error(path, operators) from error
        raise ExportError(
            f"{path}: TensorFlow could not convert the model ({first_line(error)}); change the "
            "layer that it names."
        ) from error


def foreign_operators_error(path: Path, operators: list[str]) -> ExportError:
    """Say that a model needs operations that a phone's TFLite lacks."""
    return ExportError(
        f"{path}: the model needs {', '.join(operators)}, which TFLite does not have built in, "
        "so a phone could not run it; write the layer with other operations."
    )
