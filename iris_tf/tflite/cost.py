"""Parameters and multiply-accumulate operations of a TFLite file, counted from the file alone."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from iris_tf.tflite.flatbuffer import reading
from iris_tf.tflite.signatures import MAIN

_OPERATOR = schema.BuiltinOperator
_FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
_WEIGHTS = (*_FLOATS, schema.TensorType.INT8, schema.TensorType.INT4)


@dataclass(frozen=True)
class ModelCost:
    """Size and cost of a model; of a file with several signatures, of ``serving_default``.

    Attributes
    ----------
    bytes : int
        Size of the file.
    parameters : int
        Numbers in the constants that operations use (weights, biases; float or 8-bit).
    macs : int
        Multiply-accumulate operations of convolutions, transposed convolutions
        and matrix products for one inference; all other operations are cheap.
    """

    bytes: int
    parameters: int
    macs: int


def model_cost(path: str | os.PathLike) -> ModelCost:
    """Count parameters and multiply-accumulate operations of a TFLite file.

    Parameters
    ----------
    path : path
        A file of fixed input size, such as the project's exports.

    Returns
    -------
    ModelCost

    Raises
    ------
    ModelError
        If the file is missing, not TFLite or damaged.
    """
    parameters = macs = 0
    with reading(path) as model:
        graph = model.Subgraphs(_main_graph(model))
        tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
        for tensor in tensors:
            if tensor.Type() in _WEIGHTS and _is_constant(model, tensor):
                parameters += math.prod(_shape(tensor))
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            code = model.OperatorCodes(operator.OpcodeIndex())
            # Files of old converters have the code in the 8-bit field only.
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            macs += _macs(kind, operator, tensors)
    return ModelCost(Path(path).stat().st_size, parameters, macs)


def _main_graph(model: schema.Model) -> int:
    for i in range(model.SignatureDefsLength()):
        if model.SignatureDefs(i).SignatureKey() == MAIN.encode():
            return model.SignatureDefs(i).SubgraphIndex()
    return 0


def _is_constant(model: schema.Model, tensor: schema.Tensor) -> bool:
    buffer = model.Buffers(tensor.Buffer())
    # Data of large files lie behind the flatbuffer: then only the offset is set.
    return buffer.DataLength() > 0 or buffer.Offset() > 1


def _shape(tensor: schema.Tensor) -> list[int]:
    return [int(tensor.Shape(i)) for i in range(tensor.ShapeLength())]


def _macs(kind: int, operator: schema.Operator, tensors: list[schema.Tensor]) -> int:
    def shape_of(index: int) -> list[int]:
        return _shape(tensors[index])

    if kind == _OPERATOR.CONV_2D:  # weights: output channels, height, width, input channels
        _, *kernel = shape_of(operator.Inputs(1))
        return math.prod(shape_of(operator.Outputs(0))) * math.prod(kernel)
    if kind == _OPERATOR.DEPTHWISE_CONV_2D:  # weights: 1, height, width, channels
        _, height, width, _ = shape_of(operator.Inputs(1))
        return math.prod(shape_of(operator.Outputs(0))) * height * width
    if kind == _OPERATOR.TRANSPOSE_CONV:  # inputs: output shape, weights, image
        channels, height, width, _ = shape_of(operator.Inputs(1))
        return math.prod(shape_of(operator.Inputs(2))) * channels * height * width
    if kind == _OPERATOR.FULLY_CONNECTED:  # weights: outputs, inputs
        return math.prod(shape_of(operator.Outputs(0))) * shape_of(operator.Inputs(1))[-1]
    if kind == _OPERATOR.BATCH_MATMUL:
        return math.prod(shape_of(operator.Outputs(0))) * shape_of(operator.Inputs(0))[-1]
    return 0
