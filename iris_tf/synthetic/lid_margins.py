"""Eyelid margins: the bare band between eyeball and eyelashes, and its dark line of contact."""

import cv2
import numpy as np

from iris_tf.synthetic.capture import IMAGE_SHAPE, Capture
from iris_tf.synthetic.lids import Lids
from iris_tf.synthetic.skin import grain
from iris_tf.synthetic.synthetic_identity import EyeIdentity

_POINTS = 60  # per eyelid


def draw_margins(
    rng: np.random.Generator, identity: EyeIdentity, capture: Capture, lids: Lids
) -> tuple[np.ndarray, np.ndarray]:
    """Render the margins of both eyelids, between eyeball and eyelashes.

    Margins are smooth, have the grey level of many irises, and lie inside the eyelashes: a
    segmenter that takes the eyelashes for the eyelid edge labels margins as iris.

    Returns
    -------
    coverage : ndarray of shape `IMAGE_SHAPE`, uint8
    level : ndarray of shape `IMAGE_SHAPE`, float32
        Reflectance.
    """
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    u = np.linspace(*lids.corners, _POINTS)
    for edge, rim in ((lids.upper, lids.upper_rim), (lids.lower, lids.lower_rim)):
        band = np.concatenate([np.stack([u, edge(u)], 1), np.stack([u, rim(u)], 1)[::-1]])
        cv2.fillPoly(canvas, [capture.to_fixed(band)], 255, cv2.LINE_AA, 4)
    coverage = cv2.GaussianBlur(canvas, (0, 0), 0.010 * capture.iris_radius + 0.4)
    tone = identity.face.skin * capture.margin_level
    return coverage, np.float32(tone) * (1.0 + np.float32(0.02) * grain(rng, IMAGE_SHAPE))


def draw_margin_lines(rng: np.random.Generator, capture: Capture, lids: Lids) -> np.ndarray:
    """Render the dark lines where the eyelids meet the eyeball, and along the lower margin.

    Returns
    -------
    ndarray of shape `IMAGE_SHAPE`, uint8
        Coverage, 0..255.
    """
    canvas = np.zeros(IMAGE_SHAPE, np.uint8)
    u = np.linspace(*lids.corners, _POINTS)
    for curve, share in ((lids.upper, 1.0), (lids.lower, 0.8), (lids.lower_rim, 0.4)):
        coverage = int(255 * capture.margin_line * share * rng.uniform(0.3, 1.0))
        width = max(int(capture.iris_radius * rng.uniform(0.008, 0.04)), 1)
        line = capture.to_fixed(np.stack([u, curve(u)], axis=1))
        cv2.polylines(canvas, [line], False, coverage, width, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), 0.006 * capture.iris_radius + 0.3)
