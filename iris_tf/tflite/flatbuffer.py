"""Structure of a ``.tflite`` file, checked in Python before a runtime maps it.

LiteRT is written in C++ and trusts much of what a file says: an index beyond the end of a table
ends the process. Python's readers raise an exception instead.
"""

import contextlib
import math
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from iris_tf.support.errors import ModelError, first_line
from iris_tf.support.foreign_files import UNUSABLE, shown

_IDENTIFIER = b"TFL3"  # bytes 4..8 of every TFLite file
_VERSION = 3
_MOST_FILE = 2**31  # offsets of a flatbuffer are signed 32-bit numbers
_MOST_ENTRIES = 2**28  # of one tensor
_MOST_PARTS = 2**16  # of each kind: tensors, operators, buffers
_BYTES = {
    schema.TensorType.FLOAT32: 4, schema.TensorType.FLOAT16: 2, schema.TensorType.INT32: 4,
    schema.TensorType.INT8: 1, schema.TensorType.UINT8: 1, schema.TensorType.INT64: 8,
}  # fmt: skip


class NotTFLiteError(ValueError):
    """A file of another kind."""


def read_model(path: str | os.PathLike) -> schema.Model:
    """Read a ``.tflite`` file and check its structure.

    Raises
    ------
    OSError
        If the file is missing or cannot be read.
    NotTFLiteError, ValueError
        If the file is not TFLite or its parts contradict each other. The message is a clause.
    """
    path = Path(path)
    if path.stat().st_size > _MOST_FILE:
        raise ValueError("it is larger than any TFLite file")
    content = path.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise NotTFLiteError("it has no TFL3 mark at its start")
    try:
        model = schema.Model.GetRootAs(content, 0)
        _check(model, len(content))
    except ValueError:
        raise
    except Exception as error:  # struct.error, IndexError, TypeError: beyond the file's end
        raise ValueError(f"its structure is damaged ({type(error).__name__})") from None
    return model


@contextlib.contextmanager
def reading(path: str | os.PathLike) -> Iterator[schema.Model]:
    """`read_model` for a ``with`` block that reads the model's parts.

    Raises
    ------
    ModelError
        If the file or a part that the block reads cannot be used.
    """
    try:
        yield read_model(path)
    except (OSError, struct.error, *UNUSABLE) as reason:
        raise ModelError(
            f"{path}: this is not a TFLite file, or a damaged one ({first_line(reason)}); give a "
            ".tflite file, for instance one from `iris-tf export RUN`."
        ) from None


def _check(model: schema.Model, size: int) -> None:
    if model.Version() != _VERSION:
        raise ValueError(f"it is of version {model.Version()}, not {_VERSION}")
    if _length(model, "ExternalBufferGroups"):
        raise ValueError("its weights lie in other files")
    buffers = [model.Buffers(i) for i in range(_length(model, "Buffers"))]
    stored = [_stored_bytes(buffer, size) for buffer in buffers]
    codes, graphs = (_length(model, name) for name in ("OperatorCodes", "Subgraphs"))
    for i in range(codes):
        code = model.OperatorCodes(i)
        code.BuiltinCode(), code.DeprecatedBuiltinCode(), code.CustomCode()
    if not graphs:
        raise ValueError("it holds no graph")
    tensors = [_check_graph(model.Subgraphs(i), codes, stored) for i in range(graphs)]
    for i in range(_length(model, "SignatureDefs")):
        signature = model.SignatureDefs(i)
        _within([signature.SubgraphIndex()], graphs, "graph")
        for name in ("Inputs", "Outputs"):
            parts = _parts(signature, name)
            indices = [part.TensorIndex() for part in parts]
            _within(indices, tensors[signature.SubgraphIndex()], "tensor")


def _check_graph(graph: schema.SubGraph, codes: int, stored: list[int]) -> int:
    """Check the indices in a graph; return its number of tensors."""
    tensors = _parts(graph, "Tensors")
    for tensor in tensors:
        _check_tensor(tensor, stored)
    for name in ("Inputs", "Outputs"):
        _within(_parts(graph, name), len(tensors), "tensor")
    for operator in _parts(graph, "Operators"):
        _within([operator.OpcodeIndex()], codes, "operation")
        for name in ("Inputs", "Outputs", "Intermediates"):
            # -1 stands for an input that is left out.
            given = [index for index in _parts(operator, name) if index != -1]
            _within(given, len(tensors), "tensor")
    return len(tensors)


def _check_tensor(tensor: schema.Tensor, stored: list[int]) -> None:
    if tensor.ExternalBuffer():
        raise ValueError("its weights lie in other files")
    _within([tensor.Buffer()], len(stored), "buffer")
    shape = [int(side) for side in _parts(tensor, "Shape")]
    if any(side < 0 for side in shape) or math.prod(shape) > _MOST_ENTRIES:
        raise ValueError(f"a tensor has the shape {shown(shape)}")
    constant, width = stored[tensor.Buffer()], _BYTES.get(tensor.Type())
    if constant and width and tensor.Sparsity() is None and constant != width * math.prod(shape):
        raise ValueError(f"a tensor of shape {shown(shape)} has {constant:,} bytes")


def _stored_bytes(buffer: schema.Buffer, size: int) -> int:
    """Length of a buffer's data; 0 for tensors that are computed."""
    # Data of large files lie behind the flatbuffer, at an offset from its start.
    if buffer.Offset() > 1:
        if buffer.Offset() + buffer.Size() > size:
            raise ValueError("a buffer lies beyond the end of the file")
        return int(buffer.Size())
    # The length before the data, which the reader does not compare with the file.
    at = buffer._tab.Offset(4)
    length = buffer.DataLength()
    if at and buffer._tab.Vector(at) + length > size:
        raise ValueError("a buffer lies beyond the end of the file")
    return int(length)


def _length(table: Any, name: str) -> int:
    read = getattr(table, f"{name}Length", None)  # former versions have no external buffers
    length = read() if read else 0
    if length > _MOST_PARTS:
        raise ValueError(f"it has {length:,} {name}")
    return int(length)


def _parts(table: Any, name: str) -> list[Any]:
    return [getattr(table, name)(i) for i in range(_length(table, name))]


def _within(indices: Iterable[int], count: int, what: str) -> None:
    for index in indices:
        if not 0 <= index < count:
            raise ValueError(f"it refers to {what} {index} of {count}")
