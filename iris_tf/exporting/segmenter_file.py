"""The Keras network of an exported segmenter, read back from its ``.tflite`` file."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from iris_tf.networks.segmentation_network import build_segmentation_network
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.support.errors import ExportError
from iris_tf.tflite.flatbuffer import reading
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.signatures import MASKS

_MOST_DIFFERENCE = 1e-3  # of probabilities, on average; more is another network
_FLOATS = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.FLOAT16: np.float16}


def load_segmenter(path: str | Path) -> keras.Model:
    """Rebuild the network of `build_segmentation_network` from a file of `export_segmenter`.

    Released segmenters come without a ``.keras`` file. A file in float32 or float16 holds all that
    the network computes with: batch normalisation is folded into the weights.

    Parameters
    ----------
    path : str or Path
        In float32 or float16.

    Returns
    -------
    keras.Model
        Maps ``image`` to logits; its batch normalisations only add the biases.

    Raises
    ------
    ModelError
        If the file cannot be used.
    ExportError
        If its weights are integers, or those of another network.
    """
    path = Path(path)
    exported = LiteRTModel(path, MASKS)
    with reading(path) as content:
        graph = _Graph(schema.ModelT.InitFromObj(content))
    model = build_segmentation_network(exported.input_size, len(CHANNELS))
    try:
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
                _set_weights(model, layer, *graph.weights(layer.name))
    except (LookupError, ValueError) as reason:
        raise ExportError(
            f"{path}: its network cannot be read back ({reason}); give a float32 or float16 file "
            f"from `{MASKS.maker}`, such as the released one."
        ) from None
    image = np.random.default_rng(0).integers(0, 256, exported.input_size).astype(np.float32)
    masks = keras.ops.sigmoid(model(image[None, ..., None], training=False))
    difference = float(np.abs(exported(image) - np.asarray(masks)[0]).mean())
    if not difference <= _MOST_DIFFERENCE:
        raise ExportError(
            f"{path}: its masks differ by {difference:.3f} on average from those of the "
            "segmentation network with its weights, so it is another network; export the run that "
            "it comes from."
        )
    return model


class _Graph:
    """The convolutions of a file's first graph, and their constants."""

    def __init__(self, content: Any):
        self._graph = content.subgraphs[0]
        self._buffers = content.buffers
        self._maker = {
            output: operator for operator in self._graph.operators for output in operator.outputs
        }
        convolution = schema.BuiltinOperator.CONV_2D
        self._convolutions = [
            operator
            for operator in self._graph.operators
            if content.operatorCodes[operator.opcodeIndex].builtinCode == convolution
        ]

    def weights(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """Kernel (outputs, height, width, inputs) and bias of the convolution named after a layer.

        Raises
        ------
        LookupError
            If there is none, or several.
        ValueError
            If its weights are no floating-point numbers.
        """
        # The converter joins the names of what it has fused, and may number them.
        name = re.compile(rf"(^|[/;]){layer}(_\d+)?(/|;|$)")
        found = [
            operator
            for operator in self._convolutions
            if name.search(self._graph.tensors[operator.outputs[0]].name.decode())
        ]
        if len(found) != 1:
            raise LookupError(f"it has {len(found)} convolutions called {layer}")
        _, kernel, bias = found[0].inputs
        return self._constant(kernel, layer), self._constant(bias, layer)

    def _constant(self, index: int, layer: str) -> np.ndarray:
        tensor = self._graph.tensors[index]
        data = self._buffers[tensor.buffer].data
        if data is None and index in self._maker:  # float16, which an operation widens
            return self._constant(self._maker[index].inputs[0], layer)
        if data is None or tensor.type not in _FLOATS:
            raise ValueError(f"the weights of {layer} are not floating-point numbers")
        values = np.frombuffer(bytes(data), _FLOATS[tensor.type])
        return values.reshape(tensor.shape).astype(np.float32)


def _set_weights(
    model: keras.Model, layer: keras.layers.Layer, kernel: np.ndarray, bias: np.ndarray
) -> None:
    if isinstance(layer, keras.layers.Conv2DTranspose):
        layer.set_weights([_transposed_kernel(kernel), bias[: layer.filters]])
    elif layer.use_bias:
        layer.set_weights([kernel.transpose(1, 2, 3, 0), bias])
    else:
        layer.set_weights([kernel.transpose(1, 2, 3, 0)])
        norm = model.get_layer(f"{layer.name}_norm")
        one, zero = np.ones_like(bias), np.zeros_like(bias)
        norm.set_weights([one, bias, zero, one - norm.epsilon])


def _transposed_kernel(kernel: np.ndarray) -> np.ndarray:
    """Kernel (4, 4, channels, inputs) from that of a `TransposedConvolution`."""
    outputs, height, width, inputs = kernel.shape
    taps = kernel.transpose(1, 2, 3, 0).reshape(height, width, inputs, 2, 2, outputs // 4)
    transposed = np.zeros((4, 4, outputs // 4, inputs), np.float32)
    for row, column, down, right in np.ndindex(2, 2, 3, 3):
        y, x = row + 3 - 2 * down, column + 3 - 2 * right
        if 0 <= y < 4 and 0 <= x < 4:
            transposed[y, x] = taps[down, right, :, row, column].T
    return transposed
