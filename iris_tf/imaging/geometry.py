"""Ellipses, as shared by renderer, segmenters and ROI modes, and windows on images."""

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
        Centre; pixel centres are at integers.
    a, b : float
        Semi-axes: `a` along `angle`, `b` perpendicular to it. Either may be the longer one.
    angle : float
        Direction of `a` in radians, from +x towards +y.
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
        """Points on the outline at image-frame `angles`.

        Parameters
        ----------
        angles : ndarray of shape (n,)
            Parameter angles in radians, measured from +x towards +y in the
            image frame (not from the ellipse's own axis), so that equal angles on pupil
            and iris correspond whatever their orientation.

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
        """Rasterise the filled ellipse, including all pixels that its outline touches.

        The mask extends half a pixel further than the pixels whose centres lie inside.

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
        # fillPoly takes fixed-point coordinates; 4 fractional bits are 1/16 pixel.
        cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
        return canvas.view(bool)

    def scaled(self, factor: float, shift: tuple[float, float]) -> "Ellipse":
        """Scale the ellipse about the origin by `factor`, then translate it by `shift` (x, y)."""
        return Ellipse(
            self.x * factor + shift[0],
            self.y * factor + shift[1],
            self.a * factor,
            self.b * factor,
            self.angle,
        )


def resampled(content: np.ndarray, height: int) -> np.ndarray:
    """Resample the content of a 4:3 window to `height` rows, a multiple of 3."""
    interpolation = cv2.INTER_AREA if len(content) > height else cv2.INTER_LINEAR
    return cv2.resize(content, (height * 4 // 3, height), interpolation=interpolation)


@dataclass(frozen=True)
class Window:
    """A 4:3 rectangle of whole pixels that is resampled to another resolution.

    It may extend beyond the image; pixels there are black.

    Attributes
    ----------
    left, top : int
        First column and row in the image.
    unit : int
        A quarter of the width and a third of the height in pixels, at least 1.
    """

    left: int
    top: int
    unit: int

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> "Window":
        """Smallest window that covers an image of `shape` (height, width), centred on it."""
        unit = max(math.ceil(shape[0] / 3), math.ceil(shape[1] / 4))
        return cls((shape[1] - 4 * unit) // 2, (shape[0] - 3 * unit) // 2, unit)

    @classmethod
    def around(cls, x: float, y: float, height: float) -> "Window":
        """Window about `height` pixels high, centred as closely as possible on (x, y)."""
        unit = max(round(height / 3), 1)
        return cls(round(x + 0.5 - 2 * unit), round(y + 0.5 - 1.5 * unit), unit)

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
        top, left = max(self.top, 0), max(self.left, 0)
        bottom = max(min(self.top + 3 * self.unit, image.shape[0]), top)
        right = max(min(self.left + 4 * self.unit, image.shape[1]), left)
        part = np.zeros((3 * self.unit, 4 * self.unit), image.dtype)
        part[top - self.top : bottom - self.top, left - self.left : right - self.left] = image[
            top:bottom, left:right
        ]
        return resampled(part, height)

    def inwards(self, ellipse: Ellipse, height: int) -> Ellipse:
        """Map an ellipse from image pixels to the window resampled to `height` rows."""
        factor = height / (3 * self.unit)
        # Pixel centres are at integers, so scaling involves a half-pixel shift.
        shift = ((0.5 - self.left) * factor - 0.5, (0.5 - self.top) * factor - 0.5)
        return ellipse.scaled(factor, shift)

    def outwards(self, ellipse: Ellipse, height: int) -> Ellipse:
        """Map an ellipse from the window resampled to `height` rows to image pixels."""
        factor = 3 * self.unit / height
        return ellipse.scaled(
            factor, (0.5 * factor - 0.5 + self.left, 0.5 * factor - 0.5 + self.top)
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
        size = (4 * self.unit, 3 * self.unit)
        enlarged = cv2.resize(probabilities, size, interpolation=cv2.INTER_LINEAR) > 0.5
        inside = np.zeros(shape, bool)
        top, left = max(self.top, 0), max(self.left, 0)
        bottom = max(min(self.top + size[1], shape[0]), top)
        right = max(min(self.left + size[0], shape[1]), left)
        inside[top:bottom, left:right] = enlarged[
            top - self.top : bottom - self.top, left - self.left : right - self.left
        ]
        return inside
