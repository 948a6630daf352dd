"""The operations that a TFLite file needs from its interpreter."""

import os

from ai_edge_litert import schema_py_generated as schema

from iris_tf.tflite.flatbuffer import reading

_BUILTIN_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()
}
_CONVERSIONS = "QUANTIZE", "DEQUANTIZE"


def operator_names(path: str | os.PathLike) -> list[str]:
    """Distinct operations of a TFLite file, over all its subgraphs.

    Parameters
    ----------
    path : path
        A ``.tflite`` file.

    Returns
    -------
    list of str
        Sorted. Built-in operations by their names in the TFLite schema, such as
        ``"CONV_2D"``; custom ones, TensorFlow's ``Flex...`` among them, as
        ``"custom FlexDigamma"``.
    """
    with reading(path) as model:
        return sorted(set(_names(model)))


def foreign_operators(path: str | os.PathLike) -> list[str]:
    """The operations of `operator_names` that are not built into TFLite."""
    return [name for name in operator_names(path) if name.startswith("custom ")]


def float_operations(content: bytes) -> list[tuple[str, str]]:
    """Operations that compute in float32; those that convert to and from integers do not count.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file that the converter or the quantiser has just made.

    Returns
    -------
    list of (str, str)
        Name of the operation, as in `operator_names`, and of the tensor that it writes, from input
        to output.
    """
    model = schema.Model.GetRootAs(content, 0)
    names = _names(model)
    found = []
    for graph in (model.Subgraphs(i) for i in range(model.SubgraphsLength())):
        for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
            name = names[operator.OpcodeIndex()]
            if name in _CONVERSIONS:
                continue
            for result in (graph.Tensors(index) for index in operator.OutputsAsNumpy()):
                if result.Type() == schema.TensorType.FLOAT32:
                    found.append((name, result.Name().decode()))
    return found


def _names(model: schema.Model) -> list[str]:
    """Names of the operations, in the order of the file's list of them."""
    names = []
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        # Files of old converters have the code in the 8-bit field only.
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if builtin == schema.BuiltinOperator.CUSTOM:
            names.append(f"custom {(code.CustomCode() or b'').decode(errors='replace')}")
        else:
            names.append(_BUILTIN_NAMES.get(builtin, f"custom code {builtin}"))
    return names
