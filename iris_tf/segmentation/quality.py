"""Quality figures of an iris image after ISO/IEC 29794-6:2015, clause 6.2.

The standard defines them on concentric circles. Here the outlines are two ellipses with
independent centres, so "1.1 iris radii" is the limbus ellipse enlarged by 10 %. Sharpness and
grey-scale utilisation are computed on the iris and not on the whole image, because brows and
eyelashes may be in focus when the iris is not.

Every figure is a finite number. A figure that cannot be computed, because a region that it
needs has no visible pixel, is 0, so that such an image meets no limit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.segmenter import SegmentedEye


@dataclass(frozen=True, slots=True)
class IrisQuality:
    """Quality figures of one image; clause numbers refer to ISO/IEC 29794-6:2015.

    Attributes
    ----------
    usable_iris_area : float
        Percent, 0..100 (6.2.1): share of the iris ring that is neither occluded by eyelids,
        eyelashes and highlights nor outside the image. The standard requires 70.
    iris_sclera_contrast : float
        0..100 (6.2.2). The standard requires more than 5.
    iris_pupil_contrast : float
        0..100 (6.2.3). The standard requires 30.
    grey_scale_utilisation : float
        Bits, 0..8 (6.2.5): entropy of the grey levels of the visible iris. The
        standard requires 6.
    iris_radius : float
        Pixels, above 0 (6.2.6): radius of the circle of equal area. The standard requires 80.
    pupil_iris_ratio : float
        Percent, at least 0 (6.2.7): pupil radius over iris radius. The standard requires
        20 to 70.
    iris_pupil_concentricity : float
        Percent, 0..100 (6.2.8): 100 if the centres coincide, 0 if they are an iris radius
        or more apart. The standard requires 90.
    margin_adequacy : float
        Percent, 0..100 (6.2.9): margin between iris and image border, relative to 0.6 iris
        radii at the left and right and 0.2 above and below; the minimum of the four. The
        standard requires 80.
    sharpness : float
        0..100 (6.2.10): power in a band of high spatial frequencies; higher is sharper.
    """

    usable_iris_area: float
    iris_sclera_contrast: float
    iris_pupil_contrast: float
    grey_scale_utilisation: float
    iris_radius: float
    pupil_iris_ratio: float
    iris_pupil_concentricity: float
    margin_adequacy: float
    sharpness: float


# The convolution kernel F of 6.2.10, a Laplacian of a Gaussian of sigma 1.4.
_SHARPNESS_KERNEL = np.array(
    [
        [0, 1, 1, 2, 2, 2, 1, 1, 0],
        [1, 2, 4, 5, 5, 5, 4, 2, 1],
        [1, 4, 5, 3, 0, 3, 5, 4, 1],
        [2, 5, 3, -12, -24, -12, 3, 5, 2],
        [2, 5, 0, -24, -40, -24, 0, 5, 2],
        [2, 5, 3, -12, -24, -12, 3, 5, 2],
        [1, 4, 5, 3, 0, 3, 5, 4, 1],
        [1, 2, 4, 5, 5, 5, 4, 2, 1],
        [0, 1, 1, 2, 2, 2, 1, 1, 0],
    ],
    np.float32,
)
_SHARPNESS_STEP = 4  # the filter is evaluated at every fourth row and column
_HALF_SHARPNESS_POWER = 1_800_000.0  # power at which sharpness is 50

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 256, endpoint=False)
_RADII = 12  # samples across a ring; enough for a median


def iris_quality(image: np.ndarray, eye: SegmentedEye) -> IrisQuality:
    """Compute the quality figures of one segmented eye.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
    eye : SegmentedEye
        Segmentation of that image.

    Returns
    -------
    IrisQuality
    """
    pupil, iris = eye.pupil, eye.iris
    box = _box(iris, image.shape)
    return IrisQuality(
        usable_iris_area=_usable_area(eye, box),
        **_contrasts(image, eye),
        grey_scale_utilisation=_entropy(image[box][eye.visible[box]]),
        iris_radius=float(iris.radius),
        pupil_iris_ratio=float(100.0 * pupil.radius / iris.radius),
        iris_pupil_concentricity=_concentricity(pupil, iris),
        margin_adequacy=_margin_adequacy(iris, image.shape),
        sharpness=_sharpness(image[box]),
    )


def _half_sides(ellipse: Ellipse) -> tuple[float, float]:
    """Half the width and height of the axis-aligned bounding box of an ellipse."""
    a, b, cos, sin = ellipse.a, ellipse.b, math.cos(ellipse.angle), math.sin(ellipse.angle)
    return math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)


def _box(iris: Ellipse, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Bounding box of the iris within the image, as rows and columns."""
    half_width, half_height = _half_sides(iris)
    sides = []
    for centre, half, size in ((iris.y, half_height, shape[0]), (iris.x, half_width, shape[1])):
        first = min(max(math.floor(centre - half), 0), size)
        last = max(min(math.ceil(centre + half) + 1, size), first)
        sides.append(slice(first, last))
    return sides[0], sides[1]


def _usable_area(eye: SegmentedEye, box: tuple[slice, slice]) -> float:
    """6.2.1: visible percentage of the ring between the outlines."""
    visible = eye.visible[box]
    if not visible.size:
        return 0.0
    dy, dx = box[0].start, box[1].start
    moved = [Ellipse(e.x - dx, e.y - dy, e.a, e.b, e.angle) for e in (eye.iris, eye.pupil)]
    ring = moved[0].mask(visible.shape) & ~moved[1].mask(visible.shape)
    seen, total = int((visible & ring).sum()), float(ring.sum())
    if _margin_adequacy(eye.iris, eye.visible.shape) == 0.0:
        # Iris outside the image counts as not visible.
        total = max(total, math.pi * (eye.iris.radius**2 - eye.pupil.radius**2))
    return 100.0 * seen / total if total else 0.0


