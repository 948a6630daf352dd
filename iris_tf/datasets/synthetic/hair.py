"""Lashes and brow: tapered, curved strokes."""

import cv2
import numpy as np

from iris_tf.datasets.synthetic.capture import IMAGE_SHAPE, Capture
from iris_tf.datasets.synthetic.identity import EyeIdentity
from iris_tf.datasets.synthetic.lids import Lids

_POINTS = 7  # along one hair
_FRACTION_BITS = 4


def _strokes(canvas: np.ndarray, spines: np.ndarray, widths: np.ndarray) -> None:
    """Fill hairs that taper to a point.

    Parameters
    ----------
    canvas : ndarray of shape (height, width), uint8
        Coverage, 0..255; changed in place.
    spines : ndarray of shape (n, `_POINTS`, 2)
        Pixels from root to tip.
    widths : ndarray of shape (n,)
        Width at the root in pixels.
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
        cv2.fillPoly(canvas, [polygon], 255, lineType=cv2.LINE_AA, shift=_FRACTION_BITS)


def _curved(roots: np.ndarray, start: np.ndarray, bend: np.ndarray, length: np.ndarray):
    """Spines (n, `_POINTS`, 2) that leave `roots` at angle `start` and turn by `bend`."""
    along = np.linspace(0.0, 1.0, _POINTS)[None, :]
    angle = start[:, None] + bend[:, None] * along
    step = length[:, None] / (_POINTS - 1)
    x = np.cumsum(np.cos(angle) * step, axis=1)
    y = np.cumsum(np.sin(angle) * step, axis=1)
    path = np.stack([x - x[:, :1], y - y[:, :1]], axis=2)
    return roots[:, None, :] + path


def _to_pixels(capture: Capture, spines: np.ndarray) -> np.ndarray:
    return capture.to_image(spines.reshape(-1, 2)).reshape(spines.shape)


def draw_lashes(
    rng: np.random.Generator, identity: EyeIdentity, capture: Capture, lids: Lids
) -> np.ndarray:
    """Draw upper and lower lashes.

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

    count = int(rng.normal(95, 12) * face.lashes)
    place = np.sort(rng.uniform(-0.97, 0.97, count))
    u = middle + half * place
    roots = np.stack([u, lids.upper(u) + rng.normal(-0.02, 0.025, count)], axis=1)
    # Lashes stick together in tufts: neighbours lean alike.
    tuft = rng.normal(0.0, 0.22, count // 4 + 2)[np.arange(count) // 4]
    fan = place * 0.75 + tuft + rng.normal(0.0, 0.10, count)
    # 0 hangs down over the eye, 1 starts outwards and turns up over the lid.
    curl = np.clip(face.lash_curl + rng.normal(0.0, 0.12, count), 0.0, 1.0)
    side = np.where(fan >= 0, 1.0, -1.0)
    start = np.pi / 2 - fan
    turn = -side * (0.4 + 2.3 * curl)
    length = face.lash_length * rng.uniform(0.45, 1.1, count) * (1.0 - 0.35 * np.abs(place))
    # Seen from the front, a lash that points at the camera is short.
    length = length * (0.45 + 0.55 * np.abs(curl - 0.35) / 0.65)
    widths = np.maximum(0.030 * capture.iris_radius * rng.uniform(0.6, 1.2, count), 1.1)
    _strokes(canvas, _to_pixels(capture, _curved(roots, start, turn, length)), widths)

    count = int(rng.normal(46, 8) * face.lashes)
    place = rng.uniform(-0.75, 0.95, count) * (1.0 if identity.eye == "L" else -1.0)
    u = middle + half * place
    roots = np.stack([u, lids.lower(u) + rng.uniform(0.06, 0.14, count)], axis=1)
    fan = place * 0.8 + rng.normal(0.0, 0.25, count)
    start = np.pi / 2 - fan
    length = 0.55 * face.lash_length * rng.uniform(0.4, 1.0, count)
    turn = np.where(fan >= 0, -1.0, 1.0) * rng.uniform(0.0, 1.2, count)
    widths = np.maximum(0.018 * capture.iris_radius * rng.uniform(0.6, 1.2, count), 0.8)
    _strokes(canvas, _to_pixels(capture, _curved(roots, start, turn, length)), widths)
    return canvas


def draw_brow(
    rng: np.random.Generator, identity: EyeIdentity, capture: Capture
) -> np.ndarray | None:
    """Draw the brow, or return None when it lies above the frame.

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
    roots = np.stack([place, np.interp(place, u, ridge) + rng.normal(0.0, 0.5, count) * thickness],
                     axis=1)
    start = np.where(outwards > 0, -0.5, np.pi + 0.5) + rng.normal(0.0, 0.3, count)
    start = start + outwards * rng.normal(0.25, 0.2, count)
    spines = _curved(roots, start, outwards * rng.uniform(0.0, 0.8, count),
                     rng.uniform(0.3, 0.75, count))
    widths = np.maximum(0.028 * capture.iris_radius * rng.uniform(0.6, 1.2, count), 1.0)
    _strokes(canvas, _to_pixels(capture, spines), widths)
    return canvas
