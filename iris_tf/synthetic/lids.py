"""Eyelid edges: curves between the corners of the eye, in the socket frame."""

from dataclasses import dataclass

import numpy as np

from iris_tf.synthetic.capture import Capture
from iris_tf.synthetic.synthetic_identity import EyeIdentity

_REACH = 9.0  # range of the tabulated curves to either side, in iris radii
_TABLE = np.linspace(-_REACH, _REACH, 721)


@dataclass(frozen=True)
class Lids:
    """Heights of both eyelid edges as functions of the horizontal position.

    Lengths are in iris radii in the socket frame, before head roll: u to the right, v down.

    Attributes
    ----------
    corners : tuple of float
        u of the left and the right corner.
    upper_edge, lower_edge : ndarray of shape (721,), float32
        Tabulated v of the edges; outside the corners both follow the closed crease.
    upper_margin, lower_margin : float
        Widths of the eyelid margins at the centre.
    """

    corners: tuple[float, float]
    upper_edge: np.ndarray
    lower_edge: np.ndarray
    upper_margin: float
    lower_margin: float

    def upper(self, u: np.ndarray) -> np.ndarray:
        """Return v of the upper eyelid edge at `u`, of the same shape, float32."""
        return np.interp(u, _TABLE, self.upper_edge).astype(np.float32)

    def lower(self, u: np.ndarray) -> np.ndarray:
        """Return v of the lower eyelid edge at `u`, of the same shape, float32."""
        return np.interp(u, _TABLE, self.lower_edge).astype(np.float32)

    def upper_rim(self, u: np.ndarray) -> np.ndarray:
        """Return v where the upper eyelid margin ends and the eyelashes begin."""
        return self.upper(u) - self.upper_margin * self._towards_middle(u)

    def lower_rim(self, u: np.ndarray) -> np.ndarray:
        """Return v where the lower eyelid margin ends."""
        return self.lower(u) + self.lower_margin * self._towards_middle(u)

    def _towards_middle(self, u: np.ndarray) -> np.ndarray:
        """Weight that is 1 at the centre and 0 at and beyond the corners."""
        left, right = self.corners
        place = (2.0 * u - left - right) / (right - left)
        return np.sqrt(np.clip(1.0 - np.square(place), 0.0, 1.0)).astype(np.float32)

    def opening(self) -> np.ndarray:
        """Outline of the visible eyeball: polygon (n, 2) of u and v."""
        u = np.linspace(self.corners[0], self.corners[1], 90)
        return np.concatenate(
            [np.stack([u, self.upper(u)], 1), np.stack([u, self.lower(u)], 1)[::-1]]
        )


def draw_lids(rng: np.random.Generator, identity: EyeIdentity, capture: Capture) -> Lids:
    """Sample the eyelid edges, at the openings given by `capture`.

    Parameters
    ----------
    rng : numpy.random.Generator
        For small irregularities of the edges.
    identity : EyeIdentity
    capture : Capture

    Returns
    -------
    Lids
    """
    face = identity.face
    nasal_left = identity.eye == "L"
    left, right = (
        (-face.nasal_width, face.temporal_width)
        if nasal_left
        else (-face.temporal_width, face.nasal_width)
    )
    nasal_v, temporal_v = 0.36, 0.36 - face.tilt
    left_v, right_v = (nasal_v, temporal_v) if nasal_left else (temporal_v, nasal_v)

    crease = np.interp(_TABLE, [left, right], [left_v, right_v])
    slope = (right_v - left_v) / (right - left)
    before, beyond = np.maximum(left - _TABLE, 0.0), np.maximum(_TABLE - right, 0.0)
    crease += (0.25 - slope) * before + (0.25 + slope) * beyond

    place = np.clip((_TABLE - left) / (right - left) * 2.0 - 1.0, -1.0, 1.0)
    # Towards the nose the opening narrows to the slit with the caruncle.
    slit = np.clip((place + 1.0 if nasal_left else 1.0 - place) / rng.uniform(0.16, 0.30), 0.0, 1.0)
    slit = 0.25 + 0.75 * slit * slit * (3.0 - 2.0 * slit)
    # The apex of the upper arch lies slightly towards the nose, that of the lower away from it.
    lean = -0.10 if nasal_left else 0.10
    upper_arch = _arch(place, lean + rng.normal(0.0, 0.04), rng.uniform(1.9, 2.5)) * slit
    lower_arch = _arch(place, -lean + rng.normal(0.0, 0.04), rng.uniform(2.0, 2.8)) * slit
    middle = int(np.argmin(np.abs(_TABLE)))
    # The eyelids follow vertical gaze.
    gaze = 0.6 * float(np.sin(capture.gaze_y))
    upper = crease - upper_arch / upper_arch[middle] * (
        crease[middle] + capture.upper_opening - gaze
    )
    lower = crease + lower_arch / lower_arch[middle] * (
        capture.lower_opening + 0.5 * gaze - crease[middle]
    )
    wave = 0.012 * np.sin(_TABLE * rng.uniform(1.5, 4.0) + rng.uniform(0.0, 6.0))
    upper, lower = upper + wave, np.maximum(lower + wave, upper + wave)
    return Lids(
        (left, right),
        upper.astype(np.float32),
        lower.astype(np.float32),
        capture.upper_margin,
        capture.lower_margin,
    )


def _arch(place: np.ndarray, lean: float, power: float) -> np.ndarray:
    """Arch over -1..1: 0 at both ends, maximal at `lean`."""
    moved = np.where(place < lean, (place - lean) / (1.0 + lean), (place - lean) / (1.0 - lean))
    return 1.0 - np.abs(np.clip(moved, -1.0, 1.0)) ** power
