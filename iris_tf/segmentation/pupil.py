"""Coarse localisation: find the pupil among dark discs, and estimate the iris radius."""

from dataclasses import dataclass

import cv2
import numpy as np

from iris_tf.segmentation.polar import directions, inside, sample, step_contrast

# All lengths are in pixels of the search image, whose longer side is SEARCH_SIDE.
SEARCH_SIDE = 320
_VOTE_RADII = np.unique(np.round(np.geomspace(4, 100, 22)).astype(int))
_CANDIDATES = 14  # from each source: gradient voting and blobs
_RAYS = 32
_RADII = np.arange(1.0, 138.0)
_ANGLES = directions(_RAYS)
# Eyelids rarely cover the iris in sectors centred 10 degrees below the horizontal.
_RIGHT = np.cos(_ANGLES - np.radians(10)) >= np.cos(np.radians(35))
_LEFT = _RIGHT[(_RAYS // 2 - np.arange(_RAYS)) % _RAYS]  # mirrored
_PUPIL_RANGE = (3.5, 75.0)
_IRIS_RANGE = (18.0, 125.0)
_RATIO_RANGE = (0.15, 0.72)


def _plausible_pairs() -> np.ndarray:
    """Indices into `_RADII` of all plausible pupil and iris radii, int of shape (2, pairs)."""
    pupil, iris = _RADII[:, None], _RADII[None, :]
    plausible = (
        (pupil >= _PUPIL_RANGE[0])
        & (pupil <= _PUPIL_RANGE[1])
        & (iris >= _IRIS_RANGE[0])
        & (iris <= _IRIS_RANGE[1])
        & (pupil / iris >= _RATIO_RANGE[0])
        & (pupil / iris <= _RATIO_RANGE[1])
    )
    return np.array(np.nonzero(plausible))


_PAIRS = _plausible_pairs()


@dataclass(frozen=True)
class CoarseEye:
    """Concentric circles of pupil and iris, in pixels of the search image.

    `score` ranks candidates by the contrast along both circles.
    """

    x: float
    y: float
    pupil: float
    iris: float
    score: float


def find_eye(image: np.ndarray) -> CoarseEye | None:
    """Find the best-scoring pair of pupil and limbus.

    Parameters
    ----------
    image : ndarray of shape (height, width), uint8
        Search image.

    Returns
    -------
    CoarseEye or None
        None if there is no dark disc.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), 1.5).astype(np.float32)
    centres = np.concatenate([_voted_centres(smooth), _blob_centres(smooth)])
    centres = (
        np.unique(np.round(centres / 3.0), axis=0) * 3.0
    )  # merges close centres, which are refined below
    if not len(centres):
        return None
    best = _best(smooth, centres, 4)
    if not len(best):
        return None
    for spread in (3.0, 1.0):
        # Refine the best candidates on ever finer grids: an error of a few pixels in the
        # centre smears the edge of a small pupil.
        step = np.array([-1.0, 0.0, 1.0]) * spread
        shifts = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)
        best = _best(smooth, (best[:, None, :2] + shifts).reshape(-1, 2), 2)
    return CoarseEye(*map(float, best[0]))


def _best(smooth: np.ndarray, centres: np.ndarray, count: int) -> np.ndarray:
    """Rate the candidates at `centres`, and return the best `count` in descending order."""
    rated = _rate(smooth, centres)
    return rated[np.argsort(-rated[:, -1], kind="stable")[:count]]


def _voted_centres(smooth: np.ndarray) -> np.ndarray:
    """Centres of dark discs by gradient voting (a directional circular Hough transform)."""
    gx: np.ndarray = cv2.Scharr(smooth, cv2.CV_32F, 1, 0) / 32.0
    gy: np.ndarray = cv2.Scharr(smooth, cv2.CV_32F, 0, 1) / 32.0
    magnitude = cv2.magnitude(gx, gy)
    floor = max(float(np.percentile(magnitude[::2, ::2], 82)), 0.7)
    rows, columns = np.nonzero(magnitude > floor)
    if not len(rows):
        return np.zeros((0, 2))
    strength = magnitude[rows, columns]
    ux, uy = gx[rows, columns] / strength, gy[rows, columns] / strength
    # Half-resolution accumulators, so that the votes of a discretised circle coincide.
    height, width = smooth.shape[0] // 2 + 1, smooth.shape[1] // 2 + 1
    planes = np.zeros((len(_VOTE_RADII), height, width), np.float32)
    for plane, radius in zip(planes, _VOTE_RADII, strict=True):
        x = ((columns - radius * ux) / 2.0 + 0.5).astype(np.int32)
        y = ((rows - radius * uy) / 2.0 + 0.5).astype(np.int32)
        ok = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        votes = np.bincount(y[ok] * width + x[ok], minlength=height * width)
        sigma = 0.7 + 0.035 * radius
        blurred = cv2.GaussianBlur(votes.reshape(height, width).astype(np.float32), (0, 0), sigma)
        # Normalise votes by circumference, roughly, and by the size of the blur.
        plane[:] = blurred * sigma / radius**0.8
    best = planes.max(axis=0)
    peaks = (best >= cv2.dilate(best, np.ones((7, 7), np.uint8))) & (best > 0)
    y, x = np.nonzero(peaks)
    order = np.argsort(-best[y, x], kind="stable")[:_CANDIDATES]
    return np.stack([x[order], y[order]], axis=1) * 2.0


def _blob_centres(smooth: np.ndarray) -> np.ndarray:
    """Centres of compact dark blobs at several thresholds, with holes filled."""
    grey = np.clip(smooth, 0, 255).astype(np.uint8)
    found = []
    for level in np.unique(np.percentile(grey[::2, ::2], (2, 4, 7, 11, 16, 23, 32))):
        dark = (grey <= level).astype(np.uint8)
        dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        contours = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[-2]
        for contour in contours:
            area = cv2.contourArea(contour)  # of the outer contour, so highlights count as filled
            if not 40 < area < np.pi * _PUPIL_RANGE[1] ** 2:
                continue
            (x, y), (w, h), _ = cv2.minAreaRect(contour)
            fill = area / (0.785 * w * h)
            aspect = min(w, h) / max(w, h)
            if aspect > 0.5 and fill > 0.6:
                found.append((aspect * min(fill, 1.0 / fill), x, y))
    found.sort(reverse=True)
    return np.array([(x, y) for _, x, y in found[:_CANDIDATES]]).reshape(-1, 2)


def _rate(smooth: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Find the best pupil and iris radius for each centre.

    Returns
    -------
    ndarray of shape (n, 5)
        Fields of `CoarseEye`; centres without a plausible pair are omitted.
    """
    x = centres[:, 0, None, None] + np.cos(_ANGLES)[:, None] * _RADII
    y = centres[:, 1, None, None] + np.sin(_ANGLES)[:, None] * _RADII
    rays = sample(smooth, x, y)
    pupil = _pupil_evidence(rays)
    iris = _iris_evidence(rays, inside(smooth.shape, x, y))
    score = (
        np.log1p(np.maximum(pupil, 0.0) / 8.0)[:, _PAIRS[0]]
        + np.log1p(np.maximum(iris, 0.0) / 4.0)[:, _PAIRS[1]]
    )
    choice = score.argmax(axis=1)
    rows, (p, i) = np.arange(len(centres)), _PAIRS[:, choice]
    rated = np.column_stack([centres, _RADII[p], _RADII[i], score[rows, choice]])
    return rated[(pupil[rows, p] > 0) & (iris[rows, i] > 0)]


def _pupil_evidence(rays: np.ndarray) -> np.ndarray:
    """Contrast of a pupil boundary at each radius, (n, radii), from rays (n, rays, radii)."""
    windows = np.clip(np.round(0.15 * _RADII), 2, 8).astype(int)
    # About two thirds of the rays have at least this contrast; eyelids, eyelashes and
    # reflections may corrupt the others.
    step = np.sort(step_contrast(rays, windows), axis=1)[:, int(0.35 * _RAYS)]
    # Reflections affect few rays at each radius, so the median ignores them.
    brightness = np.sort(rays, axis=1)[:, _RAYS // 2]
    sums = np.cumsum(brightness, axis=1)
    count = np.arange(1, len(_RADII) + 1)
    core, rim = np.maximum((0.6 * count).astype(int), 1), np.maximum((0.9 * count).astype(int), 2)
    core_mean = sums[:, core - 1] / core
    rim_mean = (sums[:, rim - 1] - sums[:, core - 1]) / np.maximum(rim - core, 1)
    # A pupil is uniformly dark; an iris mistaken for one has a darker centre.
    return step - 1.5 * np.maximum(rim_mean - core_mean, 0.0)


def _iris_evidence(rays: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Contrast of a limbus at each radius over the lateral sectors, (n, radii)."""
    windows = np.clip(np.round(0.13 * _RADII), 3, 12).astype(int)
    # Clipped, because skin and reflections are brighter than the sclera.
    step = np.clip(step_contrast(rays, windows), -15.0, 30.0)
    means, known = [], []
    for side in (_LEFT, _RIGHT):
        count = seen[:, side].sum(axis=1)
        means.append((step[:, side] * seen[:, side]).sum(axis=1) / np.maximum(count, 1))
        known.append(count >= 0.5 * side.sum())
    left, right = means
    both = 0.4 * (left + right) / 2.0 + 0.6 * np.minimum(left, right)
    # Where one side is outside the image, the other alone counts, at a lower weight.
    one = 0.7 * np.where(known[0], left, right)
    return np.where(known[0] & known[1], both, np.where(known[0] | known[1], one, -10.0))
