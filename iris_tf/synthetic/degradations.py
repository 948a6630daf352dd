"""Degradations of eye images, by name."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

Degrade = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
"""``degrade(image, iris_diameter, rng) -> image``, uint8; the diameter is in pixels."""

_USUAL_DIAMETER = 200.0  # pixels, to which sigmas of blur refer
_CONTRAST = 0.3
_NOISE = 12.0  # grey levels
_SMALL, _ALSO_SMALL = 80.0, 90.0  # iris diameter in pixels
_SOFT = 1.5  # sigma in pixels
_TILT = 25.0  # degrees


def _blur(sigma: float, image: np.ndarray, diameter: float, _: np.random.Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma * diameter / _USUAL_DIAMETER)


def _shrink(width: float, image: np.ndarray, diameter: float) -> np.ndarray:
    factor = min(width / diameter, 1.0)
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _small(image: np.ndarray, diameter: float, _: np.random.Generator) -> np.ndarray:
    return _shrink(_SMALL, image, diameter)


def _noisy(image: np.ndarray, _: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + rng.normal(0.0, _NOISE, image.shape), 0, 255).astype(np.uint8)


def reduce_contrast(image: np.ndarray) -> np.ndarray:
    """Scale all grey levels to 30 % of their distance from the mean, in 8 bits."""
    mean = image.mean()
    return np.round(mean + _CONTRAST * (image - mean)).astype(np.uint8)


def _soft_small_and_faint(image: np.ndarray, diameter: float, _: np.random.Generator) -> np.ndarray:
    return reduce_contrast(_shrink(_ALSO_SMALL, cv2.GaussianBlur(image, (0, 0), _SOFT), diameter))


def _tilted(image: np.ndarray, _: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-_TILT, _TILT), 1.0)
    return cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


DEGRADATIONS: dict[str, Degrade] = {
    **{f"blur {sigma}": partial(_blur, float(sigma)) for sigma in (2, 4, 6, 8, 12)},
    "small": _small,
    "noisy": _noisy,
    "faint": lambda image, diameter, rng: reduce_contrast(image),
    "soft, small and faint": _soft_small_and_faint,
    "tilted": _tilted,
}
