"""Eyelashes and brow, rendered as tapered, curved strokes."""

import cv2
import numpy as np

from iris_tf.synthetic.capture import IMAGE_SHAPE, Capture
from iris_tf.synthetic.lids import Lids
from iris_tf.synthetic.synthetic_identity import EyeIdentity

_POINTS = 7  # per hair
_FRACTION_BITS = 4


def _strokes(
    canvas: np.ndarray, spines: np.ndarray, widths: np.ndarray, coverage: int = 255
) -> None:
    """Render hairs that taper to a point.

    Parameters
    ----------
    canvas : ndarray of shape (height, width), uint8
        Coverage, 0..255; changed in place.
    spines : ndarray of shape (n, `_POINTS`, 2)
        Pixels from root to tip.
    widths : ndarray of shape (n,)
        Width at the root in pixels.
    coverage : int, optional
        1..255; lower for translucent hair.
    """
    direction = np.gradient(spines, axis=1)
    direction /= np.maximum(np.linalg.norm(direction, axis=2, keepdims=True), 1e-6)
    normal = np.stack([-direction[..., 1], direction[..., 0]], axis=2)
    taper = np.linspace(1.0, 0.15, _POINTS)[None, :, None] * widths[:, None, None] / 2
    outline = np.concatenate([spines + normal * taper, (spines - normal * taper)[:, ::-1]], axis=1)
    fixed = np.round(outline * (1 << _FRACTION_BITS)).astype(np.int32)
    height, width = canvas.shape
    low, high = spines.min(axis=1), spines.max(axis=1)
    seen = (high > -2).all(axis=1) & (low < (width + 2, height + 2)).all(axis=1)
    for polygon in fixed[seen]:
        cv2.fillPoly(canvas, [polygon], coverage, lineType=cv2.LINE_AA, shift=_FRACTION_BITS)


