"""Conversion of Keras models to TFLite."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from iris_tf.config.precision import PRECISIONS
from iris_tf.support.errors import ExportError, first_line
from iris_tf.support.quiet import quiet
from iris_tf.tflite.signatures import EMBEDDING, Signature

Conversion = Callable[[tf.lite.TFLiteConverter], bytes]
"""Runs a converter of a SavedModel and returns the content of the file. Static precisions start
from a float32 file instead; see `iris_tf.exporting.static_quantization`."""

_CONVERSIONS: dict[str, Conversion] = {}


def converts(precision: str) -> Callable[[Conversion], Conversion]:
    """Register a function as the conversion to a precision of `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise KeyError(f"{precision} is not a precision of iris_tf.config.precision")

    def register(conversion: Conversion) -> Conversion:
        _CONVERSIONS[precision] = conversion
        return conversion

    return register


@converts("float32")
def _unchanged(converter: tf.lite.TFLiteConverter) -> bytes:
    return converter.convert()


@converts("float16")
def _with_16_bit_weights(converter: tf.lite.TFLiteConverter) -> bytes:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


@converts("dynamic8")
def _with_8_bit_weights(converter: tf.lite.TFLiteConverter) -> bytes:
    from litert_quantizer import quantizer, recipe

    work = quantizer.Quantizer(converter.convert())
    work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    return bytes(work.quantize().quantized_model)


@converts("dynamic4")
def _with_4_bit_weights(converter: tf.lite.TFLiteConverter) -> bytes:
    from litert_quantizer import quantizer, recipe
    from litert_quantizer.qtyping import TFLOperationName

    work = quantizer.Quantizer(converter.convert())
    work.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    for operation in (TFLOperationName.CONV_2D, TFLOperationName.FULLY_CONNECTED):
        work.add_dynamic_config(".*", operation, 4)
    return bytes(work.quantize().quantized_model)


def save_signatures(models: dict[Signature, keras.Model], folder: str) -> None:
    """Save models as signatures with batch size 1 in one SavedModel.

    Parameters
    ----------
    models : dict of Signature to keras.Model
        Each maps (None, H, W, 1) to one tensor. Shared weights are stored once.
    folder : str
        Folder of the SavedModel.
    """
    # `model.export` chooses the names of inputs and outputs and leaves the batch size dynamic,
    # which adds shape arithmetic to the graph.
    module = tf.Module()
    # Track the values instead of the model: the converter cannot tell that variables of Keras
    # objects are constant, and would leave uninitialised variables in the file.
    module.variables_of_models = [
        variable.value for model in models.values() for variable in model.variables
    ]
    with quiet(1, 2):
        functions = {
            signature.name: _function(model, signature) for signature, model in models.items()
        }
        tf.saved_model.save(module, folder, signatures=functions)


def _function(model: keras.Model, signature: Signature) -> Any:
    image = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name=signature.input)
    # The input is named after the argument.
    return tf.function(
        lambda **inputs: {signature.output: model(inputs[signature.input], training=False)},
        autograph=False,
    ).get_concrete_function(**{signature.input: image})


def convert(
    saved_model: str, precision: str, path: Path, signatures: Iterable[Signature] = (EMBEDDING,)
) -> bytes:
    """Convert a SavedModel of `save_signatures`, using only built-in TFLite operations.

    Parameters
    ----------
    saved_model : str
        Folder of the SavedModel.
    precision : str
        One of `iris_tf.config.precision.PRECISIONS`.
    path : Path
        Path of the file to be written, for error messages.
    signatures : iterable of Signature, optional
        Signatures of the SavedModel.

    Raises
    ------
    ExportError
        If TensorFlow cannot convert the model.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[signature.name for signature in signatures]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        with quiet(1, 2):
            return _CONVERSIONS[precision](converter)
    except Exception as error:  # the converter's own exception class is not public
        operators = sorted(set(re.findall(r"'tf\.(\w+)' op", str(error))))
        if operators:
            raise foreign_operators_error(path, operators) from error
        raise ExportError(
            f"{path}: TensorFlow could not convert the model ({first_line(error)}); change the "
            "layer named in this message."
        ) from error


def foreign_operators_error(path: Path, operators: list[str]) -> ExportError:
    """Error for a model that needs operations other than TFLite's built-in ones."""
    return ExportError(
        f"{path}: the model needs {', '.join(operators)}, which TFLite does not have built in, "
        "so a phone could not run it; implement the layer with other operations."
    )
