"""Sampling along rays, and ellipse fitting."""

import math

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse


def directions(count: int) -> np.ndarray:
    """Return `count` evenly spaced angles in radians, from +x towards +y (down)."""
    return np.arange(count) * (2.0 * np.pi / count)


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Interpolate bilinearly at points; the image border is replicated.

    Parameters
    ----------
    image : ndarray of shape (height, width), float32 or uint8
    x, y : ndarray of shape (..., n)
        Pixel coordinates.

    Returns
    -------
    ndarray of shape (..., n), dtype of `image`
    """
    shape = x.shape
    flat = (-1, shape[-1])
    values = cv2.remap(
        image,
        np.ascontiguousarray(x.reshape(flat), np.float32),
        np.ascontiguousarray(y.reshape(flat), np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return values.reshape(shape)


def inside(shape: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return which points lie inside an image of `shape` (height, width), as bool."""
    return (x >= 0) & (y >= 0) & (x <= shape[1] - 1) & (y <= shape[0] - 1)


def step_contrast(profiles: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Mean brightness just outside each radius minus the mean just inside.

    This is the blurred radial derivative of Daugman's integro-differential operator, with a
    box window per radius, in grey levels.

    Parameters
    ----------
    profiles : ndarray of shape (..., m), float32
        Brightness along rays.
    windows : ndarray of shape (m,), int
        Window length at each radius: samples on either side.

    Returns
    -------
    ndarray of shape (..., m), float32
        0 where a window exceeds the profile.
    """
    m = profiles.shape[-1]
    sums = np.zeros((*profiles.shape[:-1], m + 1), np.float32)
    np.cumsum(profiles, axis=-1, out=sums[..., 1:])
    middle = np.arange(m)
    fits = (middle >= windows) & (middle + windows <= m)
    middle, windows = middle[fits], windows[fits]
    contrast = np.take(sums, middle + windows, axis=-1)
    contrast += np.take(sums, middle - windows, axis=-1)
    contrast -= np.float32(2.0) * np.take(sums, middle, axis=-1)
    contrast /= windows.astype(np.float32)
    result = np.zeros(profiles.shape, np.float32)
    result[..., fits] = contrast
    return result


def fit_ellipse(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, ridge: float, tolerance: float = 0.02
) -> tuple[Ellipse, np.ndarray] | None:
    """Fit an ellipse robustly, regularised towards a circle.

    Solves ``u^2 + v^2 = 2 a u + 2 b v + c + p (u^2 - v^2) + 2 q u v``, in units of the
    spread of the points, by iteratively reweighted least squares (Tukey). A ridge penalty
    acts on p and q, which are 0 for a circle, because two lateral arcs alone do not
    determine an ellipse.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Points in pixels.
    weights : ndarray of shape (n,)
        Weight of each point, 0..1.
    ridge : float
        Strength of the regularisation towards a circle.
    tolerance : float
        Smallest residual scale, as a share of the radius.

    Returns
    -------
    tuple of (Ellipse, ndarray of shape (n,)) or None
        The outline, and the distance of each point from it as a fraction of the radius;
        None if no ellipse fits.
    """
    total = float(weights.sum())
    if total < 6.0:
        return None
    cx, cy = float((weights * x).sum() / total), float((weights * y).sum() / total)
    scale = math.sqrt(float((weights * ((x - cx) ** 2 + (y - cy) ** 2)).sum()) / total)
    if scale < 1.0:
        return None
    u, v = (x - cx) / scale, (y - cy) / scale
    design = np.stack([2 * u, 2 * v, np.ones_like(u), u * u - v * v, 2 * u * v], axis=1)
    target = u * u + v * v
    robust, counts = np.ones_like(u), weights > 0
    for _ in range(6):
        w = weights * robust
        normal = design.T @ (design * w[:, None])
        normal[3, 3] += ridge * total
        normal[4, 4] += ridge * total
        try:
            solution = np.linalg.solve(normal, design.T @ (w * target))
        except np.linalg.LinAlgError:
            return None
        residual = (target - design @ solution) / 2.0  # approximately the radial residual
        spread = max(1.5 * float(np.median(np.abs(residual[counts]))), tolerance)
        robust = np.maximum(1.0 - (residual / (3.0 * spread)) ** 2, 0.0) ** 2
    a, b, c, p, q = solution
    quadratic = np.array([[1 - p, -q], [-q, 1 + p]])
    determinant = 1 - p * p - q * q
    if determinant <= 0.1:
        return None
    centre = np.linalg.solve(quadratic, [a, b])
    constant = c + centre @ quadratic @ centre
    if constant <= 0:
        return None
    values, vectors = np.linalg.eigh(quadratic)
    axes = np.sqrt(constant / values) * scale
    ellipse = Ellipse(
        x=cx + float(centre[0]) * scale,
        y=cy + float(centre[1]) * scale,
        a=float(axes[0]),
        b=float(axes[1]),
        angle=float(math.atan2(vectors[1, 0], vectors[0, 0])) % math.pi,
    )
    return ellipse, np.abs(residual)
