"""Occlusion of the iris: eyelids as parabolas, then eyelashes and highlights per pixel."""

from dataclasses import dataclass

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse

# The eye is resampled to a square in which the iris has a fixed radius, so that all lengths
# below are in iris radii.
_RADIUS = 80
_SIDE = 2 * 88 + 1
_GRID = (np.arange(_SIDE, dtype=np.float32) - _SIDE // 2) / _RADIUS
_X, _Y = np.meshgrid(_GRID, _GRID)  # offsets from the iris centre in iris radii
_COLUMNS = np.arange(_SIDE // 2 - 76, _SIDE // 2 + 77, 4)
_RINGS = 8
_LID_BLUR = 1.2
_MIN_SPREAD = 8.0
# Deviation from the iris brightness, in robust standard deviations, beyond which a pixel is not
# iris. The limits are wider below: light from below brightens the lower iris, limbal rings
# darken it, and the skin there is much brighter still.
_BRIGHT_ABOVE, _DARK_ABOVE = 2.7, 2.5
_BRIGHT_BELOW, _DARK_BELOW = 4.0, 4.5

# Candidate eyelids: height at the centre, slope and curvature.
_HEIGHTS = np.arange(-1.15, 0.5, 0.03)
_SLOPES = np.linspace(-0.45, 0.45, 7)
_CURVES = np.linspace(-0.1, 0.7, 6)


_LID_PARAMETERS = np.stack(
    [grid.ravel() for grid in np.meshgrid(_HEIGHTS, _SLOPES, _CURVES, indexing="ij")], axis=1
)


def _lid_rows() -> np.ndarray:
    """Row of each candidate eyelid at each column, int of shape (lids, columns)."""
    x = _GRID[_COLUMNS]
    height, slope, curve = np.hsplit(_LID_PARAMETERS, 3)
    y = height + slope * x + curve * x * x
    return np.clip(np.round(y * _RADIUS) + _SIDE // 2, 0, _SIDE - 1).astype(np.int32)


_LIDS = _lid_rows()


@dataclass(frozen=True)
class _IrisModel:
    """Expected brightness of an unoccluded iris at each pixel, and its robust spread."""

    expected: np.ndarray
    spread: float


def visible_iris(image: np.ndarray, pupil: Ellipse, iris: Ellipse) -> np.ndarray:
    """Compute the visible iris mask.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    pupil, iris : Ellipse

    Returns
    -------
    ndarray of shape (height, width), bool
        The ring between the two ellipses minus eyelids, eyelashes and highlights.
    """
    ring = iris.mask(image.shape) & ~pupil.mask(image.shape)
    crop = _crop(image, iris)
    depth = _depth(pupil, iris)
    inner = (depth > 0.0) & (depth < 0.96)  # excludes the blurred limbus
    smooth = cv2.GaussianBlur(crop, (0, 0), _LID_BLUR)
    even = _model(smooth, depth)
    smooth = smooth.astype(np.float32)
    deviation = (smooth - even.expected) / even.spread
    upper = np.maximum(deviation - _BRIGHT_ABOVE, -deviation - _DARK_ABOVE)
    lower = np.maximum(deviation - _BRIGHT_BELOW, -deviation - _DARK_BELOW)

    hidden = _above_lid(upper, inner) | _above_lid(lower[::-1], inner[::-1])[::-1]
    model = _model(crop, depth)
    hidden |= _lashes(crop, model, hidden)
    hidden |= _highlights(crop, model)

    return ring & ~_uncrop(hidden, iris, image.shape)


def _to_crop(iris: Ellipse) -> np.ndarray:
    """Affine map from the image to the square around the iris."""
    zoom, middle = _RADIUS / iris.radius, _SIDE // 2
    return np.array([[zoom, 0.0, middle - zoom * iris.x], [0.0, zoom, middle - zoom * iris.y]])


def _crop(image: np.ndarray, iris: Ellipse) -> np.ndarray:
    """Resample the square around the iris; the image border is replicated."""
    zoom = _RADIUS / iris.radius
    if zoom < 0.8:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / zoom)
    return cv2.warpAffine(
        image,
        _to_crop(iris),
        (_SIDE, _SIDE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _uncrop(mask: np.ndarray, iris: Ellipse, shape: tuple[int, int]) -> np.ndarray:
    """Map a mask of the square back to the image; False outside the square."""
    share = cv2.warpAffine(
        mask.astype(np.float32),
        _to_crop(iris),
        shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return share >= 0.5


def _depth(pupil: Ellipse, iris: Ellipse) -> np.ndarray:
    """Rubber-sheet radius of each pixel: 0 at the pupil boundary, 1 at the limbus."""

    def distance(ellipse: Ellipse) -> np.ndarray:
        dx = _X + (iris.x - ellipse.x) / iris.radius
        dy = _Y + (iris.y - ellipse.y) / iris.radius
        cos, sin = np.cos(ellipse.angle), np.sin(ellipse.angle)
        u, v = (dx * cos + dy * sin) / ellipse.a, (dy * cos - dx * sin) / ellipse.b
        return np.sqrt(u * u + v * v).astype(np.float32) * iris.radius

    from_pupil = (distance(pupil) - 1.0) * (pupil.radius / iris.radius)
    to_limbus = 1.0 - distance(iris)
    return from_pupil / np.maximum(from_pupil + to_limbus, 0.05)


def _model(crop: np.ndarray, depth: np.ndarray) -> _IrisModel:
    """Estimate iris brightness by depth from the regions eyelids rarely cover: sides and below."""
    safe = (depth > 0.04) & (depth < 0.94) & (_Y > -0.35) & (_Y < 0.6)
    values, at, side = crop[safe].astype(np.float32), depth[safe], _X[safe]
    if len(values) < 50:
        return _IrisModel(np.full(crop.shape, float(np.median(crop)), np.float32), 255.0)
    ring = np.minimum((at * _RINGS).astype(int), _RINGS - 1)
    overall = float(np.median(values))
    by_ring = np.array(
        [np.median(values[ring == r]) if (ring == r).sum() > 20 else overall for r in range(_RINGS)]
    )
    centres = (np.arange(_RINGS) + 0.5) / _RINGS
    residual = values - np.interp(at, centres, by_ring)
    # The light often comes from one side.
    left, right = residual[side < -0.3], residual[side > 0.3]
    tilt = 0.0
    if len(left) > 50 and len(right) > 50:
        tilt = float(np.median(right) - np.median(left)) / 1.3
    residual -= tilt * side
    spread = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
    expected = np.interp(depth, centres, by_ring) + tilt * _X
    return _IrisModel(expected.astype(np.float32), max(spread, _MIN_SPREAD))


def _above_lid(excess: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Mask the iris above the best-scoring upper eyelid; all False if no eyelid scores above 0.

    A candidate parabola scores the sum of `excess` over the iris pixels above it, so the best
    one has pixels unlike the iris above it and iris-like pixels below.
    """
    # Iris-like pixels vote negatively, all others positively.
    votes = np.where(inner, np.clip(excess, -1.0, 1.0), 0.0)[:, _COLUMNS]
    above = np.cumsum(votes, axis=0, dtype=np.float32)
    columns = np.arange(len(_COLUMNS))
    score = above[_LIDS, columns].sum(axis=1)
    if score.max() <= 0.0:
        return np.zeros(excess.shape, bool)
    height, slope, curve = _LID_PARAMETERS[score.argmax()]
    return height + slope * _X + curve * _X * _X > _Y


def _lashes(crop: np.ndarray, model: _IrisModel, lids: np.ndarray) -> np.ndarray:
    """Mask thin dark strokes connected to an eyelid; dark crypts elsewhere are kept."""
    closed = cv2.morphologyEx(crop, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    thin = closed.astype(np.float32) - crop > 1.5 * model.spread + 4.0
    dark = crop < model.expected - 1.8 * model.spread
    strokes = (thin & dark) | lids
    _, labels = cv2.connectedComponents(strokes.astype(np.uint8), connectivity=8)
    rooted = np.zeros(labels.max() + 1, bool)
    rooted[labels[lids]] = True
    rooted[0] = False
    return rooted[labels]


def _highlights(crop: np.ndarray, model: _IrisModel) -> np.ndarray:
    """Mask specular highlights: small spots much brighter than the iris."""
    opened = cv2.morphologyEx(crop, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    spot = crop.astype(np.float32) - opened > 4.0 * model.spread + 10.0
    # Even the brightest iris texture is darker than skin and sclera.
    bright = (crop > model.expected + 4.0 * model.spread) & spot & (crop > 0.7 * crop.max())
    bright |= crop >= 250
    return cv2.dilate(bright.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
