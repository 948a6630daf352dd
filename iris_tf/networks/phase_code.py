"""Gabor phase code of the iris texture (an iris code), computed in the graph."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from iris_tf.networks.input_normalization import NORMALIZATION_LAYER
from iris_tf.networks.strip_normalization import COARSE, StripNormalization
from iris_tf.support.errors import ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

# Along the angle, in pixels of the normalised strip. Shorter ones are more discriminative on sharp
# images, but carry next to no information in low-quality images.
_WAVELENGTHS = (20.0, 9.0)
_HEIGHT, _WIDTH = 7, 33  # of the filters, in pixels of the normalised strip
_ROW_SIGMA = 1.5
_ENVELOPE = 0.4  # sigma along the angle, in wavelengths
_STRIDES = (4, 2)
_FAINT = 0.02  # amplitude, in units of local contrast, that has half the weight
_LEAST_SEEN = 0.6  # visible share of a filter's window, below which the response is 0
_TINY = 1e-6
_FURTHEST = 28.0 / 360.0  # of a full rotation: largest difference between two head tilts


@keras.saving.register_keras_serializable(package="iris_tf")
class PhaseCode(keras.layers.Layer):
    """Phase of the local contrast after complex Gabor filters along the angle (Daugman, 1993).

    As in an iris code, only the phase of a filter's complex response is kept, but it is not
    quantised to two bits: real and imaginary part are divided by the amplitude (plus a constant,
    since faint responses are less reliable). Positions where the iris is hidden are 0. The layer
    has no trainable weights, so it does not depend on how well synthetic irises resemble real
    ones.

    The input is the output of `StripNormalization`, (batch, rows, columns + 2 wrap, 3). The output
    has shape (batch, columns / 2 * rows / 4 * 2 filters * 2): column by column around the ring,
    row by row within a column, then real and imaginary part of both filters; each -1..1.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        rows = np.arange(_HEIGHT) - _HEIGHT // 2
        down = np.exp(-0.5 * (rows / _ROW_SIGMA) ** 2)
        # Separable filters, down and then along: fewer weights and less computation.
        self._down = (down / down.sum())[:, None, None, None] * np.eye(2)
        # Local contrast is filtered by the waves, coverage by their envelopes.
        waves, envelopes = zip(*map(_filters, _WAVELENGTHS), strict=True)
        self._along = np.zeros((1, _WIDTH, 2, 3 * len(waves)))
        self._along[0, :, 0, : 2 * len(waves)] = np.concatenate(waves, axis=1)
        self._along[0, :, 1, 2 * len(waves) :] = np.stack(envelopes, axis=1)

    def call(self, inputs: Any) -> Any:
        """Compute the phase codes of normalised strips."""
        above = (_HEIGHT - _STRIDES[0]) // 2
        below = _HEIGHT - _STRIDES[0] - above
        x = ops.pad(inputs[..., COARSE:], ((0, 0), (above, below), (0, 0), (0, 0)))
        x = ops.conv(x, ops.convert_to_tensor(self._down, x.dtype), (_STRIDES[0], 1))
        x = ops.conv(x, ops.convert_to_tensor(self._along, x.dtype), (1, _STRIDES[1]))
        x = ops.transpose(x, (0, 2, 1, 3))
        filters = len(_WAVELENGTHS)
        places = x.shape[1] * x.shape[2] * filters
        responses = ops.reshape(x[..., : 2 * filters], (-1, places, 2))
        seen = ops.reshape(x[..., 2 * filters :], (-1, places, 1))
        seen = ops.clip((seen - _LEAST_SEEN) * (1.0 / (1.0 - _LEAST_SEEN)), 0.0, 1.0)
        amplitude = ops.sqrt(ops.sum(ops.square(responses), axis=-1, keepdims=True) + _TINY)
        return ops.reshape(responses * (seen / (amplitude + _FAINT)), (-1, 2 * places))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Shape of the codes, (batch, code)."""
        batch, height, width, _ = input_shape
        columns = (width - _WIDTH) // _STRIDES[1] + 1
        return (batch, columns * (height // _STRIDES[0]) * 2 * len(_WAVELENGTHS))


@keras.saving.register_keras_serializable(package="iris_tf")
class WeightedUnits(keras.layers.Layer):
    """Weighted concatenation of two unit-length vectors, normalised to unit length.

    The dot product of two outputs is the weighted mean of the cosines of both components. If the
    second vector is zero, it has no direction, and only the first counts.

    Parameters
    ----------
    share : float
        Weight of the second vector's cosine, 0..1 exclusive. The first vector is expected to have
        unit length; the second is normalised here.
    """

    def __init__(self, share: float, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.share = share

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "share": self.share}

    def call(self, inputs: Any) -> Any:
        """Concatenate both vectors."""
        first, second = inputs
        squares = ops.sum(ops.square(second), axis=-1, keepdims=True)
        scale = math.sqrt(self.share / (1.0 - self.share))
        second = second * (scale * ops.rsqrt(squares + _TINY))
        both = ops.concatenate([first, second], axis=-1)
        return both * ops.rsqrt(ops.sum(ops.square(both), axis=-1, keepdims=True))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Shape of the concatenated vectors."""
        (batch, first), (_, second) = input_shape
        return (batch, first + second)


