"""The operations that a TFLite file needs from its interpreter."""

import os

from ai_edge_litert import schema_py_generated as schema

from iris_tf.tflite.flatbuffer import reading

_BUILTIN_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()
}


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
    names = set()
    with reading(path) as model:
        for i in range(model.OperatorCodesLength()):
            code = model.OperatorCodes(i)
            # Files of old converters have the code in the 8-bit field only.
            builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            if builtin == schema.BuiltinOperator.CUSTOM:
                names.add(f"custom {(code.CustomCode() or b'').decode(errors='replace')}")
            else:
                names.add(_BUILTIN_NAMES.get(builtin, f"custom code {builtin}"))
    return sorted(names)


def foreign_operators(path: str | os.PathLike) -> list[str]:
    """The operations of `operator_names` that are not built into TFLite."""
    return [name for name in operator_names(path) if name.startswith("custom ")]
