"""The identity-specific iris texture: fibres, collarette, crypts and furrows."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

TEXTURE_SHAPE = (96, 768)
"""Rows run from pupil to limbus; columns run around the pupil from +x towards +y."""

CONTRASTS = (0.02, 0.28)
"""Range of the standard deviation of the pattern, from dark and featureless to rich irises."""

# Layers of filtered noise: radial sigma, angular sigma (both in pixels of a 64x512 texture) and
# amplitude. Real near-infrared irises have finer angular detail and are far less elongated along
# the radius than the term "radial fibres" suggests.
_GRAIN_LAYERS = ((1.6, 1.8, 1.3), (1.2, 2.2, 1.1), (1.2, 1.2, 0.9), (0.7, 0.6, 0.8))
_FIBRE_LAYERS = ((6.0, 1.6, 0.5), (2.0, 4.0, 0.4), (3.0, 1.6, 0.9))
_DASH_LAYER = (2.0, 0.9)
_BLOTCH_LAYER = (5.0, 14.0)
_LAYER_SCALE = TEXTURE_SHAPE[0] / 64
_DARK_SHARE = 0.55  # of varied textures have a dark stroma
_CRISP_FROM = 0.035  # cycles per texture pixel: 27 cycles per turn
_CRISPNESS, _CRISPNESS_DARK = (0.0, 1.8), (0.0, 0.7)
_DASHING, _DASHING_DARK = (0.5, 1.7), (0.0, 0.8)  # amplitude of dashes within the collarette


@dataclass(frozen=True)
class IrisTexture:
    """The appearance of an iris, independent of pupil dilation and camera.

    Attributes
    ----------
    pattern : ndarray of shape `TEXTURE_SHAPE`, float32
        Relative deviation from the mean reflectance, zero mean; periodic
        along the columns.
    level : float
        Mean reflectance of the iris, 0..1.
    contrast : float
        Standard deviation of `pattern` before clipping of extremes, within `CONTRASTS`.
    """

    pattern: np.ndarray
    level: float
    contrast: float


def wrapped_noise(rng: np.random.Generator, radial: float, angular: float) -> np.ndarray:
    """Smoothed Gaussian noise of unit variance, periodic in the angle.

    Parameters
    ----------
    rng : numpy.random.Generator
    radial, angular : float
        Smoothing sigmas along the radius and around it, in texture pixels.

    Returns
    -------
    ndarray of shape `TEXTURE_SHAPE`, float32
    """
    rows, columns = TEXTURE_SHAPE
    above, aside = int(3 * radial) + 1, int(3 * angular) + 1
    white = rng.standard_normal((rows + 2 * above, columns), np.float32)
    wrapped = cv2.copyMakeBorder(white, 0, 0, aside, aside, cv2.BORDER_WRAP)
    smooth = cv2.GaussianBlur(wrapped, (0, 0), sigmaX=angular, sigmaY=radial)
    smooth = smooth[above : above + rows, aside : aside + columns]
    return smooth * np.float32(1.0 / max(float(smooth.std()), 1e-6))


def _ring_noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Smooth periodic noise of unit variance, one value per angle: float32 (columns,)."""
    columns = TEXTURE_SHAPE[1]
    frequency = np.fft.rfftfreq(columns, 1.0 / columns)
    gain = np.exp(-0.5 * (frequency * sigma * 2 * np.pi / columns) ** 2)
    spectrum = gain * (rng.standard_normal(len(gain)) + 1j * rng.standard_normal(len(gain)))
    spectrum[0] = 0.0
    ring = np.fft.irfft(spectrum, columns)
    return (ring / ring.std()).astype(np.float32)


