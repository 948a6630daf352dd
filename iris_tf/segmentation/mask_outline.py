"""Ellipses around what a mask shows."""

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.polar import directions, fit_ellipse, sample

_RAYS = 96
_ANGLES = directions(_RAYS)
_RIDGE = 0.02  # regularisation of the ellipse fits towards circles
_RADIUS_RANGE = (0.6, 1.6)  # of a fitted outline, relative to a disc with the area of the mask


def mask_outline(mask: np.ndarray, smallest: float) -> Ellipse | None:
    """Fit an ellipse to the edge of the largest connected component of a mask.

    Parameters
    ----------
    mask : ndarray of shape (height, width), float32
        Probabilities; what is above 0.5 is inside.
    smallest : float
        Least equivalent radius of the component, in pixels.

    Returns
    -------
    Ellipse or None
        None without such a component, or if the radius of the ellipse differs too much from it.
    """
    shown = (mask > 0.5).view(np.uint8)
    left, top, width, height = cv2.boundingRect(shown)
    if not width:
        return None
    box = slice(top, top + height), slice(left, left + width)
    # Labelling takes a third of the time, and less for a pupil, within the box of what is shown.
    count, labels, stats, centres = cv2.connectedComponentsWithStats(shown[box], connectivity=4)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    radius = float(np.sqrt(stats[largest, cv2.CC_STAT_AREA] / np.pi))
    if radius < smallest:
        return None
    x, y = (float(value) for value in centres[largest] + (left, top))
    if count > 2:
        mask = mask.copy()
        mask[box] = np.where(labels == largest, mask[box], np.minimum(mask[box], 0.5))
    step = 0.5
    reach = np.arange(0.3 * radius, 1.8 * radius + 2.0, step)
    cos, sin = np.cos(_ANGLES)[:, None], np.sin(_ANGLES)[:, None]
    profile = sample(mask, x + cos * reach, y + sin * reach)
    # The outermost crossing counts: a highlight may leave a hole inside the mask.
    falls = (profile[:, :-1] > 0.5) & (profile[:, 1:] <= 0.5)
    at = falls.shape[1] - 1 - falls[:, ::-1].argmax(axis=1)
    rays = np.arange(_RAYS)
    before, after = profile[rays, at], profile[rays, at + 1]
    slope = np.maximum(before - after, 1e-6)
    edge = reach[at] + step * np.clip((before - 0.5) / slope, 0.0, 1.0)
    inner = profile[rays, np.maximum(at - 2, 0)]
    outer = profile[rays, np.minimum(at + 3, profile.shape[1] - 1)]
    sharpness = np.clip(inner - outer, 0.02, 1.0)
    weights = np.where(falls.any(axis=1), sharpness, 0.0)
    fitted = fit_ellipse(x + edge * cos[:, 0], y + edge * sin[:, 0], weights, _RIDGE)
    if fitted is None:
        return None
    outline = fitted[0]
    return outline if _RADIUS_RANGE[0] < outline.radius / radius < _RADIUS_RANGE[1] else None
