"""Camera models: image size, tone curve, borders, compression and post-processing."""

from dataclasses import dataclass

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.synthetic.capture import IMAGE_SHAPE
from iris_tf.synthetic.iris_renderer import outline_distance


@dataclass(frozen=True)
class Camera:
    """A camera model: everything that happens to the scene after the lens.

    Attributes
    ----------
    shape : tuple of int
        Height and width of its images in pixels.
    painted_pupil : float
        Grey level of a uniform disc drawn over the pupil, as in one published dataset; -1 for
        none.
    black, white : float
        Grey levels to which 0 and 255 are mapped.
    equalisation : float
        Clip limit of contrast-limited adaptive histogram equalisation (CLAHE); 0 for none.
    interlace : float
        Horizontal shift of odd against even rows in pixels.
    borders : tuple of float
        Widths of blank bars at the top, bottom, left and right, as fractions of the side.
    border_level : float
        Grey level of bars and round mask.
    round_mask : float
        Radius of the eyepiece's circular field of view, in half diagonals; 0 for none.
    jpeg_quality : int
        1..100; 0 for no compression.
    """

    shape: tuple[int, int]
    painted_pupil: float = -1.0
    black: float = 0.0
    white: float = 255.0
    equalisation: float = 0.0
    interlace: float = 0.0
    borders: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    border_level: float = 0.0
    round_mask: float = 0.0
    jpeg_quality: int = 0

    @property
    def reduction(self) -> float:
        """Scene pixels (`IMAGE_SHAPE`) per image pixel."""
        return min(IMAGE_SHAPE[0] / self.shape[0], IMAGE_SHAPE[1] / self.shape[1])

    @property
    def corner(self) -> tuple[float, float]:
        """Upper left corner (x, y) of the field of view, in scene pixels."""
        reach_y, reach_x = (self.reduction * side for side in self.shape)
        return (IMAGE_SHAPE[1] - reach_x) / 2, (IMAGE_SHAPE[0] - reach_y) / 2

    def view(self, scene: np.ndarray) -> np.ndarray:
        """Crop the scene to the field of view, and resample it to the camera resolution.

        Parameters
        ----------
        scene : ndarray of shape `IMAGE_SHAPE`, float32 or uint8

        Returns
        -------
        ndarray of shape `shape`, same dtype
        """
        left, top = (round(value) for value in self.corner)
        height, width = (round(self.reduction * side) for side in self.shape)
        part = scene[top : top + height, left : left + width]
        return cv2.resize(part, self.shape[::-1], interpolation=cv2.INTER_AREA)

    def outline(self, ellipse: Ellipse) -> Ellipse:
        """Map an outline from scene to image pixels."""
        left, top = (round(value) for value in self.corner)
        factor = 1.0 / self.reduction
        # Pixel centres are at integers, so scaling involves a half-pixel shift.
        return ellipse.scaled(factor, ((0.5 - left) * factor - 0.5, (0.5 - top) * factor - 0.5))

    def record(self, image: np.ndarray, pupil: Ellipse) -> np.ndarray:
        """Apply everything that the camera does after exposure.

        Parameters
        ----------
        image : ndarray of shape `shape`, uint8
        pupil : Ellipse
            In image pixels.

        Returns
        -------
        ndarray of shape `shape`, uint8
        """
        height, width = self.shape
        if self.interlace:
            moved = np.array([[1, 0, self.interlace], [0, 1, 0]], np.float32)
            odd = cv2.warpAffine(image, moved, (width, height), borderMode=cv2.BORDER_REPLICATE)
            image = image.copy()
            image[1::2] = odd[1::2]
        if self.equalisation:
            image = cv2.createCLAHE(self.equalisation, (4, 4)).apply(image)
        if self.painted_pupil >= 0.0:
            x = np.arange(width, dtype=np.float32)[None, :]
            y = np.arange(height, dtype=np.float32)[:, None]
            inside = np.clip(0.5 - outline_distance(pupil, x, y), 0.0, 1.0)
            image = (image + inside * (self.painted_pupil - image)).astype(np.uint8)
        gain = np.float32((self.white - self.black) / 255.0)
        image = np.clip(image * gain + np.float32(self.black), 0, 255).astype(np.uint8)
        image[self.covered()] = round(self.border_level)
        if self.jpeg_quality:
            quality = [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality]
            encoded = cv2.imencode(".jpg", image, quality)[1]
            image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE))
        return image

    def covered(self) -> np.ndarray:
        """Mask of the pixels behind bars and round mask: (height, width), bool."""
        height, width = self.shape
        x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height)[:, None]
        top, bottom, left, right = self.borders
        blank = (y < top * height) | (y >= height - bottom * height)
        blank = blank | (x < left * width) | (x >= width - right * width)
        if self.round_mask:
            centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
            reach = self.round_mask * np.hypot(centre_x, centre_y)
            blank = blank | (np.hypot(x - centre_x, y - centre_y) > reach)
        return blank
