"""Optics and exposure: reflections, glasses, blur, sensor noise."""

import math

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.synthetic.capture import IMAGE_SHAPE, Capture
from iris_tf.synthetic.lids import Lids

_WHITE = 250.0  # grey level of reflectance 1 at gain 1
_SHARPENING_SIGMA = 1.3  # of the unsharp mask in the camera, in pixels


def _led_places(rng: np.random.Generator, pattern: str) -> np.ndarray:
    """Positions of the LED reflections relative to the pattern centre, in iris radii (n, 2)."""
    if pattern == "pair":
        return np.array([[-0.13, 0.0], [0.13, 0.0]])
    if pattern == "eight":
        columns = np.linspace(-0.21, 0.21, 4)
        # Two rows, curved towards a ring.
        bow = 0.035 * np.array([-1.0, 1.0, 1.0, -1.0])
        upper = np.stack([columns, -0.12 - bow], axis=1)
        return np.concatenate([upper, upper * (1.0, -1.0)])
    if pattern == "ring":
        count = int(rng.integers(3, 13))
        turn = np.linspace(0.0, 2 * np.pi, count, endpoint=False) + rng.uniform(0.0, 2 * np.pi)
        return rng.uniform(0.1, 0.4) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if pattern == "bar":
        line = np.linspace(-1.0, 1.0, int(rng.integers(3, 8)))
        return rng.uniform(0.1, 0.4) * np.stack([line, np.zeros_like(line)], axis=1)
    if pattern == "grid":
        steps = np.linspace(-1.0, 1.0, int(rng.integers(2, 4)))
        return rng.uniform(0.06, 0.2) * np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    if pattern == "scatter":
        return rng.normal(0.0, 0.25, (int(rng.integers(2, 7)), 2))
    return np.zeros((1, 2))


def _disc(canvas: np.ndarray, x: float, y: float, a: float, b: float, angle: float) -> None:
    """Fill an antialiased ellipse with 255."""
    t = np.linspace(0.0, 2 * np.pi, 24, endpoint=False)
    outline = Ellipse(x, y, a, b, angle).points(t)
    cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)


def draw_highlights(rng: np.random.Generator, capture: Capture, iris: Ellipse) -> np.ndarray:
    """Render the corneal reflections of the LEDs.

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, uint8
        Coverage, 0..255.
    """
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    scale = 2.0 if capture.led_pattern == "large" else 1.0
    if capture.led_pattern == "eight":
        scale = 0.75
    size = max(capture.led_size * scale * capture.iris_radius, 1.2)
    places = _led_places(rng, capture.led_pattern) + np.array([capture.led_x, capture.led_y])
    for place in places @ capture.rotation.T:
        x, y = place * capture.iris_radius + (iris.x, iris.y)
        a, b = size * rng.uniform(0.75, 1.25, 2)
        _disc(canvas, x, y, a, b, rng.uniform(0, math.pi))
    return canvas


def draw_glints(rng: np.random.Generator, capture: Capture, lids: Lids, canvas: np.ndarray) -> None:
    """Add specular glints of wet eyelid margins and oily skin to `canvas` (uint8 coverage)."""
    if rng.random() < 0.6:
        # The tear film along the lower eyelid reflects the LEDs again, stretched horizontally.
        count = int(rng.integers(1, 4))
        u = rng.normal(capture.led_x, 0.10, count)
        v = lids.lower(u) + rng.uniform(-0.05, 0.03)
        _draw_wide_glints(rng, capture, canvas, np.stack([u, v], axis=1), (0.02, 0.07), 0.02)
    if capture.upper_margin and rng.random() < 0.6:
        count = int(rng.integers(1, 5))
        u = rng.normal(capture.led_x, 0.15, count)
        depth = rng.uniform(-0.2, 1.0, count)
        v = lids.upper(u) + depth * (lids.upper_rim(u) - lids.upper(u))
        _draw_wide_glints(rng, capture, canvas, np.stack([u, v], axis=1), (0.015, 0.07), 0.03)
    if rng.random() < 0.35:
        count = int(rng.integers(30, 200))
        u = rng.normal(rng.normal(0.0, 1.0), 0.5, count)
        v = lids.upper(u) - rng.gamma(2.0, 0.16, count) - 0.12
        x, y = np.round(capture.to_image(np.stack([u, v], axis=1))).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < canvas.shape[1]) & (y < canvas.shape[0])
        canvas[y[inside], x[inside]] = rng.integers(40, 200, count)[inside]


def _draw_wide_glints(
    rng: np.random.Generator,
    capture: Capture,
    canvas: np.ndarray,
    places: np.ndarray,
    lengths: tuple[float, float],
    thickest: float,
) -> None:
    """Add elongated glints at `places` (n, 2); sizes in iris radii."""
    radius = capture.iris_radius
    for x, y in capture.to_image(places):
        a, b = radius * rng.uniform(*lengths), radius * rng.uniform(0.008, thickest)
        _disc(canvas, x, y, max(a, 1.0), max(b, 0.7), capture.roll)


