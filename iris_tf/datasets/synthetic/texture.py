"""The texture that makes an iris an identity: fibres, collarette, crypts and furrows."""

from dataclasses import dataclass

import cv2
import numpy as np

TEXTURE_SHAPE = (96, 768)
"""Rows from pupil to limbus, columns around the eye from the image's +x towards +y."""

# Layers of filtered noise: radial sigma, angular sigma (both in pixels of a
# 64x512 texture) and amplitude. Their sum has nearly the power spectrum of real
# near-infrared irises, which are finer around the eye and far less drawn out
# along the radius than "radial fibres" suggests.
_LAYERS = (
    (1.6, 1.8, 1.3),
    (1.2, 2.2, 1.1),
    (1.2, 1.2, 0.9),
    (2.5, 10.0, 0.5),
)
_FIBRE_LAYERS = ((6.0, 2.0, 0.45), (2.0, 4.0, 0.4), (3.0, 2.0, 0.6))
_LAYER_SCALE = TEXTURE_SHAPE[0] / 64


@dataclass(frozen=True)
class IrisTexture:
    """What an iris looks like, whatever its pupil and its camera do.

    Attributes
    ----------
    pattern : ndarray of shape `TEXTURE_SHAPE`, float32
        Relative deviation from the mean reflectance, zero mean; the last
        column is the first one's neighbour.
    level : float
        Mean reflectance of the iris, 0..1.
    contrast : float
        Standard deviation of `pattern`: 0.02 (dark, almost featureless) to 0.24 (rich).
    """

    pattern: np.ndarray
    level: float
    contrast: float


def wrapped_noise(rng: np.random.Generator, radial: float, angular: float) -> np.ndarray:
    """Gaussian noise of unit variance, smoothed, without a seam at angle zero.

    Parameters
    ----------
    rng : numpy.random.Generator
    radial, angular : float
        Sigmas of the smoothing along rows' and columns' direction, in texture pixels.

    Returns
    -------
    ndarray of shape `TEXTURE_SHAPE`, float32
    """
    rows, columns = TEXTURE_SHAPE
    above, aside = int(3 * radial) + 1, int(3 * angular) + 1
    white = rng.standard_normal((rows + 2 * above, columns), np.float32)
    white = cv2.copyMakeBorder(white, 0, 0, aside, aside, cv2.BORDER_WRAP)
    smooth = cv2.GaussianBlur(white, (0, 0), sigmaX=angular, sigmaY=radial)
    smooth = smooth[above : above + rows, aside : aside + columns]
    return smooth * np.float32(1.0 / max(float(smooth.std()), 1e-6))


def _ring_noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """One value per angle: smooth periodic noise of unit variance, float32 (columns,)."""
    columns = TEXTURE_SHAPE[1]
    frequency = np.fft.rfftfreq(columns, 1.0 / columns)
    gain = np.exp(-0.5 * (frequency * sigma * 2 * np.pi / columns) ** 2)
    spectrum = gain * (rng.standard_normal(len(gain)) + 1j * rng.standard_normal(len(gain)))
    spectrum[0] = 0.0
    ring = np.fft.irfft(spectrum, columns)
    return (ring / ring.std()).astype(np.float32)


def _fibres(rng: np.random.Generator, waviness: float) -> np.ndarray:
    """Fibres along the radius at several scales, bent sideways by up to a few columns."""
    straight = np.zeros(TEXTURE_SHAPE, np.float32)
    for radial, angular, amplitude in _FIBRE_LAYERS:
        straight += np.float32(amplitude) * wrapped_noise(
            rng, radial * _LAYER_SCALE, angular * _LAYER_SCALE
        )
    rows, columns = TEXTURE_SHAPE
    margin = 16
    padded = cv2.copyMakeBorder(straight, 0, 0, margin, margin, cv2.BORDER_WRAP)
    bend = np.clip(wrapped_noise(rng, 8.0, 14.0) * np.float32(waviness), -margin + 2, margin - 2)
    map_x = np.arange(columns, dtype=np.float32)[None, :] + margin + bend
    map_y = np.repeat(np.arange(rows, dtype=np.float32)[:, None], columns, axis=1)
    return cv2.remap(padded, map_x, map_y, cv2.INTER_LINEAR)


def _mesh(rng: np.random.Generator, size: float) -> np.ndarray:
    """Bright threads around dark cells: the zero crossings of smooth noise."""
    cells = wrapped_noise(rng, size, 1.2 * size)
    threads = np.exp(-np.square(cells * np.float32(2.6)))
    return threads - threads.mean()