def _bent(
    pattern: np.ndarray, rng: np.random.Generator, sideways: float, inwards: float
) -> np.ndarray:
    """Warp a pattern by smooth random displacements; standard deviation per axis in pixels."""
    rows, columns = TEXTURE_SHAPE
    margin = 20
    padded = cv2.copyMakeBorder(pattern, 0, 0, margin, margin, cv2.BORDER_WRAP)
    along = wrapped_noise(rng, 7.0, 12.0) * np.float32(sideways)
    across = wrapped_noise(rng, 6.0, 9.0) * np.float32(inwards)
    map_x = np.arange(margin, margin + columns, dtype=np.float32)[None, :] + along
    map_y = np.arange(rows, dtype=np.float32)[:, None] + across
    return cv2.remap(padded, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _layers(
    rng: np.random.Generator, style: np.random.Generator, layers: tuple, spread: float
) -> np.ndarray:
    """Sum of noise layers, with unit variance; amplitudes vary randomly by up to `spread`."""
    total = np.zeros(TEXTURE_SHAPE, np.float32)
    for radial, angular, amplitude in layers:
        total += np.float32(amplitude * style.uniform(1 - spread, 1 + spread)) * wrapped_noise(
            rng, radial * _LAYER_SCALE, angular * _LAYER_SCALE
        )
    return total / total.std()


def _stamp(
    pattern: np.ndarray,
    centres: np.ndarray,
    sizes: np.ndarray,
    floor: np.ndarray,
    wall: np.ndarray,
    corners: np.ndarray,
) -> None:
    """Stamp dark pits with bright walls into `pattern`.

    Parameters
    ----------
    pattern : ndarray of shape `TEXTURE_SHAPE`, float32
        Changed in place.
    centres : ndarray of shape (n, 2)
        Row and column.
    sizes : ndarray of shape (n, 2)
        Half length along the radius and half width across it, in texture pixels.
    floor, wall : ndarray of shape (n,)
        Darkness of the pit and brightness of its wall.
    corners : ndarray of shape (n,)
        0 gives an oval. Larger values give a lens shape pointed along the radius, because
        the walls of a crypt are fibres.
    """
    rows, columns = TEXTURE_SHAPE
    for (row, column), (long, wide), dark, bright, pointed in zip(
        centres, sizes, floor, wall, corners, strict=True
    ):
        reach_r, reach_a = int(1.6 * long) + 1, int(1.6 * wide) + 1
        first, last = max(int(row) - reach_r, 0), min(int(row) + reach_r + 1, rows)
        if last <= first:
            continue
        r = (np.arange(first, last, dtype=np.float32)[:, None] - row) / long
        a = np.arange(-reach_a, reach_a + 1, dtype=np.float32)[None, :] / wide
        distance = np.sqrt(r * r + a * a) + pointed * np.abs(a * r)
        pit = np.clip(1.8 * (1.0 - distance), 0.0, 1.0)
        rim = np.exp(-np.square((distance - 1.1) * (min(long, wide) / 2.2)))
        take = np.arange(int(column) - reach_a, int(column) + reach_a + 1) % columns
        pattern[first:last, take] += bright * rim - dark * pit


def _pits(
    pattern: np.ndarray, rng: np.random.Generator, count: int, collarette: np.ndarray
) -> None:
    """Stamp small dark pits, most densely around the collarette."""
    rows, columns = TEXTURE_SHAPE
    angle = rng.uniform(0, columns, count)
    depth = collarette[angle.astype(int)] + rng.normal(0.0, 0.05, count)
    scattered = rng.random(count) < rng.uniform(0.2, 0.7)
    depth = np.where(scattered, rng.uniform(0.1, 0.98, count), depth)
    size = rng.lognormal(np.log(1.9), 0.35, (count, 1))
    sizes = size * np.stack([rng.uniform(0.9, 2.0, count), rng.uniform(0.8, 1.3, count)], axis=1)
    _stamp(
        pattern,
        np.stack([depth * rows, angle], 1),
        sizes,
        rng.uniform(1.0, 3.5, count),
        rng.uniform(0.0, 0.8, count),
        np.full(count, 0.2),
    )


def _crypts(
    pattern: np.ndarray,
    rng: np.random.Generator,
    count: int,
    collarette: np.ndarray,
    dashes: np.ndarray,
) -> None:
    """Stamp crypts outside the collarette: dark cells with bright walls and exposed fibres."""
    rows, columns = TEXTURE_SHAPE
    cells = np.zeros(TEXTURE_SHAPE, np.float32)
    angle = rng.uniform(0, columns, count)
    sizes = np.stack([rng.uniform(3.5, 13.0, count), rng.uniform(3.0, 11.0, count)], axis=1)
    depth = collarette[angle.astype(int)] + rng.gamma(1.5, 0.09, count) + 0.6 * sizes[:, 0] / rows
    centres = np.stack([depth * rows, angle], axis=1)
    _stamp(cells, centres, sizes, np.ones(count), np.zeros(count), np.full(count, 0.4))
    pattern += np.clip(-cells, 0.0, 1.0) * (1.2 * dashes - 0.3)
    _stamp(
        pattern,
        centres,
        sizes,
        rng.uniform(-0.2, 0.9, count),
        rng.uniform(0.3, 1.7, count),
        rng.uniform(0.0, 0.8, count),
    )


@dataclass(frozen=True)
class _Arcs:
    """A class of dark arcs around the pupil, each with a bright outer border.

    Radial lengths are fractions of the ring; angular lengths are in columns.
    """

    place: tuple[float, float]
    bend: float
    smoothness: float  # of the undulation
    length: float  # approximate length of the visible sections
    presence: tuple[float, float]  # lower values leave larger gaps in the circle
    width: tuple[float, float]
    border: float  # its brightness
    border_at: float  # its distance in widths

    def draw(self, rng: np.random.Generator, count: int, t: np.ndarray) -> np.ndarray:
        """Sum of `count` random arcs; `t` is the depth 0..1 of each row."""
        total = np.zeros(TEXTURE_SHAPE, np.float32)
        for _ in range(count):
            centre = rng.uniform(*self.place) + self.bend * _ring_noise(rng, self.smoothness)
            shown = _ring_noise(rng, self.length) + rng.uniform(*self.presence)
            presence = np.clip(shown, 0.0, 1.5)
            width = rng.uniform(*self.width)
            away = t - centre
            total -= presence * np.exp(-np.square(away / width))
            beside = (away - self.border_at * width) / width
            total += self.border * presence * np.exp(-np.square(beside))
        return total


# Contraction furrows of the outer half, and thin arcs across the whole of a dark iris.
_FURROWS = _Arcs((0.48, 0.94), 0.012, 40.0, 60.0, (-0.6, 0.8), (0.010, 0.022), 0.5, 2.2)
_THIN_ARCS = _Arcs((0.3, 0.97), 0.008, 30.0, 30.0, (-1.2, 0.2), (0.008, 0.016), 0.6, 2.0)


def _web(rng: np.random.Generator, style: np.random.Generator) -> np.ndarray:
    """Nets of bright fibres around dark meshes (zero crossings of noise), with unit variance."""
    total = np.zeros(TEXTURE_SHAPE, np.float32)
    for _ in range(int(style.integers(1, 4))):
        angular = style.uniform(1.2, 4.5)
        noise = wrapped_noise(rng, angular * style.uniform(1.0, 4.5), angular)
        width = style.uniform(0.15, 0.6)
        weight = np.float32(style.uniform(0.3, 1.0))
        total += weight * np.exp(-np.square(noise / np.float32(width)))
    total -= total.mean()
    return total / total.std()


def _varied_stroma(
    rng: np.random.Generator, style: np.random.Generator, usual: np.ndarray
) -> np.ndarray:
    """Mix the usual stroma with a web and with noise of random scale and orientation."""
    own = wrapped_noise(rng, *np.exp(style.normal(np.log((2.5, 1.8)), (0.7, 0.5))))
    shares = np.sqrt(style.dirichlet((1.0, 1.2, 0.6))).astype(np.float32)
    mixed = shares[0] * usual / usual.std() + shares[1] * _web(rng, style) + shares[2] * own
    return mixed * np.float32(usual.std() / mixed.std())


def _clouds(rng: np.random.Generator, slope: float, drawn_out: float) -> np.ndarray:
    """Multi-scale noise of unit variance: amplitude falls with frequency ** `slope`.

    `drawn_out` is its elongation: scale along the radius over scale around it.
    """
    rows, columns = TEXTURE_SHAPE
    radial = np.fft.fftfreq(2 * rows)[:, None] * drawn_out
    angular = np.fft.rfftfreq(columns)[None, :]
    frequency = np.maximum(np.sqrt(radial**2 + angular**2), 4 / columns)
    white = np.fft.rfft2(rng.standard_normal((2 * rows, columns)))
    clouds = np.fft.irfft2(white * frequency**-slope, (2 * rows, columns))[:rows]
    clouds -= clouds.mean()
    return (clouds / clouds.std()).astype(np.float32)


def _cells(rng: np.random.Generator, size: float, drawn_out: float, wall: float) -> np.ndarray:
    """Net of bright walls (1) around dark cells (about 0) of a `size` in texture pixels.

    Worley's cellular noise (1996): a wall lies where the two nearest random points are
    equidistant. `drawn_out` is the elongation of the cells along the radius.
    """
    rows, columns = TEXTURE_SHAPE
    count = int(rows * columns / (size * size * drawn_out)) + 2
    points = rng.uniform((0.0, 0.0), (rows / drawn_out, columns), (count, 2))
    copies = [points + np.array([0.0, turn * columns]) for turn in (-1, 0, 1)]
    tree = cKDTree(np.concatenate(copies))
    row, column = np.mgrid[0:rows, 0:columns]
    distances, _ = tree.query(np.stack([row / drawn_out, column], axis=-1), k=2)
    gap = (distances[..., 1] - distances[..., 0]).astype(np.float32)
    return np.exp(-np.square(gap / np.float32(wall)))


def _dark_stroma(
    rng: np.random.Generator, style: np.random.Generator, t: np.ndarray, collarette: np.ndarray
) -> np.ndarray:
    """Stroma of a dark iris in near-infrared light, with about unit variance.

    It has clouds everywhere, rows of short fibres from the pupil to the collarette, groups of
    crypts with bright walls at the collarette, and thin arcs around the pupil.
    """
    inside = 1.0 / (1.0 + np.exp((t - collarette) / np.float32(style.uniform(0.015, 0.04))))
    pattern = style.uniform(0.6, 1.3) * _clouds(
        rng, style.uniform(0.8, 1.5), style.uniform(0.7, 1.8)
    )
    angular = style.uniform(1.4, 3.0)
    beads = wrapped_noise(rng, angular * style.uniform(1.0, 3.0), angular)
    pattern += style.uniform(0.4, 1.3) * inside * beads

    # Crypts form groups next to the collarette; elsewhere they are isolated and rare.
    size = style.uniform(9.0, 24.0)
    band = np.exp(-np.square((t - collarette - 0.04) / np.float32(style.uniform(0.06, 0.2))))
    groups = wrapped_noise(rng, 8.0, style.uniform(10.0, 30.0))
    groups += np.float32(style.uniform(-1.0, 0.8))
    present = np.clip(band * (1.0 + 0.5 * groups) + 0.5 * groups - 0.5, 0.0, 1.0)
    cells = _cells(rng, size, style.uniform(0.6, 1.8), style.uniform(1.0, 2.5))
    pattern += style.uniform(0.4, 1.4) * present * (2.2 * cells - 0.6)

    pattern += style.uniform(0.0, 0.5) * _THIN_ARCS.draw(rng, int(style.integers(0, 14)), t)
    return (pattern / pattern.std()).astype(np.float32)


def _crisper(pattern: np.ndarray, strength: float) -> np.ndarray:
    """Emphasise high frequencies: amplitudes times ``(1 + (f / f0)**2) ** (strength / 2)``."""
    rows, columns = TEXTURE_SHAPE
    mirrored = np.concatenate([pattern, pattern[::-1]])  # not periodic along the radius
    radial = np.fft.fftfreq(2 * rows)[:, None]
    angular = np.fft.rfftfreq(columns)[None, :]
    gain = (1.0 + (radial**2 + angular**2) / _CRISP_FROM**2) ** (strength / 2)
    crisp = np.fft.irfft2(np.fft.rfft2(mirrored) * gain, mirrored.shape)[:rows]
    return crisp.astype(np.float32)


def draw_texture(
    rng: np.random.Generator, varied: bool = False, style: np.random.Generator | None = None
) -> IrisTexture:
    """Sample the iris texture of a new identity.

    Parameters
    ----------
    rng : numpy.random.Generator
        Its state alone determines the texture.
    varied : bool, optional
        Sample from a wider range of structures than in one population.
    style : numpy.random.Generator, optional
        Source of what irises of one population share: contrast, density, coarseness,
        fibrousness and position of the collarette. Two textures whose style generators have
        the same state differ only in detail. None: `rng`.

    Returns
    -------
    IrisTexture
    """
    rows = TEXTURE_SHAPE[0]
    style = rng if style is None else style
    contrast = float(np.clip(style.lognormal(np.log(0.155), 0.42), *CONTRASTS))
    # Irises with rich structure are bright with an open stroma; dark ones are smooth.
    richness = float(np.clip((contrast - 0.02) / 0.20 + style.normal(0.0, 0.25), 0.0, 1.0))
    level = float(np.clip(style.normal(0.38 + 0.07 * richness, 0.04), 0.26, 0.56))

    t = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / rows
    collarette = (
        style.uniform(0.14, 0.38)
        + rng.uniform(0.01, 0.03) * _ring_noise(rng, 28.0)
        + rng.uniform(0.006, 0.02) * _ring_noise(rng, 6.0)
    ).clip(0.06, 0.6)
    inside = 1.0 / (1.0 + np.exp((t - collarette - 0.03) / 0.025))

    grain = _layers(rng, style, _GRAIN_LAYERS, 0.3)
    fibres = _layers(rng, style, _FIBRE_LAYERS, 0.3)
    dashes = -1.8 * np.maximum(
        wrapped_noise(rng, _DASH_LAYER[0] * _LAYER_SCALE, _DASH_LAYER[1] * _LAYER_SCALE) - 0.2, 0.0
    )
    # The pupillary zone is dense; beyond the collarette some irises are nearly plain, others a
    # web of fibres.
    outer = style.uniform(0.25, 0.9)
    fibrous = style.uniform(0.0, 1.0) * style.uniform(0.2, 1.0)
    stroma = (1.0 - fibrous) * grain + fibrous * fibres
    dashing, crispness = _DASHING, _CRISPNESS
    dark = varied and style.random() < _DARK_SHARE
    if dark:
        dashing, crispness = _DASHING_DARK, _CRISPNESS_DARK
        outer = style.uniform(0.7, 1.0)
        stroma = _dark_stroma(rng, style, t, collarette) * np.float32(stroma.std())
    elif varied:
        stroma = _varied_stroma(rng, style, stroma)
    pattern = (outer + (1.0 - outer) * inside) * stroma
    pattern *= style.uniform(0.5, 0.9)
    pattern += style.uniform(*dashing) * inside * (dashes + 0.7)
    pattern += style.uniform(0.1, 0.4) * wrapped_noise(
        rng, _BLOTCH_LAYER[0] * _LAYER_SCALE, _BLOTCH_LAYER[1] * _LAYER_SCALE
    )
    pattern = np.ascontiguousarray(pattern, np.float32)
    _crypts(pattern, rng, int(rng.poisson(2 + 26 * richness)), collarette, dashes)
    _pits(pattern, rng, int(rng.poisson(style.uniform(30, 60 + 120 * richness))), collarette)
    # No structure in an iris is exactly straight or round.
    pattern = _bent(pattern, rng, style.uniform(2.0, 4.0), style.uniform(1.0, 2.0))
    ridge = np.exp(-np.square((t - collarette) / style.uniform(0.02, 0.04)))
    pattern += style.uniform(0.0, 0.9) * ridge + rng.normal(0.0, 0.3) * inside
    pattern += style.uniform(0.1, 0.6) * _FURROWS.draw(rng, int(rng.integers(1, 6)), t)

    if varied:
        pattern = _crisper(pattern, style.uniform(*crispness))
    if dark:
        grain = wrapped_noise(rng, *style.uniform(0.7, 1.8, 2))
        pattern += np.float32(style.uniform(0.1, 0.5) * pattern.std()) * grain

    # Contrast decreases towards the limbus, where the stroma thins out.
    pattern *= np.interp(t, [0.0, 0.5, 0.85, 1.0], [1.0, 1.0, 0.8, 0.55]).astype(np.float32)
    pattern -= pattern.mean()
    pattern *= np.float32(contrast / float(pattern.std()))
    return IrisTexture(np.clip(pattern, -0.65, 0.65).astype(np.float32), level, contrast)
