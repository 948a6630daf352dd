"""Sites: eyes as one camera sees them in one population, as in a real dataset."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from iris_tf.synthetic.camera import Camera
from iris_tf.synthetic.capture import Capture, draw_capture
from iris_tf.synthetic.eye_renderer import SyntheticEye, render_eye
from iris_tf.synthetic.iris_texture import draw_texture
from iris_tf.synthetic.synthetic_identity import EYES, EyeIdentity, Face, draw_face
from iris_tf.synthetic.variety import (
    draw_habitual_capture,
    draw_varied_camera,
    draw_varied_capture,
    draw_varied_face,
    with_limited_degradation,
)

_ALIKE_SHARE = 0.6  # of the sites have a population of a single style of texture
_GLASSES_SHARE = 0.4  # of the sites let subjects keep their glasses on
_SMALLEST_IRIS = 90.0  # diameter in image pixels
_SOFTEST = 0.009  # sigma of a site's usual blur, in iris diameters
_SHARPEST = 0.3  # sigma of the lens blur, in pixels
_LEAST_JPEG_QUALITY = 60
_SITES, _EYES = range(2)  # first elements of spawn keys


@dataclass(frozen=True)
class Site:
    """What the images of one camera have in common.

    Attributes
    ----------
    camera : Camera
    habit : Capture
        Usual light, distance, focus and place of reflections, and how eyelashes and lid margins
        are seen from the camera's height.
    style : numpy.random.SeedSequence or None
        Style of the population's textures; None if every texture has its own style.
    varied : bool
        Whether textures come from the wider range of structures.
    upper_opening, lower_opening : float
        How much wider than usual the population's eyes are open, in iris radii.
    lashes : float
        Factor on the density of eyelashes.
    lash_curl, lash_length : float
        Added to the curl and length of eyelashes.
    glasses : bool
        Whether subjects keep their glasses on.
    """

    camera: Camera
    habit: Capture
    style: np.random.SeedSequence | None
    varied: bool
    upper_opening: float
    lower_opening: float
    lashes: float
    lash_curl: float
    lash_length: float
    glasses: bool

    def face(self, rng: np.random.Generator) -> Face:
        """Sample the face of a subject of the site's population."""
        face = draw_varied_face(rng, draw_face(rng))
        return replace(
            face,
            upper_opening=float(np.clip(face.upper_opening + self.upper_opening, 0.35, 1.3)),
            lower_opening=float(np.clip(face.lower_opening + self.lower_opening, 0.6, 1.4)),
            lashes=float(np.clip(face.lashes * self.lashes, 0.15, 3.5)),
            lash_curl=float(np.clip(face.lash_curl + self.lash_curl, 0.0, 1.0)),
            lash_length=float(np.clip(face.lash_length + self.lash_length, 0.4, 1.8)),
            wears_glasses=face.wears_glasses and self.glasses,
        )

    def capture(self, rng: np.random.Generator, identity: EyeIdentity) -> Capture:
        """Sample the capture of one image."""
        usual = draw_capture(rng, identity)
        varied = _limited(draw_varied_capture(rng, identity, usual, self.camera))
        capture = draw_habitual_capture(rng, varied, self.habit, self.camera)
        return replace(
            capture,
            pupil_shift_x=usual.pupil_shift_x,
            pupil_shift_y=usual.pupil_shift_y,
            pupil_flattening=usual.pupil_flattening,
            hair_level=self.habit.hair_level,
            lash_width=self.habit.lash_width * float(rng.lognormal(0.0, 0.2)),
            upper_margin=self.habit.upper_margin,
            lower_margin=self.habit.lower_margin,
            margin_level=self.habit.margin_level,
            margin_line=self.habit.margin_line,
        )


def draw_site(seed: int, number: int) -> Site:
    """Sample a site.

    Parameters
    ----------
    seed, number : int
        0 or more; together they fully determine the site.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(_SITES, number))
    rng = np.random.default_rng(sequence)
    camera = draw_varied_camera(rng)
    if camera.jpeg_quality:
        camera = replace(camera, jpeg_quality=max(camera.jpeg_quality, _LEAST_JPEG_QUALITY))
    identity = EyeIdentity(0, "L", draw_varied_face(rng, draw_face(rng)), draw_texture(rng))
    habit = draw_varied_capture(rng, identity, draw_capture(rng, identity), camera)
    habit = _limited(habit)
    radius = max(habit.iris_radius, 0.5 * _SMALLEST_IRIS * camera.reduction)
    softest = max(_SOFTEST * 2.0 * radius, 1.0)
    return Site(
        camera,
        replace(habit, iris_radius=radius, defocus=min(habit.defocus, softest)),
        style=sequence.spawn(1)[0] if rng.random() < _ALIKE_SHARE else None,
        varied=bool(rng.random() < 0.7),
        upper_opening=float(rng.normal(0.05, 0.12)),
        lower_opening=float(rng.normal(0.0, 0.05)),
        lashes=float(rng.lognormal(0.0, 0.5)),
        lash_curl=float(rng.normal(0.0, 0.25)),
        lash_length=float(rng.normal(0.0, 0.15)),
        glasses=bool(rng.random() < _GLASSES_SHARE),
    )


def render_site_eye(
    site: Site, seed: int, number: int, eye: int, images: int
) -> Iterator[SyntheticEye]:
    """Render images of one eye at a site.

    Parameters
    ----------
    site : Site
        Of this `seed` and `number`.
    seed, number : int
        As for `draw_site`.
    eye : int
        Index of the eye, 0 or more.
    images : int
        How many.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(_EYES, number, eye))
    rng = np.random.default_rng(sequence)
    style = None if site.style is None else np.random.default_rng(site.style)
    texture = draw_texture(rng, site.varied, style)
    identity = EyeIdentity(eye, EYES[eye % 2], site.face(rng), texture)
    for _ in range(images):
        yield render_eye(identity, site.capture(rng, identity), rng, site.camera)


def _limited(capture: Capture) -> Capture:
    """Limit degradations that no operator accepts."""
    return replace(
        with_limited_degradation(capture),
        upper_opening=max(capture.upper_opening, 0.15),
        lower_opening=max(capture.lower_opening, 0.5),
    )