def _grown(roots: np.ndarray, dx: np.ndarray, dy: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Spines (n, `_POINTS`, 2) from `roots` along directions `dx`, `dy` (n, `_POINTS`)."""
    step = length[:, None] / (_POINTS - 1)
    x, y = np.cumsum(dx * step, axis=1), np.cumsum(dy * step, axis=1)
    path = np.stack([x - x[:, :1], y - y[:, :1]], axis=2)
    return roots[:, None, :] + path


def _lash_spines(
    roots: np.ndarray, fan: np.ndarray, rise: tuple[np.ndarray, np.ndarray], length: np.ndarray
) -> np.ndarray:
    """Spines of eyelashes: arcs in space, projected to the frontal plane.

    Parameters
    ----------
    roots : ndarray of shape (n, 2)
    fan : ndarray of shape (n,)
        Sideways direction in radians; 0 points at the camera.
    rise : tuple of ndarray of shape (n,)
        Elevation above the horizontal at root and tip, in radians.
    length : ndarray of shape (n,)
        Length before foreshortening.

    Returns
    -------
    ndarray of shape (n, `_POINTS`, 2)
    """
    along = np.linspace(0.0, 1.0, _POINTS)[None, :]
    up = rise[0][:, None] + (rise[1] - rise[0])[:, None] * along
    return _grown(roots, np.cos(up) * np.sin(fan)[:, None], -np.sin(up), length)


def _to_pixels(capture: Capture, spines: np.ndarray) -> np.ndarray:
    return capture.to_image(spines.reshape(-1, 2)).reshape(spines.shape)


def draw_lashes(
    rng: np.random.Generator, identity: EyeIdentity, capture: Capture, lids: Lids
) -> np.ndarray:
    """Render upper and lower eyelashes.

    Parameters
    ----------
    rng : numpy.random.Generator
    identity : EyeIdentity
    capture : Capture
    lids : Lids

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, uint8
        Coverage, 0..255.
    """
    face = identity.face
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    left, right = lids.corners
    middle, half = (left + right) / 2, (right - left) / 2

    # Roots and their shadows merge into a dark line along the eyelid edge.
    u = np.linspace(left + 0.12 * half, right - 0.06 * half, 40)
    line = capture.to_fixed(np.stack([u, lids.upper_rim(u) - 0.02], axis=1))
    # Where the eyelid margin is visible, individual roots are too, with skin between them.
    merged = int(rng.uniform(0.0, 180.0)) if lids.upper_margin else 150
    cv2.polylines(
        canvas,
        [line],
        False,
        merged,
        max(int(capture.iris_radius * rng.uniform(0.02, 0.07) * face.lashes), 1),
        cv2.LINE_AA,
        _FRACTION_BITS,
    )

    count = int(rng.normal(125, 15) * face.lashes)
    place = np.sort(rng.uniform(-0.96, 0.98, count)) * (1.0 if identity.eye == "L" else -1.0)
    u = middle + half * place
    roots = np.stack([u, lids.upper_rim(u) + rng.normal(-0.03, 0.03, count)], axis=1)
    # Eyelashes form tufts: neighbours lean the same way,
    tuft = np.arange(count) // 4
    fan = 0.95 * place + rng.normal(0.0, 0.20, count // 4 + 1)[tuft] + rng.normal(0, 0.12, count)
    # and their tips converge.
    fan -= 1.2 * (u - np.bincount(tuft, u)[tuft] / np.bincount(tuft)[tuft])
    curl = face.lash_curl + rng.normal(0.0, 0.10, count // 4 + 1)[tuft]
    curl = np.clip(curl + rng.normal(0.0, 0.08, count), 0.0, 1.0)
    rise = np.radians(-62.0 + 40.0 * curl), np.radians(-45.0 + 135.0 * curl)
    length = face.lash_length * rng.uniform(0.5, 1.1, count) * (1.0 - 0.3 * np.square(place))
    thickness = 0.030 * capture.lash_width * capture.iris_radius
    widths = np.maximum(thickness * rng.uniform(0.6, 1.3, count), 1.1)
    _strokes(canvas, _to_pixels(capture, _lash_spines(roots, fan, rise, length)), widths)

    count = int(rng.normal(42, 8) * face.lashes)
    place = rng.uniform(-0.65, 0.95, count) * (1.0 if identity.eye == "L" else -1.0)
    u = middle + half * place
    roots = np.stack([u, lids.lower_rim(u) + rng.uniform(0.09, 0.22, count)], axis=1)
    tuft = rng.integers(0, count // 3 + 1, count)
    fan = 1.4 * place + rng.normal(0.0, 0.35, count // 3 + 1)[tuft] + rng.normal(0, 0.15, count)
    rise = np.radians(rng.normal(-72, 10, count)), np.radians(rng.normal(5, 22, count))
    length = 0.85 * face.lash_length * rng.uniform(0.5, 1.1, count)
    thickness = 0.0125 * capture.lash_width * capture.iris_radius
    widths = np.maximum(thickness * rng.uniform(0.6, 1.2, count), 0.7)
    below = np.zeros(IMAGE_SHAPE, np.uint8)
    _strokes(below, _to_pixels(capture, _lash_spines(roots, fan, rise, length)), widths, 215)
    np.maximum(canvas, below, out=canvas)
    if capture.eyeliner:
        u = np.linspace(left, right, 40)
        line = capture.to_fixed(np.stack([u, lids.upper_rim(u)], axis=1))
        cv2.polylines(
            canvas,
            [line],
            False,
            230,
            max(int(capture.eyeliner * capture.iris_radius), 1),
            cv2.LINE_AA,
            _FRACTION_BITS,
        )
    return canvas


def draw_strands(rng: np.random.Generator, capture: Capture) -> np.ndarray:
    """Render scalp hairs across the eye, from one side of the image to another.

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, uint8
        Coverage, 0..255.
    """
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    height, width = IMAGE_SHAPE
    along = np.linspace(-0.1, 1.1, 20)
    direction = rng.uniform(-0.6, 0.6)
    for _ in range(capture.strands):
        place = rng.uniform(-0.2, 1.2) * width
        bend = rng.normal(0.0, 0.15 * width)
        x = place + (direction + rng.normal(0.0, 0.1)) * along * height + bend * along * along
        points = np.stack([x, along * height], axis=1)
        thickness = max(int(capture.iris_radius * rng.uniform(0.008, 0.03)), 1)
        cv2.polylines(
            canvas,
            [np.round(points * 16).astype(np.int32)],
            False,
            230,
            thickness,
            cv2.LINE_AA,
            _FRACTION_BITS,
        )
    return canvas


def draw_brow(
    rng: np.random.Generator, identity: EyeIdentity, capture: Capture
) -> np.ndarray | None:
    """Render the brow; return None if it lies above the image.

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, uint8, or None
        Coverage, 0..255.
    """
    face = identity.face
    u = np.linspace(-3.6, 3.6, 25)
    outwards = 1.0 if identity.eye == "L" else -1.0
    ridge = -face.brow + 0.05 * np.square(u - outwards * 0.8) - 0.10 * outwards * u
    line = capture.to_image(np.stack([u, ridge + 0.5], axis=1))
    if line[:, 1].max() < 0:
        return None
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    count = 420
    place = rng.uniform(-3.3, 3.3, count)
    thickness = 0.42 * np.clip(1.15 - np.abs(place) / 3.6, 0.15, 1.0)
    height = np.interp(place, u, ridge) + rng.normal(0.0, 0.5, count) * thickness
    angle = (
        rng.normal(-0.35, 0.35, count)[:, None]
        + rng.uniform(0.0, 0.8, count)[:, None] * (np.linspace(0.0, 1.0, _POINTS)[None, :])
    )
    spines = _grown(
        np.stack([place, height], axis=1),
        outwards * np.cos(angle),
        np.sin(angle),
        rng.uniform(0.3, 0.75, count),
    )
    widths = np.maximum(0.024 * capture.iris_radius * rng.uniform(0.6, 1.2, count), 0.9)
    _strokes(canvas, _to_pixels(capture, spines), widths)
    return cv2.GaussianBlur(canvas, (0, 0), 0.02 * capture.iris_radius + 0.3)
