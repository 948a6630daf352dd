"""Eyes, captures and cameras as diverse as across real datasets, for training segmenters."""

import math
from dataclasses import replace

import numpy as np

from iris_tf.synthetic.camera import Camera
from iris_tf.synthetic.capture import (
    IMAGE_SHAPE,
    LED_PATTERNS,
    OTHER_LED_PATTERNS,
    Capture,
)
from iris_tf.synthetic.synthetic_identity import EyeIdentity, Face

_SHAPES = ((480, 640), (240, 320), (280, 320), (300, 400), (400, 400))
_SHAPE_SHARES = (0.34, 0.30, 0.20, 0.08, 0.08)
_PATTERNS = (*LED_PATTERNS, *OTHER_LED_PATTERNS)
_PATTERN_SHARES = (0.2, 0.15, 0.15, 0.14, 0.12, 0.08, 0.08, 0.08)
_DISTANCES = ((0.60, 1.05), (0.38, 0.62), (0.18, 0.40))  # iris diameters, in image heights
_DISTANCE_SHARES = (0.4, 0.4, 0.2)
_SMALLEST_IRIS = 70.0  # diameter in image pixels
_LEAST_TEXTURE_GAIN = 0.5
_LEAST_GAIN = 0.6
_MOST_NOISE = 5.0  # grey levels
_MOST_MOTION = 4.0  # pixels


def draw_varied_face(rng: np.random.Generator, face: Face) -> Face:
    """Replace the appearance of a face by one from a wide range.

    Skin, sclera, eyelashes, eyelids, proportions and pupil are sampled from wider ranges
    than those of `draw_face`. Of `face`, only the eyelid fold is kept.
    """
    made_up = rng.random() < 0.2
    return replace(
        face,
        skin=float(rng.uniform(0.28, 0.95)),
        sclera=float(rng.uniform(0.38, 0.95)),
        nasal_width=float(np.clip(rng.normal(2.3, 0.3), 1.6, 3.2)),
        temporal_width=float(np.clip(rng.normal(2.5, 0.3), 1.7, 3.4)),
        tilt=float(rng.normal(0.2, 0.2)),
        upper_opening=float(np.clip(rng.normal(0.82, 0.18), 0.35, 1.3)),
        lower_opening=float(np.clip(rng.normal(0.97, 0.12), 0.6, 1.4)),
        lashes=float(np.clip(rng.lognormal(0.1, 0.6) * (1.6 if made_up else 1.0), 0.15, 3.5)),
        lash_curl=float(rng.uniform(0.0, 1.0)),
        lash_length=float(np.clip(rng.normal(1.0, 0.3), 0.4, 1.8)),
        brow=float(rng.normal(2.8, 0.5)),
        pupil_ratio=float(np.clip(rng.normal(0.40, 0.11), 0.18, 0.68)),
        wears_glasses=bool(rng.random() < 0.2),
    )


def draw_varied_camera(rng: np.random.Generator) -> Camera:
    """Sample a camera: image size, tone, borders, compression."""
    shape = _SHAPES[int(rng.choice(len(_SHAPES), p=_SHAPE_SHARES))]
    if rng.random() < 0.1:
        height = int(rng.integers(180, 481))
        shape = height, int(np.clip(height * rng.uniform(0.9, 1.6), 180, 640))
    kind = rng.random()
    borders, round_mask = np.zeros(4), 0.0
    if kind < 0.07:
        borders = rng.uniform(0.01, 0.12, 4) * (rng.random(4) < 0.5)
    elif kind < 0.10:
        round_mask = float(rng.uniform(0.72, 0.98))
    top, bottom, left, right = borders
    tone = rng.random()
    return Camera(
        shape=shape,
        painted_pupil=float(rng.uniform(0.0, 110.0)) if rng.random() < 0.09 else -1.0,
        black=float(rng.uniform(0.0, 70.0)) if tone < 0.25 else 0.0,
        white=float(rng.uniform(130.0, 255.0)) if tone < 0.35 else 255.0,
        equalisation=float(rng.uniform(1.0, 4.0)) if rng.random() < 0.06 else 0.0,
        interlace=float(rng.uniform(-3.0, 3.0)) if rng.random() < 0.02 else 0.0,
        borders=(float(top), float(bottom), float(left), float(right)),
        border_level=float(rng.choice([0.0, 255.0, rng.uniform(0.0, 255.0)])),
        round_mask=round_mask,
        jpeg_quality=int(rng.integers(18, 96)) if rng.random() < 0.5 else 0,
    )


