"""The phase of the iris texture at positions around the ring: an iris code inside the graph."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from iris_tf.networks.input_normalization import NORMALIZATION_LAYER
from iris_tf.networks.strip_normalization import COARSE, StripNormalization
from iris_tf.support.errors import ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

# Along the angle, in pixels of the normalised strip. Shorter ones say more about a sharp image, and
# next to nothing about a low-quality one.
_WAVELENGTHS = (20.0, 9.0)
_HEIGHT, _WIDTH = 7, 33  # of the filters, in pixels of the normalised strip
_ROW_SIGMA = 1.5
_ENVELOPE = 0.4  # sigma along the angle, in wavelengths
_STRIDES = (4, 2)
_FAINT = 0.02  # amplitude, in units of local contrast, that counts half
_LEAST_SEEN = 0.6  # visible share of a filter's window; with less the answer is 0
_TINY = 1e-6
_FURTHEST = 28.0 / 360.0  # of a full rotation: between two tilts of the head


@keras.saving.register_keras_serializable(package="iris_tf")
class PhaseCode(keras.layers.Layer):
    """Phase of the local contrast after complex Gabor filters along the angle (Daugman, 1993).

    As in an iris code, only the direction of a filter's response in the complex plane is kept,
    here not rounded to two bits: real and imaginary part, divided by the amplitude (plus a
    constant, since faint responses are less reliable). Positions where the iris is hidden are 0.
    The layer has no trainable weights, so it does not depend on how well synthetic irises
    resemble real ones.

    Takes what `StripNormalization` returns, (batch, rows, columns + 2 wrap, 3), and returns
    (batch, columns / 2 * rows / 4 * 2 filters * 2): column by column around the ring, row by row
    within a column, then real and imaginary part of both filters; each -1..1.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        rows = np.arange(_HEIGHT) - _HEIGHT // 2
        down = np.exp(-0.5 * (rows / _ROW_SIGMA) ** 2)
        # Down and along one after the other: fewer weights, and less to compute.
        self._down = (down / down.sum())[:, None, None, None] * np.eye(2)
        # Local contrast goes through the waves, coverage through their envelopes.
        waves, envelopes = zip(*map(_filters, _WAVELENGTHS), strict=True)
        self._along = np.zeros((1, _WIDTH, 2, 3 * len(waves)))
        self._along[0, :, 0, : 2 * len(waves)] = np.concatenate(waves, axis=1)
        self._along[0, :, 1, 2 * len(waves) :] = np.stack(envelopes, axis=1)

    def call(self, inputs: Any) -> Any:
        """Code of normalised strips."""
        above = (_HEIGHT - _STRIDES[0]) // 2
        below = _HEIGHT - _STRIDES[0] - above
        x = ops.pad(inputs[..., COARSE:], ((0, 0), (above, below), (0, 0), (0, 0)))
        x = ops.conv(x, self._down.astype(np.float32), (_STRIDES[0], 1))
        x = ops.conv(x, self._along.astype(np.float32), (1, _STRIDES[1]))
        x = ops.transpose(x, (0, 2, 1, 3))
        filters = len(_WAVELENGTHS)
        places = x.shape[1] * x.shape[2] * filters
        answers = ops.reshape(x[..., : 2 * filters], (-1, places, 2))
        seen = ops.reshape(x[..., 2 * filters :], (-1, places, 1))
        seen = ops.clip((seen - _LEAST_SEEN) * (1.0 / (1.0 - _LEAST_SEEN)), 0.0, 1.0)
        amplitude = ops.sqrt(ops.sum(ops.square(answers), axis=-1, keepdims=True) + _TINY)
        return ops.reshape(answers * (seen / (amplitude + _FAINT)), (-1, 2 * places))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """One vector."""
        batch, height, width, _ = input_shape
        columns = (width - _WIDTH) // _STRIDES[1] + 1
        return (batch, columns * (height // _STRIDES[0]) * 2 * len(_WAVELENGTHS))


@keras.saving.register_keras_serializable(package="iris_tf")
class WeightedUnits(keras.layers.Layer):
    """Two vectors scaled to unit length and concatenated, again of unit length.

    The scalar product of two such vectors is the weighted mean of both components' cosines. A
    second vector of zeros has no direction: then only the first counts.

    Parameters
    ----------
    share : float
        Weight of the second one's cosine, 0..1 exclusive. The first has unit length already.
    """

    def __init__(self, share: float, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.share = share

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor."""
        return {**super().get_config(), "share": self.share}

    def call(self, inputs: Any) -> Any:
        """Side by side."""
        first, second = inputs
        squares = ops.sum(ops.square(second), axis=-1, keepdims=True)
        scale = math.sqrt(self.share / (1.0 - self.share))
        second = second * (scale * ops.rsqrt(squares + _TINY))
        both = ops.concatenate([first, second], axis=-1)
        return both * ops.rsqrt(ops.sum(ops.square(both), axis=-1, keepdims=True))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Both lengths."""
        (batch, first), (_, second) = input_shape
        return (batch, first + second)


def _filters(wavelength: float) -> tuple[np.ndarray, np.ndarray]:
    """Both parts of a complex Gabor filter (width, 2), and its envelope (width,), of sum 1."""
    columns = np.arange(_WIDTH) - _WIDTH // 2
    envelope = np.exp(-0.5 * (columns / (_ENVELOPE * wavelength)) ** 2)
    envelope /= envelope.sum()
    angle = 2.0 * math.pi * columns / wavelength
    # Even brightness must not answer.
    even = np.cos(angle) - (envelope * np.cos(angle)).sum()
    return np.stack([envelope * even, envelope * np.sin(angle)], axis=1), envelope


def with_phase(model: keras.Model, share: float) -> tuple[keras.Model, PhaseCodeLayout]:
    """Add a phase code to the embedding of a network of unrolled strips.

    The cosine of two embeddings is then the weighted mean of that of the learned components,
    which are robust to blur, head tilt and inaccurate outlines, and that of the phase codes,
    which separate impostors well on any camera.

    Parameters
    ----------
    model : keras.Model
        Of `iris_tf.networks.embedding_model.build_embedding_model`, with local contrast; its
        layers are shared.
    share : float
        Weight of the codes' cosine, 0..1 exclusive.

    Returns
    -------
    model : keras.Model
        From the same strips to unit vectors (batch, D + code).
    layout : PhaseCodeLayout
        Where the phase code lies in these embeddings and how far it is rotated to compare two.

    Raises
    ------
    ModelError
        When the network takes other crops, or its normalised strips have a number of rows or
        columns that is no multiple of the code's strides.
    """
    if not isinstance(layer := model.get_layer(NORMALIZATION_LAYER), StripNormalization):
        raise ModelError(
            f"{model.name} has no local contrast of unrolled strips, which a phase code is made "
            "of; set `network.normalization: local_contrast`, or leave out `network.phase`."
        )
    normalised = layer.output
    rows, columns = normalised.shape[1], normalised.shape[2] - 2 * layer.wrap
    if rows % _STRIDES[0] or columns % _STRIDES[1]:
        raise ModelError(
            f"{model.name} sees strips of {rows} rows and {columns} columns; a phase code needs "
            f"multiples of {_STRIDES[0]} and {_STRIDES[1]}; choose another `network.reduction`, or "
            "leave out `network.phase`."
        )
    code = PhaseCode(name="phase_code")(normalised)
    both = WeightedUnits(share, name="embedding")([model.output, code])
    places = columns // _STRIDES[1]
    layout = PhaseCodeLayout(code.shape[-1], places, round(_FURTHEST * places))
    # A short name: it is part of every tensor's name in an exported file.
    return keras.Model(model.input, both, name="iris"), layout
