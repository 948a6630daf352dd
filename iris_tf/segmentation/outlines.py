"""Fine localisation: the ellipses of pupil and limbus, from coarse estimates of both."""

import math
from dataclasses import dataclass

import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.polar import (
    directions,
    fit_ellipse,
    inside,
    sample,
    step_contrast,
)

_RAYS = 96
_ANGLES = directions(_RAYS)
# Eyelids cover the upper limbus of almost every eye and the lower limbus of many, so lateral
# rays have the highest weight (y points down: a positive sine is below the centre).
_LIMBUS_TRUST = np.clip(
    1.15 - np.where(np.sin(_ANGLES) < 0, 1.3, 0.75) * np.abs(np.sin(_ANGLES)) ** 1.5, 0.12, 1.0
)
_LEFT = np.cos(_ANGLES) < 0
# Drooping eyelids reach the upper edge of the pupil.
_PUPIL_TRUST = np.where(np.sin(_ANGLES) < -0.4, 0.4, 1.0)


@dataclass(frozen=True)
class Outline:
    """A fitted ellipse and its support in the image.

    Attributes
    ----------
    ellipse : Ellipse
    step : float
        Median contrast across the outline over the trusted rays, in grey levels.
    support : float
        Share of the trusted rays whose edge lies on the outline, 0..1.
    """

    ellipse: Ellipse
    step: float
    support: float


def fit_pupil(image: np.ndarray, start: Ellipse) -> Outline | None:
    """Fit the ellipse of the pupil near `start`.

    Parameters
    ----------
    image : ndarray of shape (height, width), float32
        Slightly blurred.
    start : Ellipse

    Returns
    -------
    Outline or None
    """
    return _fit(image, start, (0.35, 0.2, 0.12), _PUPIL_TRUST, ridge=0.04, window=0.12)


def fit_limbus(image: np.ndarray, start: Ellipse) -> Outline | None:
    """Fit the ellipse of the limbus near `start`; lateral rays have the highest weight."""
    return _fit(image, start, (0.14, 0.10, 0.07), _LIMBUS_TRUST, ridge=0.06, window=0.06)


def find_limbus(image: np.ndarray, pupil: Ellipse, radius: float) -> Ellipse:
    """Find the limbus as a circle that need not be concentric with the pupil.

    Parameters
    ----------
    image : ndarray of shape (height, width), float32
    pupil : Ellipse
    radius : float
        Rough radius of the iris in pixels.

    Returns
    -------
    Ellipse
        A circle.
    """
    shifts = np.linspace(-0.15, 0.15, 7) * radius
    dx, dy = (grid.ravel() for grid in np.meshgrid(shifts, shifts))
    smallest = max(0.6 * radius, 1.2 * pupil.radius)
    radii = np.linspace(smallest, 1.25 * radius, 56)
    rays = slice(None, None, 2)
    cos, sin = np.cos(_ANGLES[rays])[:, None], np.sin(_ANGLES[rays])[:, None]
    x = pupil.x + dx[:, None, None] + cos * radii
    y = pupil.y + dy[:, None, None] + sin * radii
    step = step_contrast(sample(image, x, y), np.full(len(radii), 5))
    # From a shifted centre, the pupil's own edge could be mistaken for the limbus.
    beyond_pupil = np.hypot(x - pupil.x, y - pupil.y) > 1.25 * pupil.radius
    seen = inside(image.shape, x, y) & beyond_pupil
    trust = _LIMBUS_TRUST[rays, None].astype(np.float32) * seen
    # Eyelid edges and reflections have much more contrast than the limbus; the cap keeps them
    # from outvoting it.
    cap = 1.3 * max(float(np.median(step.max(axis=2))), 3.0)
    step = np.clip(step, -cap, cap)
    left, right = (
        np.einsum("nar,nar->nr", step[:, side], trust[:, side]) / (trust[:, side].sum(axis=1) + 2.0)
        for side in (_LEFT[rays], ~_LEFT[rays])
    )
    # Both sides must agree: a strong ring inside the iris may attract one of them.
    votes = 0.5 * (left + right) / 2.0 + 0.5 * np.minimum(left, right)
    votes -= (2.0 * cap * (dx**2 + dy**2) / radius**2)[:, None]
    centre, ring = np.unravel_index(votes.argmax(), votes.shape)
    r = float(radii[ring])
    return Ellipse(pupil.x + float(dx[centre]), pupil.y + float(dy[centre]), r, r)


def _fit(
    image: np.ndarray,
    ellipse: Ellipse,
    bands: tuple[float, ...],
    trust: np.ndarray,
    ridge: float,
    window: float,
) -> Outline | None:
    """Find the strongest step on each ray near the ellipse, refit, and repeat in narrower bands.

    `bands` and `window` are fractions of the radius.
    """
    for band in bands:
        edges = _edges(image, ellipse, band, trust, window)
        weights = trust * edges.seen * np.clip(edges.step / edges.typical, 0.0, 1.0)
        fitted = fit_ellipse(edges.x, edges.y, weights, ridge)
        if fitted is None:
            return None
        ellipse, miss = fitted
    trusted = (trust > 0.5) & edges.seen
    if not trusted.any() or not math.isfinite(ellipse.radius):
        return None
    on = (miss < 0.06) & (edges.step > 0.35 * edges.typical)
    return Outline(ellipse, float(np.median(edges.step[trusted])), float(on[trusted].mean()))


@dataclass(frozen=True)
class _Edges:
    """The most likely edge on each ray: position, contrast, and whether it is in the image."""

    x: np.ndarray
    y: np.ndarray
    step: np.ndarray
    seen: np.ndarray
    typical: float  # median over rays of the strongest contrast


def _edges(
    image: np.ndarray, ellipse: Ellipse, band: float, trust: np.ndarray, window: float
) -> _Edges:
    # Samples are about a pixel apart or more; closer ones would only compare noise.
    half = max(round(min(band * ellipse.radius, 24)), 6)
    spacing = band / half
    width = max(round(window / spacing), 2)
    # The windows extend past the band, so that its ends can be chosen too.
    scale = 1.0 + np.arange(-half - width, half + width + 1) * spacing
    outline = ellipse.points(_ANGLES)
    x = ellipse.x + (outline[:, :1] - ellipse.x) * scale
    y = ellipse.y + (outline[:, 1:] - ellipse.y) * scale
    step = step_contrast(sample(image, x, y), np.full(len(scale), width))[:, width:-width]
    seen = np.all(inside(image.shape, x, y), axis=1)
    typical = max(float(np.median(step.max(axis=1)[trust > 0.5])), 1.0)
    # Of similar steps, the nearest to the ellipse wins; contrast is capped at 1.5 times typical.
    offset = np.arange(-half, half + 1) / half
    value = np.clip(step, None, 1.5 * typical) - 0.3 * typical * offset**2
    best = np.clip(value.argmax(axis=1), 1, 2 * half - 1)
    rows = np.arange(_RAYS)
    before, here, after = (step[rows, best + shift] for shift in (-1, 0, 1))
    # Sub-sample position: the vertex of a parabola through three samples.
    bend = np.minimum(before - 2.0 * here + after, -1e-3)
    at = 1.0 + (best - half + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) * spacing
    return _Edges(
        ellipse.x + (outline[:, 0] - ellipse.x) * at,
        ellipse.y + (outline[:, 1] - ellipse.y) * at,
        here,
        seen,
        typical,
    )