def _contrasts(image: np.ndarray, eye: SegmentedEye) -> dict[str, float]:
    """6.2.2 and 6.2.3, from the medians of rings that stay clear of the outlines.

    Pupil: within 0.8 pupil radii. Inner iris: from 1.1 pupil radii to half-way
    between pupil and limbus. Outer iris: from there to 0.9 iris radii. Sclera: 1.1 to 1.2
    iris radii.
    """
    pupil, iris = eye.pupil, eye.iris
    half_way = 0.5 * (pupil.points(_ANGLES) + iris.points(_ANGLES))
    outer_iris = (half_way, _grown(iris, 0.9))
    pupil_value = _median(image, eye.opening, np.array([pupil.x, pupil.y]), _grown(pupil, 0.8))
    inner_value = _median(image, eye.visible, _grown(pupil, 1.1), half_way)
    outer_value = _median(image, eye.visible, *outer_iris)
    sclera = (_grown(iris, 1.1), _grown(iris, 1.2))
    if eye.opening is not None:
        sclera_value = _median(image, eye.opening, *sclera)
    else:
        # Where an eyelid covers the outer iris, it also covers the adjacent sclera.
        open_rays = np.all(eye.visible[_ring(image.shape, *outer_iris)[0]], axis=0)
        sclera_value = _median(image, None, *sclera, rays=open_rays)
    return {
        "iris_sclera_contrast": _sclera_contrast(pupil_value, outer_value, sclera_value),
        "iris_pupil_contrast": _pupil_contrast(pupil_value, inner_value),
    }


def _sclera_contrast(pupil: float | None, iris: float | None, sclera: float | None) -> float:
    # The pupil is the black level, which removes veiling glare.
    if pupil is None or iris is None or sclera is None or pupil >= iris:
        return 0.0
    spread = sclera + iris - 2.0 * pupil
    return min(100.0 * abs(sclera - iris) / spread, 100.0) if spread > 0.0 else 0.0


def _pupil_contrast(pupil: float | None, iris: float | None) -> float:
    if pupil is None or iris is None:
        return 0.0
    weber = abs(iris - pupil) / (20.0 + pupil)
    return 100.0 * weber / (0.75 + weber)


def _grown(ellipse: Ellipse, factor: float) -> np.ndarray:
    centre = np.array([ellipse.x, ellipse.y])
    return centre + factor * (ellipse.points(_ANGLES) - centre)


def _ring(
    shape: tuple[int, int], inner: np.ndarray, outer: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Rows and columns of a ring's pixels, (radii, angles); also whether each is in the image."""
    share = np.linspace(0.0, 1.0, _RADII)[:, None, None]
    points = np.round((1.0 - share) * inner + share * outer).astype(np.int64)
    x, y = points[..., 0], points[..., 1]
    height, width = shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return (np.where(inside, y, 0), np.where(inside, x, 0)), inside


def _median(
    image: np.ndarray,
    mask: np.ndarray | None,
    inner: np.ndarray,
    outer: np.ndarray,
    rays: np.ndarray | None = None,
) -> float | None:
    """Median grey level of a ring within `mask` and on `rays`; None without any pixel."""
    at, counts = _ring(image.shape, inner, outer)
    if mask is not None:
        counts = counts & mask[at]
    if rays is not None:
        counts = counts & rays
    chosen = image[at][counts]
    return float(np.median(chosen)) if chosen.size else None


def _concentricity(pupil: Ellipse, iris: Ellipse) -> float:
    """6.2.8."""
    distance = math.hypot(pupil.x - iris.x, pupil.y - iris.y)
    return float(100.0 * max(1.0 - distance / iris.radius, 0.0))


def _margin_adequacy(iris: Ellipse, shape: tuple[int, int]) -> float:
    """6.2.9."""
    half_width, half_height = _half_sides(iris)
    beside = min(iris.x - half_width, shape[1] - 1 - iris.x - half_width) / (0.6 * iris.radius)
    above = min(iris.y - half_height, shape[0] - 1 - iris.y - half_height) / (0.2 * iris.radius)
    return float(100.0 * min(max(min(beside, above), 0.0), 1.0))


def _entropy(values: np.ndarray) -> float:
    """6.2.5: entropy of the grey levels in bits."""
    if not values.size:
        return 0.0
    counts = np.bincount(values, minlength=256)
    share = counts[counts > 0] / values.size
    return float(max(-(share * np.log2(share)).sum(), 0.0))


def _sharpness(image: np.ndarray) -> float:
    """6.2.10.

    The power P is the sum of squared filter responses at every fourth row and column, divided
    by the number of all pixels. The figure is ``100 P^2 / (P^2 + C^2)`` with C = 1,800,000.
    """
    side = _SHARPNESS_KERNEL.shape[0]
    height, width = (size - 2 * (side // 2) for size in image.shape)
    if min(height, width) <= 0:
        return 0.0
    # Accumulated over the kernel rows, at the subsampled pixels only: a full convolution would
    # compute sixteen times as many responses.
    response: np.ndarray | float = 0.0
    for i, weights in enumerate(_SHARPNESS_KERNEL):
        rows = image[i : i + height : _SHARPNESS_STEP].astype(np.float32)
        response = (
            response + sliding_window_view(rows, side, axis=1)[:, ::_SHARPNESS_STEP] @ weights
        )
    power = float(np.square(response, dtype=np.float64).sum()) / image.size
    return 100.0 * power**2 / (power**2 + _HALF_SHARPNESS_POWER**2)