def _stamp_crypts(
    pattern: np.ndarray, rng: np.random.Generator, count: int, collarette: np.ndarray
) -> None:
    """Press lens-shaped pits with bright rims into `pattern`, most just outside the collarette."""
    rows, columns = TEXTURE_SHAPE
    for _ in range(count):
        angle = int(rng.integers(columns))
        outside = rng.gamma(1.6, 0.09)
        centre = (collarette[angle] + 0.03 + outside) * rows
        long = rng.uniform(3.0, 9.0)
        wide = long * rng.uniform(0.5, 1.3)
        depth, rim = rng.uniform(0.8, 2.2), rng.uniform(0.5, 1.6)
        reach_r, reach_a = int(1.8 * long) + 1, int(1.8 * wide) + 1
        first, last = max(int(centre) - reach_r, 0), min(int(centre) + reach_r + 1, rows)
        if last <= first:
            continue
        r = (np.arange(first, last, dtype=np.float32)[:, None] - centre) / long
        a = np.arange(-reach_a, reach_a + 1, dtype=np.float32)[None, :] / wide
        # Pointed along the radius, because the walls of a crypt are two fibres.
        distance = np.sqrt(r * r + a * a) + 0.25 * np.abs(a * r)
        pit = np.clip(1.6 * (1.0 - distance), 0.0, 1.0)
        wall = np.exp(-np.square((distance - 1.05) / 0.2))
        take = np.arange(angle - reach_a, angle + reach_a + 1) % columns
        patch = pattern[first:last, take]
        # Fibres do not run across the floor of a crypt.
        pattern[first:last, take] = patch * (1.0 - 0.6 * pit) - depth * pit + rim * wall


def _furrows(rng: np.random.Generator, count: int) -> np.ndarray:
    """Dark contraction furrows: arcs around the outer half of the iris."""
    rows = TEXTURE_SHAPE[0]
    t = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / rows
    total = np.zeros(TEXTURE_SHAPE, np.float32)
    for _ in range(count):
        centre = rng.uniform(0.48, 0.94) + 0.012 * _ring_noise(rng, 40.0)
        presence = np.clip(_ring_noise(rng, 60.0) + rng.uniform(-0.6, 0.8), 0.0, 1.5)
        width = rng.uniform(0.010, 0.022)
        total -= presence * np.exp(-np.square((t - centre) / width))
        total += 0.5 * presence * np.exp(-np.square((t - centre - 2.2 * width) / width))
    return total


def draw_texture(rng: np.random.Generator) -> IrisTexture:
    """Draw the iris of a new identity.

    Parameters
    ----------
    rng : numpy.random.Generator
        Its state alone decides the texture.

    Returns
    -------
    IrisTexture
    """
    rows, _ = TEXTURE_SHAPE
    contrast = float(np.clip(rng.lognormal(np.log(0.115), 0.45), 0.02, 0.24))
    # Rich irises are bright and open-worked, dark ones smooth and velvety.
    richness = float(np.clip((contrast - 0.02) / 0.16 + rng.normal(0.0, 0.2), 0.0, 1.2))
    level = float(np.clip(rng.normal(0.33 + 0.10 * richness, 0.04), 0.22, 0.55))

    t = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / rows
    pattern = _fibres(rng, rng.uniform(1.5, 4.5))
    for radial, angular, amplitude in _LAYERS:
        pattern += np.float32(amplitude * rng.uniform(0.7, 1.3)) * wrapped_noise(
            rng, radial * _LAYER_SCALE, angular * _LAYER_SCALE
        )
    pattern *= 1.0 / pattern.std()
    pattern += (2.2 * richness * rng.uniform(0.3, 1.2)) * _mesh(rng, rng.uniform(3.0, 6.0))

    collarette = rng.uniform(0.16, 0.36) + 0.02 * _ring_noise(rng, 28.0) \
        + rng.uniform(0.005, 0.018) * _ring_noise(rng, 6.0)
    _stamp_crypts(pattern, rng, int(rng.poisson(10 + 45 * richness)), collarette)
    ridge = np.exp(-np.square((t - collarette) / rng.uniform(0.025, 0.05)))
    inside = 1.0 / (1.0 + np.exp((t - collarette) / 0.02))
    pattern += rng.uniform(0.2, 1.4) * ridge + rng.normal(0.0, 0.5) * inside
    pattern += rng.uniform(0.2, 0.9) * _furrows(rng, int(rng.integers(1, 7)))

    # Texture fades towards the limbus, where the stroma thins out.
    pattern *= np.interp(t, [0.0, 0.08, 0.5, 0.85, 1.0], [0.8, 1.1, 1.0, 0.75, 0.55]).astype(
        np.float32
    )
    pattern = np.clip(pattern - pattern.mean(), -4.0, 4.0)
    pattern *= np.float32(contrast / float(pattern.std()))
    return IrisTexture(np.ascontiguousarray(pattern, np.float32), level, contrast)
