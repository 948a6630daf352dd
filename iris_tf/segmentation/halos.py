"""Halos of highlights in strips: light that lenses and defocus scatter around reflections.

Segmenters mask the reflection of a lamp, but its halo fades into the iris without an edge. All
eyes that a camera with fixed lamps sees have it at the same place, so it makes strangers alike.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_CELL = 4  # rows and columns of a cell, whose mean brightness is judged
_NEIGHBOURS = 16  # columns of cells to either side that tell the brightness at an angle
_BRIGHT = 6.0  # robust standard deviations above the iris that no iris texture reaches
_LEAST_SPREAD = 2.0  # grey levels, of the cells' brightness
_NORMAL = 1.4826  # standard deviation over median absolute deviation of a normal distribution


def halos(strip: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Find places of a strip that are brighter than iris texture.

    A cell of 4 x 4 pixels, half of them visible, is bright if its mean exceeds the median of its
    row of cells by more than 6 robust standard deviations of all cells, after subtraction of what
    the columns around it have in common, as light from one side. Cells that touch a bright cell
    belong to the halo.

    Parameters
    ----------
    strip : ndarray of shape (height, width), uint8
        Angles along the columns, which are cyclic. Height and width are multiples of 4.
    visible : ndarray of shape (height, width)
        Not 0 where the iris is visible.

    Returns
    -------
    ndarray of shape (height, width), bool
    """
    brightness, seen = _cells(strip, visible)
    if not seen.any():
        return np.zeros(strip.shape, bool)
    excess = brightness - _median(brightness, seen, axis=1)
    # Rings are even now, but light often comes from one side.
    around = _median(excess, seen, axis=0)
    columns, lit = _windows(around), _windows(np.any(seen, axis=0, keepdims=True))
    excess -= _median(columns, lit, axis=2)[..., 0]
    spread = _NORMAL * float(np.median(np.abs(excess[seen])))
    bright = seen & (excess > _BRIGHT * max(spread, _LEAST_SPREAD))
    return _grown(bright).repeat(_CELL, axis=0).repeat(_CELL, axis=1)


def _cells(strip: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean brightness of the visible pixels of each cell, and whether half of them are visible."""
    height, width = strip.shape
    shape = (height // _CELL, _CELL, width // _CELL, _CELL)
    mask = (visible != 0).reshape(shape)
    count = mask.sum(axis=(1, 3))
    total = (strip.reshape(shape) * mask).sum(axis=(1, 3), dtype=np.int64)
    return total / np.maximum(count, 1), count >= _CELL * _CELL // 2


def _median(values: np.ndarray, seen: np.ndarray, axis: int) -> np.ndarray:
    """Median of what is seen along an axis, which is kept; 0 where nothing is."""
    ordered = np.sort(np.where(seen, values, np.inf), axis=axis)
    count = seen.sum(axis=axis, keepdims=True)
    middle = [np.maximum(at, 0) for at in ((count - 1) // 2, count // 2)]
    last = values.shape[axis] - 1
    lower, upper = (np.take_along_axis(ordered, np.minimum(at, last), axis=axis) for at in middle)
    found = np.zeros(count.shape)
    return np.divide(lower + upper, 2.0, out=found, where=count > 0)


def _windows(row: np.ndarray) -> np.ndarray:
    """Each column (1, width) with its neighbours, around the ring: (1, width, neighbours)."""
    around = np.pad(row, ((0, 0), (_NEIGHBOURS, _NEIGHBOURS)), mode="wrap")
    return sliding_window_view(around, 2 * _NEIGHBOURS + 1, axis=1)


def _grown(bright: np.ndarray) -> np.ndarray:
    """Cells that are bright or touch a bright one, around the ring."""
    rows = bright.copy()
    rows[1:] |= bright[:-1]
    rows[:-1] |= bright[1:]
    return rows | np.roll(rows, 1, axis=1) | np.roll(rows, -1, axis=1)