def draw_varied_capture(
    rng: np.random.Generator, identity: EyeIdentity, usual: Capture, camera: Camera
) -> Capture:
    """Replace a usual capture by one from the whole range across real datasets.

    Parameters
    ----------
    rng : numpy.random.Generator
    identity : EyeIdentity
        With a face from `draw_varied_face`.
    usual : Capture
        From `draw_capture`; fields that are not sampled here keep its values.
    camera : Camera

    Returns
    -------
    Capture
        Lengths in scene pixels, `Camera.reduction` times those in image pixels.
    """
    face = identity.face
    height, width = camera.shape
    low, high = _DISTANCES[int(rng.choice(len(_DISTANCES), p=_DISTANCE_SHARES))]
    diameter = max(rng.uniform(low, high) * height, _SMALLEST_IRIS)  # in image pixels

    squint = abs(rng.normal(0.0, 0.35 if rng.random() < 0.25 else 0.06))
    upper = face.upper_opening + rng.normal(0.02, 0.08) - squint
    lower = face.lower_opening + rng.normal(0.0, 0.06) - 0.25 * squint
    if rng.random() < 0.03:  # closed, or nearly
        upper, lower = rng.uniform(-0.6, 0.0), rng.uniform(0.0, 0.7)

    # Irises range from much darker than the sclera to nearly the same as the sclera,
    contrast = rng.uniform(0.75, 1.02) if rng.random() < 0.3 else rng.uniform(0.3, 0.85)
    iris_level = face.sclera * contrast
    # or as the skin; pupils range from black to hazy.
    if rng.random() < 0.12:
        iris_level = face.skin * rng.uniform(0.9, 1.1)
    iris_level = float(np.clip(iris_level, 0.12, 0.85))
    haze = rng.uniform(0.3, 0.75) if rng.random() < 0.3 else rng.uniform(0.0, 0.3)
    softest = 1.0 if rng.random() < 0.6 else 0.5 + 0.02 * diameter
    capture = replace(
        usual,
        socket_x=IMAGE_SHAPE[1] / 2 + float(rng.normal(0.0, 0.09)) * width * camera.reduction,
        socket_y=IMAGE_SHAPE[0] / 2 + float(rng.normal(0.0, 0.09)) * height * camera.reduction,
        iris_radius=diameter * camera.reduction / 2,
        pupil_ratio=float(np.clip(rng.normal(face.pupil_ratio, 0.09), 0.15, 0.72)),
        roll=float(rng.normal(0.0, math.radians(14.0 if rng.random() < 0.3 else 4.0))),
        gaze_x=float(rng.normal(0.0, math.radians(14.0 if rng.random() < 0.25 else 4.0))),
        gaze_y=float(rng.normal(0.0, math.radians(10.0 if rng.random() < 0.25 else 4.0))),
        pupil_shift_x=float(rng.normal(0.0, 0.035)),
        pupil_shift_y=float(rng.normal(0.0, 0.03)),
        pupil_flattening=float(np.clip(abs(rng.normal(0.0, 0.04)), 0.0, 0.13)),
        upper_opening=float(np.clip(upper, -0.6, 1.5)),
        lower_opening=float(np.clip(lower, 0.0, 1.5)),
        led_pattern=str(rng.choice(_PATTERNS, p=_PATTERN_SHARES)),
        led_size=float(np.clip(rng.lognormal(math.log(0.04), 0.5), 0.012, 0.14)),
        led_x=float(rng.normal(0.0, 0.3 if rng.random() < 0.3 else 0.1)),
        led_y=float(rng.normal(0.0, 0.3 if rng.random() < 0.3 else 0.1)),
        light_x=float(rng.normal(0.0, 0.25)),
        light_y=float(rng.normal(0.0, 0.2)),
        falloff=float(rng.uniform(0.0, 0.5)),
        gain=float(np.clip(rng.normal(0.95, 0.22), 0.4, 1.7)),
        gamma=float(np.clip(rng.lognormal(0.0, 0.3), 0.5, 1.9)),
        defocus=float(rng.uniform(0.3, softest)),
        motion=float(rng.uniform(1.5, 9.0)) if rng.random() < 0.08 else 0.0,
        sharpening=float(rng.uniform(0.2, 2.0)) if rng.random() < 0.4 else 0.0,
        noise=float(np.clip(rng.lognormal(math.log(2.5), 0.6), 0.3, 12.0)),
        pupil_level=float(iris_level * haze),
        iris_gain=iris_level / identity.texture.level,
        texture_gain=float(np.clip(rng.lognormal(math.log(0.9), 0.5), 0.15, 2.5)),
        limbus_width=float(rng.uniform(0.01, 0.13)),
        hair_level=float(rng.uniform(0.02, 0.30)),
        lash_width=float(np.clip(rng.lognormal(0.0, 0.4), 0.5, 2.6)),
        eyeliner=float(rng.uniform(0.03, 0.2)) if rng.random() < 0.12 else 0.0,
        lens_edge=float(rng.uniform(1.04, 1.3)) if rng.random() < 0.08 else 0.0,
        strands=int(rng.integers(1, 12)) if rng.random() < 0.04 else 0,
        # From slightly below, the margin of the upper eyelid is visible under the eyelashes.
        upper_margin=float(rng.uniform(0.03, 0.28)) if rng.random() < 0.5 else 0.0,
        lower_margin=float(rng.uniform(0.03, 0.18)) if rng.random() < 0.5 else 0.0,
        margin_level=float(rng.uniform(0.65, 1.3)),
        margin_line=float(rng.uniform(0.15, 1.0)) if rng.random() < 0.7 else 0.0,
    )
    return _mostly_in_view(capture, camera)