def draw_glare(rng: np.random.Generator, capture: Capture) -> np.ndarray:
    """Render reflections of the light source in the lenses of glasses.

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, uint8
        Coverage, 0..255, with a soft halo.
    """
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    radius = capture.iris_radius
    strength = rng.uniform(0.55, 1.0)
    for _ in range(capture.glare_spots):
        # Most reflections miss the iris, because operators reposition the camera until they do.
        x = capture.socket_x + radius * rng.normal(0.0, 1.5)
        y = capture.socket_y + radius * rng.normal(0.0, 1.0)
        size = radius * rng.uniform(0.05, 0.09 if capture.led_pattern == "eight" else 0.22)
        for place in _led_places(rng, capture.led_pattern) @ capture.rotation.T:
            centre = place * radius * 1.6
            a, b = size * rng.uniform(0.5, 1.4, 2)
            _disc(canvas, x + centre[0], y + centre[1], a, b, rng.uniform(0, math.pi))
    if not capture.glare_spots:
        return canvas
    core = cv2.GaussianBlur(canvas, (0, 0), 0.02 * radius + 0.5)
    # The halo is smooth, so a quarter of the resolution suffices.
    height, width = IMAGE_SHAPE
    small = cv2.resize(canvas, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    halo = cv2.GaussianBlur(small, (0, 0), 0.03 * radius)
    halo = cv2.resize(halo, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.addWeighted(core, strength, halo, 0.3, 0.0)


def draw_frame(rng: np.random.Generator, capture: Capture) -> np.ndarray:
    """Render the frame of the glasses, out of focus.

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, uint8
        Coverage, 0..255.
    """
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    half_width, half_height = rng.uniform(3.4, 5.0), rng.uniform(2.6, 4.2)
    t = np.linspace(0.0, 2 * np.pi, 60, endpoint=False)
    # A superellipse, between ellipse and rectangle.
    power = rng.uniform(0.5, 0.9)
    x = half_width * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
    y = half_height * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
    outline = np.stack([x, y], axis=1) + rng.normal(0.0, 0.25, 2)
    points = capture.to_fixed(outline)
    thickness = max(int(capture.iris_radius * rng.uniform(0.08, 0.5)), 2)
    cv2.polylines(canvas, [points], True, 255, thickness, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), 0.03 * capture.iris_radius + 0.5)


def light_field(capture: Capture) -> np.ndarray:
    """Uneven illumination with vignetting: factors (height, width), float32."""
    height, width = IMAGE_SHAPE
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    y = np.linspace(-1.0, 1.0, height, dtype=np.float32)[:, None]
    across = np.float32(1.0) + np.float32(capture.light_x) * x - np.float32(capture.falloff) * x * x
    down = np.float32(capture.light_y) * y - np.float32(0.7 * capture.falloff) * y * y
    return across + down


def expose(rng: np.random.Generator, capture: Capture, light: np.ndarray) -> np.ndarray:
    """Apply defocus, motion blur, sensor response and noise.

    Parameters
    ----------
    rng : numpy.random.Generator
        For the sensor noise.
    capture : Capture
    light : ndarray of shape (height, width), float32
        1 is white skin; above about 1.25 the sensor saturates. Overwritten.

    Returns
    -------
    ndarray of shape (height, width), uint8
    """
    light = cv2.GaussianBlur(light, (0, 0), capture.defocus)
    if capture.motion:
        light = cv2.filter2D(light, -1, _motion_kernel(capture.motion, capture.motion_angle))
    if capture.sharpening:
        soft = cv2.GaussianBlur(light, (0, 0), _SHARPENING_SIGMA)
        light = cv2.addWeighted(light, 1.0 + capture.sharpening, soft, -capture.sharpening, 0.0)
    np.maximum(light, 0.0, out=light)
    if capture.gamma != 1.0:
        light = cv2.pow(light, capture.gamma)
    light = np.asarray(light, np.float32)
    light *= np.float32(_WHITE * capture.gain)
    # Shot noise grows with the signal; read noise is constant.
    spread = np.asarray(cv2.sqrt(light * np.float32(0.7 / 120.0) + np.float32(0.3)), np.float32)
    spread *= np.float32(capture.noise)
    light += spread * rng.standard_normal(light.shape, np.float32)
    return cv2.convertScaleAbs(np.maximum(light, 0.0, out=light))


def _motion_kernel(length: float, angle: float) -> np.ndarray:
    """Antialiased line of unit sum: (n, n), float32."""
    reach = int(length / 2) + 2
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    half = np.array([math.cos(angle), math.sin(angle)]) * length / 2
    ends = [tuple(int(v) for v in np.round((reach + sign * half) * 16)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 255, 1, cv2.LINE_AA, 4)
    return kernel.astype(np.float32) / kernel.sum()
