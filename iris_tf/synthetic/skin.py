"""Eyeball and skin around the iris: soft shading, folds, corners, pores."""

import functools

import cv2
import numpy as np

from iris_tf.synthetic.capture import IMAGE_SHAPE, Capture
from iris_tf.synthetic.lids import Lids
from iris_tf.synthetic.synthetic_identity import EyeIdentity

_COARSE = 4  # smooth shading is rendered at a quarter of the resolution
_GRAIN = 1024


@functools.cache
def _grain() -> np.ndarray:
    """Periodic skin grain with zero mean and unit variance: (1024, 1024) float32."""
    rng = np.random.default_rng(20_11)
    total = np.zeros((_GRAIN, _GRAIN), np.float32)
    for sigma, amplitude in ((0.8, 0.8), (1.6, 1.0), (3.5, 0.35)):
        white = rng.standard_normal((_GRAIN, _GRAIN), np.float32)
        margin = int(4 * sigma)
        wrapped = cv2.copyMakeBorder(white, *(margin,) * 4, cv2.BORDER_WRAP)
        smooth = cv2.GaussianBlur(wrapped, (0, 0), sigma)[margin:-margin, margin:-margin]
        total += np.float32(amplitude) * smooth / smooth.std()
    return total / total.std()


def grain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Crop skin grain of unit variance at random from a fixed field: `shape`, float32."""
    top = int(rng.integers(_GRAIN - shape[0] + 1))
    left = int(rng.integers(_GRAIN - shape[1] + 1))
    return _grain()[top : top + shape[0], left : left + shape[1]]


def _bump(x: np.ndarray, width: float) -> np.ndarray:
    """Gaussian bump of height 1 and standard deviation `width`."""
    return np.exp(-0.5 * np.square(x / np.float32(width)))


def socket_grid(capture: Capture, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Socket coordinates u, v (iris radii) of the centres of `step` x `step` pixel blocks."""
    height, width = IMAGE_SHAPE
    offset = (step - 1) / 2
    x = (np.arange(0, width, step, dtype=np.float32) + offset - capture.socket_x)[None, :]
    y = (np.arange(0, height, step, dtype=np.float32) + offset - capture.socket_y)[:, None]
    turn = (capture.rotation / capture.iris_radius).astype(np.float32)
    return x * turn[0, 0] + y * turn[1, 0], x * turn[0, 1] + y * turn[1, 1]


def _enlarged(coarse: np.ndarray) -> np.ndarray:
    height, width = IMAGE_SHAPE
    return cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


def draw_eyeball(
    rng: np.random.Generator, identity: EyeIdentity, capture: Capture, lids: Lids
) -> tuple[np.ndarray, np.ndarray]:
    """Render the sclera with the inner corner, and the shadow of the eyelids.

    Returns
    -------
    sclera : ndarray of shape `IMAGE_SHAPE`, float32
        Reflectance of the eyeball without an iris.
    shade : ndarray of shape `IMAGE_SHAPE`, float32
        Illumination factor on eyeball and iris, lower under the upper eyelid.
    """
    face = identity.face
    u, v = socket_grid(capture, _COARSE)
    below_upper = v - lids.upper(u)
    above_lower = lids.lower(u) - v
    left, right = lids.corners
    nasal = left if identity.eye == "L" else right

    sclera = np.float32(face.sclera) * (1.04 - 0.035 * np.square(u))
    sclera += 0.06 * np.clip(v, -1.0, 1.0) + rng.uniform(-0.03, 0.03) * u
    sclera += 0.010 * cv2.GaussianBlur(grain(rng, u.shape), (0, 0), 2.0)
    # The caruncle fills the inner corner: darker, uneven, with specular glints.
    corner_v = lids.upper(np.array([nasal]))[0]
    from_nose = np.abs(u - nasal)
    caruncle = np.clip(1.2 - from_nose / 0.34, 0.0, 1.0)
    flesh = 0.56 + 0.06 * grain(rng, u.shape)
    sclera += caruncle * (flesh - sclera)
    sclera += 0.16 * _bump(from_nose - 0.36, 0.05) * _bump(v - corner_v - 0.05, 0.12)

    depth = rng.uniform(0.15, 0.4)
    shade = 1.0 - depth * np.exp(-np.clip(below_upper, 0.0, None) / rng.uniform(0.10, 0.22))
    shade *= 1.0 - 0.14 * np.exp(-np.clip(above_lower, 0.0, None) / 0.10)
    shade *= 1.0 - 0.15 * np.exp(-np.minimum(u - left, right - u).clip(0.0) / 0.35)
    return _enlarged(sclera), _enlarged(shade)


