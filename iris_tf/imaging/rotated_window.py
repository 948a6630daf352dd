"""Windows on images that are rotated against the image."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse, resampled


@dataclass(frozen=True)
class RotatedWindow:
    """A 4:3 rectangle, rotated against the image, that is resampled to another resolution.

    It may extend beyond the image; pixels there are black.

    Attributes
    ----------
    x, y : float
        Its centre in image pixels.
    unit : int
        A quarter of the width and a third of the height in pixels, at least 1.
    angle : float
        Direction of its +x axis in the image, in radians from the image's +x towards +y.
    """

    x: float
    y: float
    unit: int
    angle: float

    @classmethod
    def around(cls, x: float, y: float, height: float, angle: float) -> "RotatedWindow":
        """Window about `height` pixels high, centred on (x, y)."""
        return cls(x, y, max(round(height / 3), 1), angle)

    def cut(self, image: np.ndarray, height: int) -> np.ndarray:
        """Resample the content of the window to `height` rows.

        Parameters
        ----------
        image : ndarray of shape (n, m), uint8 or float32
        height : int
            A multiple of 3.

        Returns
        -------
        ndarray of shape (height, 4 * height / 3), dtype of `image`
        """
        across = np.arange(4 * self.unit) - (2 * self.unit - 0.5)
        down = (np.arange(3 * self.unit) - (1.5 * self.unit - 0.5))[:, None]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        content = _interpolated(
            image, self.x + cos * across - sin * down, self.y + sin * across + cos * down
        )
        return resampled(content, height)

    def outwards(self, ellipse: Ellipse, height: int) -> Ellipse:
        """Map an ellipse from the window resampled to `height` rows to image pixels."""
        factor = 3 * self.unit / height
        across = (ellipse.x + 0.5) * factor - 2 * self.unit
        down = (ellipse.y + 0.5) * factor - 1.5 * self.unit
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return Ellipse(
            self.x + cos * across - sin * down,
            self.y + sin * across + cos * down,
            ellipse.a * factor,
            ellipse.b * factor,
            (ellipse.angle + self.angle) % math.pi,
        )

    def outside(self, probabilities: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """The pixels of an image whose probability in the window exceeds 1/2.

        Parameters
        ----------
        probabilities : ndarray of shape (rows, 4 * rows / 3), float32
        shape : tuple of int
            Height and width of the image.

        Returns
        -------
        ndarray of shape (height, width), bool
        """
        factor = len(probabilities) / (3 * self.unit)
        reach = math.ceil(2.5 * self.unit)  # half a diagonal
        rows = slice(max(math.floor(self.y) - reach, 0), max(math.ceil(self.y) + reach + 1, 0))
        columns = slice(max(math.floor(self.x) - reach, 0), max(math.ceil(self.x) + reach + 1, 0))
        inside = np.zeros(shape, bool)
        part = inside[rows, columns]
        if part.size:
            right = np.arange(columns.start, columns.start + part.shape[1]) - self.x
            below = (np.arange(rows.start, rows.start + part.shape[0]) - self.y)[:, None]
            cos, sin = math.cos(self.angle), math.sin(self.angle)
            part[:] = (
                _interpolated(
                    probabilities,
                    (cos * right + sin * below + 2 * self.unit) * factor - 0.5,
                    (cos * below - sin * right + 1.5 * self.unit) * factor - 0.5,
                )
                > 0.5
            )
        return inside


def _interpolated(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Interpolate bilinearly; pixels beyond the frame are 0."""
    return cv2.remap(
        image,
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