def _filters(wavelength: float) -> tuple[np.ndarray, np.ndarray]:
    """Real and imaginary part of a Gabor filter (width, 2), and its envelope (width,), sum 1."""
    columns = np.arange(_WIDTH) - _WIDTH // 2
    envelope = np.exp(-0.5 * (columns / (_ENVELOPE * wavelength)) ** 2)
    envelope /= envelope.sum()
    angle = 2.0 * math.pi * columns / wavelength
    # Remove the response to uniform brightness.
    even = np.cos(angle) - (envelope * np.cos(angle)).sum()
    return np.stack([envelope * even, envelope * np.sin(angle)], axis=1), envelope


def phase_code_of(layer: StripNormalization, normalised: Any) -> tuple[Any, PhaseCodeLayout]:
    """Phase codes (batch, code) of normalised strips, and their layout.

    Parameters
    ----------
    layer : StripNormalization
        That normalised the strips.
    normalised : tensor of shape (batch, rows, columns + 2 * wrap, 3)
        Rows and columns are multiples of the code's strides.
    """
    code = PhaseCode(name="phase_code")(normalised)
    places = (normalised.shape[2] - 2 * layer.wrap) // _STRIDES[1]
    return code, PhaseCodeLayout(code.shape[-1], places, round(_FURTHEST * places))


def with_phase(model: keras.Model, share: float) -> tuple[keras.Model, PhaseCodeLayout]:
    """Add a phase code to the embedding of a network of unrolled strips.

    The cosine of two embeddings is then the weighted mean of that of the learned components,
    which are robust to blur, head tilt and inaccurate outlines, and that of the phase codes,
    which separate impostors well on any camera.

    Parameters
    ----------
    model : keras.Model
        From `iris_tf.networks.embedding_model.build_embedding_model`, with local contrast; its
        layers are shared.
    share : float
        Weight of the cosine of the phase codes, 0..1 exclusive.

    Returns
    -------
    model : keras.Model
        Maps the same strips to unit-length vectors (batch, D + code).
    layout : PhaseCodeLayout
        Position of the phase code in these embeddings, and the range of shifts in a comparison.

    Raises
    ------
    ModelError
        If the network takes other crops, or the rows or columns of its normalised strips are not
        multiples of the code's strides.
    """
    if not isinstance(layer := model.get_layer(NORMALIZATION_LAYER), StripNormalization):
        raise ModelError(
            f"{model.name} has no local contrast of unrolled strips, which a phase code needs; "
            "set `network.normalization: local_contrast`, or leave out `network.phase`."
        )
    normalised = layer.output
    rows, columns = normalised.shape[1], normalised.shape[2] - 2 * layer.wrap
    if rows % _STRIDES[0] or columns % _STRIDES[1]:
        raise ModelError(
            f"{model.name} has normalised strips of {rows} rows and {columns} columns, but a phase "
            f"code needs multiples of {_STRIDES[0]} and {_STRIDES[1]}; choose another "
            "`network.reduction`, or leave out `network.phase`."
        )
    code, layout = phase_code_of(layer, normalised)
    both = WeightedUnits(share, name="embedding")([model.output, code])
    # A short name, because it is part of every tensor name in an exported file.
    return keras.Model(model.input, both, name="iris"), layout
