"""Eyes of flat grey levels, drawn by equations."""

import numpy as np

SKIN, SCLERA, IRIS, PUPIL, LASH = 235, 180, 120, 40, 5


def filled(shape, x, y, a, b, angle=0.0):
    """Pixels whose centres lie in an ellipse, by its equation."""
    dy, dx = np.mgrid[: shape[0], : shape[1]].astype(float)
    dx, dy = dx - x, dy - y
    u = dx * np.cos(angle) + dy * np.sin(angle)
    v = -dx * np.sin(angle) + dy * np.cos(angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1