def draw_habitual_capture(
    rng: np.random.Generator, varied: Capture, habit: Capture, camera: Camera
) -> Capture:
    """Adapt a varied capture to the usual conditions of a site.

    A real dataset has one camera, one illumination and one distance; its images differ in
    eyelids, pupil, gaze, slight blur and position of the subject.

    Parameters
    ----------
    rng : numpy.random.Generator
    varied : Capture
        From `draw_varied_capture` for this eye; supplies what varies, such as the eyelids.
    habit : Capture
        From `draw_varied_capture` for any eye: the site's illumination, distance and sensor.
    camera : Camera
        The site's camera.

    Returns
    -------
    Capture
    """
    blurred = rng.random() < 0.1
    blur = abs(rng.normal(0.0, 0.008 if blurred else 0.0015)) * 2.0 * habit.iris_radius
    capture = replace(
        varied,
        iris_radius=habit.iris_radius * float(np.clip(rng.normal(1.0, 0.06), 0.8, 1.2)),
        roll=float(rng.normal(0.0, math.radians(9.0 if rng.random() < 0.12 else 3.5))),
        gaze_x=float(rng.normal(0.0, math.radians(12.0 if rng.random() < 0.12 else 4.0))),
        gaze_y=float(rng.normal(0.0, math.radians(8.0 if rng.random() < 0.12 else 3.0))),
        led_pattern=habit.led_pattern,
        led_size=habit.led_size,
        led_x=habit.led_x + float(rng.normal(0.0, 0.05)),
        led_y=habit.led_y + float(rng.normal(0.0, 0.05)),
        light_x=habit.light_x + float(rng.normal(0.0, 0.08)),
        light_y=habit.light_y + float(rng.normal(0.0, 0.06)),
        falloff=habit.falloff,
        gain=habit.gain * float(rng.normal(1.0, 0.06)),
        gamma=habit.gamma,
        defocus=habit.defocus + float(blur),
        motion=varied.motion if rng.random() < 0.5 else 0.0,
        sharpening=habit.sharpening,
        noise=habit.noise * float(rng.lognormal(0.0, 0.1)),
        pupil_level=habit.pupil_level,
        iris_gain=habit.iris_gain * float(rng.normal(1.0, 0.03)),
        texture_gain=habit.texture_gain * float(rng.lognormal(0.0, 0.1)),
        limbus_width=habit.limbus_width,
    )
    return _mostly_in_view(capture, camera)


def with_limited_degradation(capture: Capture) -> Capture:
    """Limit degradations that destroy the texture: segmenters must handle them, matchers cannot."""
    return replace(
        capture,
        texture_gain=max(capture.texture_gain, _LEAST_TEXTURE_GAIN),
        noise=min(capture.noise, _MOST_NOISE),
        gain=max(capture.gain, _LEAST_GAIN),
        motion=min(capture.motion, _MOST_MOTION),
    )


def _mostly_in_view(capture: Capture, camera: Camera) -> Capture:
    """Shift the eye so that the image border cuts off little of the iris, as in close-ups."""
    iris = capture.iris_ellipse()
    moved = []
    sides = camera.shape[::-1]
    for place, corner, side in zip((iris.x, iris.y), camera.corner, sides, strict=True):
        extent = side * camera.reduction
        reach = min(0.85 * capture.iris_radius, extent / 2)
        moved.append(min(max(place, corner + reach), corner + extent - reach) - place)
    return replace(
        capture, socket_x=capture.socket_x + moved[0], socket_y=capture.socket_y + moved[1]
    )
