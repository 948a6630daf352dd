"""Packing of quantised models into ``.irq`` files, and loading them, bit for bit."""

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from iris_tf.networks.embed_rois import check_embedding_model
from iris_tf.networks.keras_files import check_configuration, check_size
from iris_tf.quantization.bit_masks import average_bits
from iris_tf.quantization.bit_packing import (
    compress_mask,
    decompress_mask,
    pack_bits,
    unpack_bits,
)
from iris_tf.quantization.fake_quantizers import LEAST_BITS, MOST_BITS
from iris_tf.quantization.packed_file import PackedFile
from iris_tf.quantization.quantized_layers import MixedPrecision, QuantizedLayer
from iris_tf.support.errors import ModelError, first_line

_FORMAT = 1
_WIDTHS = range(LEAST_BITS, MOST_BITS + 1)
# Bytes that the compressed numbers may unpack to; more where they have the size.
_MOST_UNPACKED, _MOST_GROWTH = 2**26, 20
_MOST_PER_BYTE = 16  # parameters: four weights of two bits, with their bits, and what zlib saves


@dataclass(frozen=True)
class PackedSize:
    """Bytes of a packed file, by what they are for.

    Attributes
    ----------
    weights : int
        Average bits x weights / 8, filled up to whole bytes.
    mask : int
        Entropy-coded bits per weight.
    numbers : int
        Scales, biases, batch normalisation and limits of activations, compressed.
    graph : int
        Configuration of the layers, compressed, and checksum.
    average_bits : float
        Mean bits of a weight.
    """

    weights: int
    mask: int
    numbers: int
    graph: int
    average_bits: float


def pack_model(model: keras.Model, path: Path) -> PackedSize:
    """Write a quantised model to an ``.irq`` file.

    Parameters
    ----------
    model : keras.Model
        From `iris_tf.quantization.wrapping`, trained or not.
    path : Path
        Of the file.

    Returns
    -------
    PackedSize

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    layers = quantized_layers(model)
    mask = {layer.name: layer.bits_of_weights() for layer in layers}
    widths = np.concatenate([part.ravel() for part in mask.values()])
    codes = np.concatenate([layer.codes().ravel() for layer in layers])
    sections = {
        _weights_name(bits): pack_bits(codes[widths == bits], bits)
        for bits in _WIDTHS
        if (widths == bits).any()
    }
    weights = sum(map(len, sections.values()))
    numbers = [np.asarray(variable) for variable in _numbers(model, layers)]
    numbers += [value for layer in layers for value in layer.constants()]
    raw = b"".join(value.astype("<f4").tobytes() for value in numbers)
    sections |= {"mask": compress_mask(widths), "numbers": zlib.compress(raw, 9)}
    header = {
        "format": _FORMAT,
        "graph": _packed_graph(model),
        "constants": {layer.name: [part.shape for part in layer.constants()] for layer in layers},
    }
    PackedFile(header, sections).write(path)
    rest = len(sections["mask"]) + len(sections["numbers"])
    return PackedSize(
        weights,
        len(sections["mask"]),
        len(sections["numbers"]),
        path.stat().st_size - weights - rest,
        average_bits(mask),
    )


def load_packed_model(path: Path) -> keras.Model:
    """Load an ``.irq`` file; its outputs are those of the packed model, bit for bit.

    Parameters
    ----------
    path : Path

    Returns
    -------
    keras.Model
        For inference: its kernels are quantised for good.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or not one of this project.
    """
    packed = PackedFile.read(path)
    try:
        return _unpacked(packed)
    except Exception as error:  # Keras raises whatever a configuration leads to
        raise ModelError(
            f"{path}: its network cannot be built ({first_line(error)}); make it again with "
            "`pack_model`."
        ) from None


def _unpacked(packed: PackedFile) -> keras.Model:
    if packed.header["format"] != _FORMAT:
        raise ValueError(f"format {packed.header['format']}, not {_FORMAT}")
    check_configuration(packed.header["graph"])
    check_size(packed.header["graph"], _MOST_PER_BYTE * sum(map(len, packed.sections.values())))
    model = keras.saving.deserialize_keras_object(packed.header["graph"])
    layers = quantized_layers(model)
    sizes = [int(np.prod(layer.layer.kernel.shape)) for layer in layers]
    widths = decompress_mask(packed.sections["mask"], sum(sizes))
    codes = np.zeros(len(widths), np.uint8)
    for bits in np.unique(widths).tolist():
        count = int((widths == bits).sum())
        codes[widths == bits] = unpack_bits(packed.sections[_weights_name(bits)], bits, count)
    numbers = _Numbers(_inflated(packed.sections["numbers"]))
    for variable in _numbers(model, layers):
        variable.assign(numbers.take(variable.shape))
    ends = np.cumsum(sizes)[:-1]
    for layer, own, bits in zip(layers, np.split(codes, ends), np.split(widths, ends), strict=True):
        shape = layer.layer.kernel.shape
        constants = [numbers.take(part) for part in packed.header["constants"][layer.name]]
        layer.restore(own.reshape(shape), bits.reshape(shape), constants)
    numbers.check_used_up()
    check_embedding_model(model)
    return model


def _inflated(section: bytes) -> bytes:
    """Decompress, as long as it is not far more than such files hold."""
    decoder = zlib.decompressobj()
    found = decoder.decompress(section, max(_MOST_UNPACKED, _MOST_GROWTH * len(section)))
    if not decoder.eof:
        raise ValueError("its numbers unpack to too many bytes, or are cut off")
    return found


class _Numbers:
    """Floats that are read one array after the other."""

    def __init__(self, raw: bytes):
        self._values, self._start = np.frombuffer(raw, "<f4"), 0

    def take(self, shape: Sequence[int]) -> np.ndarray:
        count = math.prod(shape)
        values = self._values[self._start : self._start + count]
        self._start += count
        return values.reshape(shape)

    def check_used_up(self) -> None:
        if self._start != len(self._values):
            raise ValueError(f"{len(self._values)} numbers instead of {self._start}")


def quantized_layers(model: keras.Model) -> list[QuantizedLayer]:
    """Layers whose kernels are quantised, from input to output."""
    return [layer for layer in model.layers if isinstance(layer, QuantizedLayer)]


def _numbers(model: keras.Model, layers: Sequence[QuantizedLayer]) -> list[keras.Variable]:
    """Variables that are stored as they are: all but kernels and masks."""
    packed = {id(layer.layer.kernel) for layer in layers}
    packed |= {id(layer.bits) for layer in layers if isinstance(layer, MixedPrecision)}
    return [variable for variable in model.variables if id(variable) not in packed]


def _packed_graph(model: keras.Model) -> dict[str, Any]:
    graph = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    for layer in graph["config"]["layers"]:
        if "packed" in layer["config"]:
            layer["config"]["packed"] = True
    return graph


def _weights_name(bits: int) -> str:
    return f"weights{bits}"
