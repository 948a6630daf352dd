"""The ellipse, the one shape that generator, segmenter and crop share."""

import math
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Ellipse:
    """An ellipse in image coordinates (x to the right, y down), in pixels.

    Attributes
    ----------
    x, y : float
        Centre; pixel centres lie at whole numbers.
    a, b : float
        Semi-axes; `a` along `angle`, `b` across it. Either may be the longer.
    angle : float
        Direction of `a` in radians, turning from +x towards +y.
    """

    x: float
    y: float
    a: float
    b: float
    angle: float = 0.0

    @property
    def radius(self) -> float:
        """Radius of the circle of equal area, in pixels."""
        return math.sqrt(self.a * self.b)

    def points(self, angles: np.ndarray) -> np.ndarray:
        """Points of the outline at image-frame `angles`.

        Parameters
        ----------
        angles : ndarray of shape (n,)
            Parameter angles in radians, measured from +x towards +y in the
            image frame (not from the ellipse's own axis), so that angle 0 of
            pupil and iris are neighbours whatever their tilt.

        Returns
        -------
        ndarray of shape (n, 2)
            x and y in pixels.
        """
        u = np.cos(angles - self.angle) * self.a
        v = np.sin(angles - self.angle) * self.b
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.stack([self.x + u * cos - v * sin, self.y + u * sin + v * cos], axis=-1)

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """Filled ellipse as a boolean image.

        Parameters
        ----------
        shape : tuple of int
            (height, width).

        Returns
        -------
        ndarray of shape (height, width), bool
        """
        outline = self.points(np.linspace(0.0, 2.0 * np.pi, 180, endpoint=False))
        canvas = np.zeros(shape, np.uint8)
        # fillPoly works in fixed point: 4 fractional bits are a 16th of a pixel.
        cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
        return canvas.astype(bool)
