"""From a masked unrolled strip to local contrast, inside the graph."""

import keras
from keras import ops

COARSE = 1
"""Channel of the local contrast in the large window."""

_LEAST_CONTRAST = 1.0 / 255.0  # one grey level: what is fainter is the sensor's noise
_LEAST_COVERAGE = 1e-3


@keras.saving.register_keras_serializable(package="iris_tf")
class StripNormalization(keras.layers.Layer):
    """Local contrast of the visible iris, at two scales, and where it is visible.

    Shading, exposure and a camera's tone differ far more between real images
    than iris texture does. Here every pixel is compared with the visible pixels
    around it: ``tanh((x - mean) / std)``, mean and standard deviation taken over
    a window, hidden pixels (0) left out of all sums. The strip is continued on
    both sides by its other end, so that the network meets no seam.

    Takes (batch, height, width, 1) in 0..255, 0 where the iris is hidden, and
    returns (batch, height / rows, width / columns + 2 * wrap, 3): local contrast
    in the small and the large window, -1..1, and coverage 0..1.

    Parameters
    ----------
    rows, columns : int
        Pixels of the strip, along radius and angle, that are averaged into one first.
    wrap : int
        Columns, after that, by which the strip is continued on either side.
    windows : tuple of tuple of int
        Height and width of both windows, odd, after that.
    """

    def __init__(
        self,
        rows: int = 1,
        columns: int = 2,
        wrap: int = 16,
        windows: tuple = ((9, 17), (25, 49)),
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.rows, self.columns, self.wrap = rows, columns, wrap
        self.windows = tuple(tuple(window) for window in windows)

    @property
    def margin(self) -> int:
        """Columns of the strip's other end that windows at either end of the output see."""
        # Half a window for the mean, and half a window of means for the variance.
        return self.wrap + max(width for _, width in self.windows) - 1

    def get_config(self):
        """Arguments of the constructor."""
        return {
            **super().get_config(),
            "rows": self.rows,
            "columns": self.columns,
            "wrap": self.wrap,
            "windows": self.windows,
        }

    def call(self, inputs):
        """Normalise `inputs`."""
        mask = ops.clip(inputs, 0.0, 1.0)  # visible pixels are 1 and more
        tile = (self.rows, self.columns)
        both = ops.average_pool(ops.concatenate([inputs / 255.0, mask], axis=-1), tile, tile)
        coverage = both[..., 1:]
        value = both[..., :1] / ops.maximum(coverage, _LEAST_COVERAGE)
        margin, spare = self.margin, self.margin - self.wrap
        value, coverage = (
            ops.concatenate([part[:, :, -margin:], part, part[:, :, :margin]], axis=2)
            for part in (value, coverage)
        )
        contrasts = [self._contrast(value, coverage, window) for window in self.windows]
        return ops.concatenate([*contrasts, coverage], axis=-1)[:, :, spare:-spare]

    @staticmethod
    def _contrast(value, coverage, window):
        weight = ops.maximum(_box(coverage, *window), _LEAST_COVERAGE)
        mean = _box(value * coverage, *window) / weight
        deviation = value - mean
        variance = _box(ops.square(deviation) * coverage, *window) / weight
        contrast = deviation / ops.sqrt(variance + _LEAST_CONTRAST**2)
        return ops.tanh(contrast) * coverage

    def compute_output_shape(self, input_shape):
        """Reduced, continued, three channels."""
        batch, height, width, _ = input_shape
        return (batch, height // self.rows, width // self.columns + 2 * self.wrap, 3)


def _box(x, height: int, width: int):
    """Mean over a window around each pixel."""
    # One direction after the other: a tall and wide window costs height + width.
    x = ops.average_pool(x, (height, 1), 1, "same")
    return ops.average_pool(x, (1, width), 1, "same")