def draw_skin(
    rng: np.random.Generator, identity: EyeIdentity, capture: Capture, lids: Lids
) -> np.ndarray:
    """Render both eyelids and the surrounding skin as if the eye were closed.

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, float32
        Reflectance.
    """
    face = identity.face
    u, v = socket_grid(capture, _COARSE)
    above = lids.upper(u) - v
    below = v - lids.lower(u)
    left, right = lids.corners
    tone = np.float32(face.skin)

    # Cheek and brow ridge are bright; the hollow between brow and eyelid is dark.
    skin = tone * (1.0 + 0.06 * _bump(v - 2.6, 0.8) + 0.08 * _bump(v + 2.6, 0.6))
    hollow = u + (0.8 if identity.eye == "L" else -0.8)
    skin *= 1.0 - rng.uniform(0.05, 0.28) * _bump(v + 1.5, 0.45) * _bump(hollow, 1.3)
    skin *= 1.0 + rng.uniform(0.02, 0.10) * _bump(u, 1.3)
    # Fine lines follow the eyelids; low-frequency unevenness does not.
    white = rng.standard_normal((2, *u.shape), np.float32)
    lines = cv2.GaussianBlur(white[0], (0, 0), sigmaX=7.0, sigmaY=0.7)
    broad = cv2.GaussianBlur(white[1], (0, 0), 9.0)
    skin *= 1.0 + rng.uniform(0.01, 0.07) * lines + rng.uniform(0.2, 0.7) * broad
    # Upper eyelid: dark at the eyelash roots, bright at the bulge, hollow under the brow.
    roots = 0.40 * rng.uniform() if lids.upper_margin else 0.40
    upper = 1.0 - roots * _bump(lids.upper_rim(u) - v, 0.10) + 0.13 * _bump(above - 0.45, 0.28)
    upper -= rng.uniform(0.02, 0.16) * _bump(above - 1.4, 0.45)
    upper += 0.08 * _bump(above - 2.2, 0.5)
    if face.fold:
        across = np.clip(1.0 - np.square((u - (left + right) / 2) / (0.62 * (right - left))), 0, 1)
        crease = above - np.float32(face.fold) * (0.35 + 0.65 * across)
        upper -= rng.uniform(0.25, 0.5) * _bump(crease, 0.045) * np.sqrt(across)
        upper -= 0.12 * _bump(crease + 0.08, 0.10) * across
        upper += 0.08 * _bump(crease - 0.16, 0.10) * across
    # Lower eyelid: a wet, bright rim, then a soft bag and its hollow.
    lower = 1.0 + 0.08 * _bump(below - 0.06, 0.06) - 0.08 * _bump(below - 0.2, 0.08)
    lower += 0.07 * _bump(below - 0.6, 0.25)
    lower -= rng.uniform(0.02, 0.14) * _bump(below - rng.uniform(1.0, 1.5), 0.3)
    # Beyond the corners both eyelids blend into plain skin.
    outside = np.maximum(left - u, u - right)
    lid = np.clip(1.0 - outside / 0.7, 0.0, 1.0)
    skin *= 1.0 + lid * lid * (np.where(above > below, upper, lower) - 1.0)
    # Creases beyond both corners, and the side of the nose.
    skin *= 1.0 - 0.12 * _bump(np.minimum(np.abs(above), np.abs(below)), 0.06) * np.clip(
        1.0 - outside / 0.4, 0.0, 1.0
    ) * (outside > -0.05)
    nose = -u if identity.eye == "L" else u
    skin *= 1.0 + rng.uniform(-0.12, 0.12) * np.clip((nose - 1.8) / 1.6, 0.0, 1.0)

    full = _enlarged(skin)
    full += np.float32(0.012 * rng.uniform(0.5, 1.5)) * grain(rng, IMAGE_SHAPE)
    return full
