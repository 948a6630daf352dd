"""How an eye is tilted, from what its eyelids hide."""

import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.polar import directions

_RAYS = 72
_RADII = 12
_ANGLES = directions(_RAYS)
_SHARES = ((np.arange(_RADII) + 0.5) / _RADII)[:, None, None]
_LEAST_HARMONIC = 0.05  # about a sixth of that of an iris of which one half is hidden


def lid_tilt(pupil: Ellipse, iris: Ellipse, visible: np.ndarray) -> float | None:
    """Rotation of an eye from upright, by the side on which most of its iris is hidden.

    On most eyes, the upper eyelid and its lashes hide more than all else. The side is the phase of
    the first harmonic, over the angle, of the hidden share of the iris.

    Parameters
    ----------
    pupil, iris : Ellipse
    visible : ndarray of shape (height, width), bool

    Returns
    -------
    float or None
        In radians, -pi..pi, from +x towards +y; None if too little is hidden on one side to tell.
    """
    height, width = visible.shape
    points = (1.0 - _SHARES) * pupil.points(_ANGLES) + _SHARES * iris.points(_ANGLES)
    columns, rows = np.rint(np.moveaxis(points, -1, 0)).astype(np.int64)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    hidden = inside & ~visible[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    right, down = (float((hidden.mean(axis=0) * wave(_ANGLES)).mean()) for wave in (np.cos, np.sin))
    if np.hypot(right, down) < _LEAST_HARMONIC:
        return None
    return float(np.arctan2(right, -down))  # 0 if the hidden side is up: right = 0, down < 0
