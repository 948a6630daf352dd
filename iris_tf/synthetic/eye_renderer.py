"""Renders an eye image and its ground truth."""

from dataclasses import dataclass

import cv2
import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.synthetic.camera import Camera
from iris_tf.synthetic.capture import IMAGE_SHAPE, Capture
from iris_tf.synthetic.hair import draw_brow, draw_lashes, draw_strands
from iris_tf.synthetic.iris_renderer import draw_iris, draw_lens_edge
from iris_tf.synthetic.lid_margins import draw_margin_lines, draw_margins
from iris_tf.synthetic.lids import draw_lids
from iris_tf.synthetic.optics import (
    draw_frame,
    draw_glare,
    draw_glints,
    draw_highlights,
    expose,
    light_field,
)
from iris_tf.synthetic.skin import draw_eyeball, draw_skin
from iris_tf.synthetic.synthetic_identity import EyeIdentity

_SPOT_LEVEL = 1.6
_COVERED = 90  # coverage (0..255) above which hair or light occludes the iris


@dataclass(frozen=True)
class SyntheticEye:
    """A synthetic eye image with its exact ground truth.

    Attributes
    ----------
    image : ndarray of shape (height, width), uint8
    pupil, iris : Ellipse
        Outlines that the image was rendered from.
    visible : ndarray of shape (height, width), bool
        The ring between the outlines minus eyelids, eyelashes, highlights, glare and frames.
    opening : ndarray of shape (height, width), bool
        Eyeball between the eyelids, including what eyelashes cover.
    """

    image: np.ndarray
    pupil: Ellipse
    iris: Ellipse
    visible: np.ndarray
    opening: np.ndarray


def render_eye(
    identity: EyeIdentity,
    capture: Capture,
    rng: np.random.Generator,
    camera: Camera | None = None,
) -> SyntheticEye:
    """Render one image of an eye.

    Parameters
    ----------
    identity : EyeIdentity
        The eye to render.
    capture : Capture
        The capture conditions.
    rng : numpy.random.Generator
        For details without a parameter: individual hairs, skin grain, sensor noise.
    camera : Camera, optional
        Camera model; None for the plain camera of `IMAGE_SHAPE`.

    Returns
    -------
    SyntheticEye
    """
    pupil, iris = capture.pupil_ellipse(), capture.iris_ellipse()
    lids = draw_lids(rng, identity, capture)

    eyeball, shade = draw_eyeball(rng, identity, capture, lids)
    draw_iris(eyeball, identity.texture, pupil, iris, capture)
    if capture.lens_edge:
        draw_lens_edge(eyeball, iris, capture, float(rng.uniform(-0.12, 0.12)))
    eyeball *= shade

    opening = np.zeros(IMAGE_SHAPE, np.uint8)
    outline = capture.to_fixed(lids.opening())
    cv2.fillPoly(opening, [outline], 255, cv2.LINE_AA, 4)
    opened = cv2.GaussianBlur(opening, (0, 0), 0.012 * capture.iris_radius + 0.4)
    scene = draw_skin(rng, identity, capture, lids)
    _blend(scene, opened, eyeball)
    if capture.upper_margin or capture.lower_margin:
        margins, level = draw_margins(rng, identity, capture, lids)
        _blend(scene, margins, level)
    if capture.margin_line:
        _blend(scene, draw_margin_lines(rng, capture, lids), np.float32(capture.hair_level))

    lashes = draw_lashes(rng, identity, capture, lids)
    soft_lashes = cv2.GaussianBlur(lashes, (0, 0), 0.006 * capture.iris_radius + 0.3)
    _blend(scene, soft_lashes, np.float32(capture.hair_level), 0.92)
    brow = draw_brow(rng, identity, capture)
    if brow is not None:
        _blend(scene, brow, np.float32(capture.hair_level + 0.10), 0.75)
    hidden = soft_lashes
    if capture.strands:
        strands = draw_strands(rng, capture)
        _blend(scene, strands, np.float32(capture.hair_level), 0.92)
        hidden = np.maximum(hidden, strands)
    scene *= light_field(capture)

    highlights = draw_highlights(rng, capture, iris)
    np.minimum(highlights, opening, out=highlights)
    draw_glints(rng, capture, lids, highlights)
    _blend(scene, highlights, np.float32(_SPOT_LEVEL))
    hidden = np.maximum(hidden, highlights)
    if capture.glasses:
        glare = draw_glare(rng, capture)
        scene += np.float32(rng.uniform(0.0, 0.05))
        _blend(scene, glare, np.float32(_SPOT_LEVEL))
        frame = draw_frame(rng, capture)
        _blend(scene, frame, np.float32(rng.uniform(0.05, 0.35)))
        hidden = np.maximum(hidden, np.maximum(glare, frame))

    covered = None
    if camera is not None:
        scene, opening, hidden = (camera.view(part) for part in (scene, opening, hidden))
        pupil, iris = camera.outline(pupil), camera.outline(iris)
        covered = camera.covered()
    image = expose(rng, capture, scene)
    if camera is not None:
        image = camera.record(image, pupil)
        if camera.painted_pupil >= 0.0:
            hidden[pupil.mask(camera.shape)] = 0
    ring = iris.mask(image.shape) & ~pupil.mask(image.shape)
    # Occluders are blurred in the image like everything else.
    blurred = cv2.GaussianBlur(hidden, (0, 0), capture.defocus)
    between_lids: np.ndarray = opening > 127
    if covered is not None:
        between_lids = between_lids & ~covered
    visible = ring & between_lids & (blurred < _COVERED)
    return SyntheticEye(image, pupil, iris, visible, between_lids)


def _blend(
    scene: np.ndarray, coverage: np.ndarray, top: np.ndarray | np.float32, strength: float = 1.0
) -> None:
    """Blend `top` over `scene` in place, with alpha from `coverage` (uint8) and `strength`."""
    alpha = coverage * np.float32(strength / 255.0)
    alpha *= top - scene
    scene += alpha
