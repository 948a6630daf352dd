"""Local contrast of masked unrolled strips, computed in the graph."""

from typing import Any

import keras
from keras import ops

COARSE = 1
"""Channel of the local contrast in the large window."""

_LEAST_CONTRAST = 1.0 / 255.0  # one grey level; lower contrast is sensor noise
_LEAST_COVERAGE = 1e-3


@keras.saving.register_keras_serializable(package="iris_tf")
class StripNormalization(keras.layers.Layer):
    """Local contrast of the visible iris at two scales, and its coverage.

    Shading, exposure and tone curve differ far more between real images than iris
    texture does. Each pixel is therefore normalised by the visible pixels around it:
    ``tanh((x - mean) / std)``, with mean and standard deviation over a window,
    excluding hidden pixels (0). The strip is padded circularly on both sides, so that
    the network sees no seam.

    Input: (batch, height, width, 1) in 0..255, 0 where the iris is hidden. Output:
    (batch, height / rows, width / columns + 2 * wrap, 3): local contrast in the small
    and the large window, -1..1, and coverage, 0..1.

    Parameters
    ----------
    rows, columns : int
        Pixels along radius and angle that are averaged into one first.
    wrap : int
        Columns of circular padding on either side, after averaging.
    windows : tuple of tuple of int
        Height and width of both windows, odd, after averaging.
    """

    def __init__(
        self,
        rows: int = 1,
        columns: int = 2,
        wrap: int = 16,
        windows: tuple = ((9, 17), (25, 49)),
        **kwargs: Any,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.rows, self.columns, self.wrap = rows, columns, wrap
        self.windows = tuple(tuple(window) for window in windows)

    @property
    def margin(self) -> int:
        """Columns of circular padding that the windows at the ends of the output need."""
        # Half a window for the mean, and half a window of means for the variance.
        return self.wrap + max(width for _, width in self.windows) - 1

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, for serialisation."""
        return {
            **super().get_config(),
            "rows": self.rows,
            "columns": self.columns,
            "wrap": self.wrap,
            "windows": self.windows,
        }

    def call(self, inputs: Any) -> Any:
        """Normalise `inputs`."""
        height, width = inputs.shape[1:3]
        # (batch, kinds of values, rows, columns), then columns before rows: see `_mean_around`.
        level = ops.reshape(inputs, (-1, 1, height, width))
        mask = ops.clip(level, 0.0, 1.0)  # visible pixels are 1 and more
        both = ops.concatenate([level / 255.0, mask], axis=1)
        both = ops.average_pool(both, (1, self.rows), (1, self.rows))
        both = ops.transpose(both, (0, 1, 3, 2))
        both = ops.average_pool(both, (1, self.columns), (1, self.columns))
        margin, spare = self.margin, self.margin - self.wrap
        both = ops.concatenate([both[:, :, -margin:], both, both[:, :, :margin]], axis=2)
        coverage = both[:, 1:]
        value = both[:, :1] / ops.maximum(coverage, _LEAST_COVERAGE)
        contrasts = [self._contrast(value, coverage, window) for window in self.windows]
        channels = ops.concatenate([*contrasts, coverage], axis=1)[:, :, spare:-spare]
        return ops.transpose(channels, (0, 3, 2, 1))

    @staticmethod
    def _contrast(value: Any, coverage: Any, window: tuple[int, int]) -> Any:
        sums = _mean_around(ops.concatenate([value * coverage, coverage], axis=1), *window)
        weight = ops.maximum(sums[:, 1:], _LEAST_COVERAGE)
        deviation = value - sums[:, :1] / weight
        variance = _mean_around(ops.square(deviation) * coverage, *window) / weight
        contrast = deviation / ops.sqrt(variance + _LEAST_CONTRAST**2)
        return ops.tanh(contrast) * coverage

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape after averaging and padding, with three channels."""
        batch, height, width, _ = input_shape
        return (batch, height // self.rows, width // self.columns + 2 * self.wrap, 3)


def _mean_around(x: Any, height: int, width: int) -> Any:
    """Mean over a window around each value of (batch, kinds, columns, rows)."""
    # Separable: a window costs height + width instead of their product. The other direction takes
    # the place of channels, over which kernels are vectorised; with a single channel, these means
    # took two thirds of the network's time on a CPU.
    x = ops.transpose(_mean_along(x, width), (0, 1, 3, 2))
    return ops.transpose(_mean_along(x, height), (0, 1, 3, 2))


def _mean_along(x: Any, length: int) -> Any:
    """Mean over a window around each value along the third axis, clipped at the ends."""
    return ops.average_pool(x, (1, length), 1, "same")
