"""Renders iris and pupil from their outlines."""

import math

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.synthetic.capture import Capture
from iris_tf.synthetic.iris_texture import TEXTURE_SHAPE, IrisTexture

_STEPS = 5  # fixed-point iterations in `ring_coordinates`, for an error under 1e-3


def outline_matrix(ellipse: Ellipse) -> np.ndarray:
    """Matrix M (2, 2) with ``centre + M @ (cos t, sin t)`` equal to `Ellipse.points` at t."""
    cos, sin = math.cos(ellipse.angle), math.sin(ellipse.angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    return turn @ np.diag([ellipse.a, ellipse.b]) @ turn.T


def outline_distance(ellipse: Ellipse, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Approximate signed distance to an outline in pixels: negative inside, exact on the outline.

    Parameters
    ----------
    ellipse : Ellipse
    x, y : ndarray
        Pixel coordinates that broadcast to one shape.

    Returns
    -------
    ndarray, float32
    """
    inverse = np.linalg.inv(outline_matrix(ellipse)).astype(np.float32)
    dx, dy = x - np.float32(ellipse.x), y - np.float32(ellipse.y)
    s = cv2.magnitude(
        inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy
    )
    return (s - 1.0) * np.float32(ellipse.radius)


def ring_coordinates(
    pupil: Ellipse, iris: Ellipse, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rubber-sheet coordinates of pixels: the inverse of interpolating between the outlines.

    The rubber sheet maps (depth, t) to ``(1 - depth) * pupil(t) + depth * iris(t)``,
    with t the angle of `Ellipse.points`.

    Parameters
    ----------
    pupil, iris : Ellipse
    x, y : ndarray of shape (n, m), float32
        Pixel coordinates.

    Returns
    -------
    depth : ndarray of shape (n, m), float32
        0 at the pupil boundary, 1 at the limbus; below 0 or above 1 outside the ring.
    angle : ndarray of shape (n, m), float32
        t in radians, 0..2*pi.
    """
    inner, outer = (outline_matrix(e).astype(np.float32) for e in (pupil, iris))
    growth = outer - inner
    width = np.float32(iris.radius - pupil.radius)
    depth = outline_distance(pupil, x, y) / width
    for _ in range(_STEPS):
        cx = np.float32(pupil.x) + np.float32(iris.x - pupil.x) * depth
        cy = np.float32(pupil.y) + np.float32(iris.y - pupil.y) * depth
        m00, m11 = inner[0, 0] + growth[0, 0] * depth, inner[1, 1] + growth[1, 1] * depth
        m01 = inner[0, 1] + growth[0, 1] * depth  # the matrices are symmetric
        determinant = m00 * m11 - m01 * m01
        dx, dy = x - cx, y - cy
        u = (m11 * dx - m01 * dy) / determinant
        v = (m00 * dy - m01 * dx) / determinant
        s = cv2.magnitude(u, v)
        radius = np.float32(pupil.radius) + width * depth
        # Deep inside the pupil the mapping folds over; nothing is rendered there.
        depth = np.clip(depth + (s - 1.0) * radius / width, -0.3, 1.6)
    return depth, cv2.phase(u, v)


def _stretched(depth: np.ndarray, ratio: float) -> np.ndarray:
    """Texture row (0..1) at a depth of the ring; deformation is not linear in dilation.

    The sphincter surrounds the pupil, so constriction stretches the inner zone more than the
    outer zone, and dilation compresses it more.
    """
    bend = np.float32(0.9 * (ratio - 0.42))
    return depth + bend * depth * (1.0 - depth)


def _scaled_texture(texture: IrisTexture, ring: float, circumference: float) -> np.ndarray:
    """Pattern downscaled to the size of the ring in pixels, to avoid aliasing."""
    rows = int(np.clip(round(ring), 12, TEXTURE_SHAPE[0]))
    columns = int(np.clip(round(circumference), 96, TEXTURE_SHAPE[1]))
    if (rows, columns) == TEXTURE_SHAPE:
        return texture.pattern
    return cv2.resize(texture.pattern, (columns, rows), interpolation=cv2.INTER_AREA)


def _sample(texture: np.ndarray, row: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Sample the texture at rows 0..1 and angles in radians: cubic, periodic in the angle."""
    rows, columns = texture.shape
    margin = 4
    padded = cv2.copyMakeBorder(texture, 0, 0, margin, margin, cv2.BORDER_WRAP)
    # Column k is centred on the angle (k + 0.5) * 2 * pi / columns.
    turn = np.mod(angle, np.float32(2 * np.pi)) * np.float32(columns / (2 * np.pi))
    map_x = turn + np.float32(margin - 0.5)
    map_y = row * np.float32(rows) - np.float32(0.5)
    return cv2.remap(padded, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def draw_iris(
    canvas: np.ndarray, texture: IrisTexture, pupil: Ellipse, iris: Ellipse, capture: Capture
) -> None:
    """Render iris and pupil over the sclera in `canvas`.

    Parameters
    ----------
    canvas : ndarray of shape (height, width), float32
        Reflectance; changed in place.
    texture : IrisTexture
    pupil, iris : Ellipse
        Outlines; the limbus is a soft edge centred on its outline.
    capture : Capture
    """
    height, width = canvas.shape
    limbus = capture.limbus_width * capture.iris_radius + 1.0  # half width of the soft edge
    reach = capture.iris_radius + limbus + 2
    left, right = max(int(iris.x - reach), 0), min(int(iris.x + reach) + 2, width)
    top, bottom = max(int(iris.y - reach), 0), min(int(iris.y + reach) + 2, height)
    view = canvas[top:bottom, left:right]

    # The mapping is smooth: it is solved at every second pixel and interpolated.
    shape = ((bottom - top + 1) // 2, (right - left + 1) // 2)
    coarse_x = np.broadcast_to(left + 0.5 + 2 * np.arange(shape[1], dtype=np.float32), shape)
    coarse_y = np.broadcast_to(
        (top + 0.5 + 2 * np.arange(shape[0], dtype=np.float32))[:, None], shape
    )
    depth, angle = ring_coordinates(pupil, iris, coarse_x, coarse_y)
    cos, sin = np.cos(angle), np.sin(angle)
    depth, cos, sin = (
        cv2.resize(part, (2 * shape[1], 2 * shape[0]), interpolation=cv2.INTER_LINEAR)[
            : bottom - top, : right - left
        ]
        for part in (depth, cos, sin)
    )
    angle = cv2.phase(cos, sin) - np.float32(capture.texture_angle)

    ring = iris.radius - pupil.radius
    pattern = _sample(
        _scaled_texture(texture, ring, 2 * np.pi * 0.8 * iris.radius),
        _stretched(np.clip(depth, 0.0, 1.0), capture.pupil_ratio),
        angle,
    )
    # The outer iris darkens towards the limbus, the innermost at the sphincter rim.
    edge = np.clip((depth - 0.72) / 0.28, 0.0, 1.0)
    shade = 1.0 - 0.22 * edge * edge * (3.0 - 2.0 * edge)
    level = np.float32(texture.level * capture.iris_gain)
    tissue = level * (1.0 + np.float32(capture.texture_gain) * pattern) * shade

    x = np.arange(left, right, dtype=np.float32)[None, :]
    y = np.arange(top, bottom, dtype=np.float32)[:, None]
    step = np.clip(0.5 - outline_distance(iris, x, y) / np.float32(2 * limbus), 0.0, 1.0)
    step = step * step * (3.0 - 2.0 * step)
    view += step * (tissue - view)
    step = np.clip(0.5 - outline_distance(pupil, x, y) / np.float32(2.0), 0.0, 1.0)
    view += step * (np.float32(capture.pupil_level) - view)


def draw_lens_edge(canvas: np.ndarray, iris: Ellipse, capture: Capture, level: float) -> None:
    """Render the edge of a soft contact lens over sclera and iris.

    Parameters
    ----------
    canvas : ndarray of shape (height, width), float32
        Reflectance; changed in place.
    iris : Ellipse
    capture : Capture
    level : float
        Contrast of the edge, negative for a dark one.
    """
    height, width = canvas.shape
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    radius = capture.lens_edge * capture.iris_radius
    edge = Ellipse(iris.x, iris.y, radius, radius)
    distance = outline_distance(edge, x, y) / np.float32(0.02 * capture.iris_radius + 0.7)
    canvas *= 1.0 + np.float32(level) * np.exp(-0.5 * np.square(np.clip(distance, -9.0, 9.0)))
