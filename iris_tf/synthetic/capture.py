"""Capture conditions of one image: everything that varies between images of the same eye."""

import math
from dataclasses import dataclass, replace

import numpy as np

from iris_tf.imaging.geometry import Ellipse
from iris_tf.synthetic.synthetic_identity import EyeIdentity

IMAGE_SHAPE = (480, 640)
"""Height and width of every synthetic eye image, in pixels."""

IRIS_DIAMETERS = (90.0, 300.0)
PUPIL_RATIOS = (0.20, 0.65)
LED_PATTERNS = ("single", "pair", "eight", "large")
OTHER_LED_PATTERNS = ("ring", "bar", "grid", "scatter")

_PIVOT = 1.7  # from the eyeball's centre of rotation to the iris plane, in iris radii
_FRAME_MARGIN = 3.0  # minimum distance of the limbus from the image border, in pixels


@dataclass(frozen=True)
class Capture:
    """Parameters of one image; lengths in pixels and angles in radians unless stated.

    Attributes
    ----------
    socket_x, socket_y : float
        Where the iris centre would be if the eye looked straight into the camera.
    iris_radius : float
        Half the limbus diameter before foreshortening.
    pupil_ratio : float
        Pupil radius over iris radius, 0.15..0.72.
    roll : float
        Head tilt, from +x towards +y; rotates everything, including the texture.
    torsion : float
        Rotation of the eyeball within its socket, in addition to `roll`.
    gaze_x, gaze_y : float
        Gaze direction relative to the optical axis, in the socket frame.
    pupil_shift_x, pupil_shift_y : float
        Offset of the pupil centre from the iris centre, in iris radii, in the socket frame.
    pupil_flattening, pupil_axis : float
        Fraction by which the pupil's minor axis is shorter, and direction of the major axis.
    upper_opening, lower_opening : float
        Distance of the eyelid edges above and below the socket centre, in iris radii.
    led_pattern : str
        One of `LED_PATTERNS` or `OTHER_LED_PATTERNS`.
    led_size, led_x, led_y : float
        Radius of a reflection, and offset of the pattern's centre from the iris centre, in iris
        radii.
    glasses : bool
        Whether the subject wears glasses: frame, haze and possibly glare.
    glare_spots : int
        Number of reflections of the light source in the lenses.
    light_x, light_y : float
        Relative increase of brightness across half the image width and height.
    falloff : float
        Loss of brightness from the image centre to the left and right edges (vignetting).
    gain, gamma : float
        Sensor response ``gain * light ** gamma``.
    defocus : float
        Sigma of the defocus blur.
    motion, motion_angle : float
        Length and direction of the motion blur.
    sharpening : float
        Strength of the unsharp mask in the camera; 0 for none.
    noise : float
        Standard deviation of the sensor noise at mid-grey, in grey levels.
    pupil_level : float
        Reflectance of the pupil; high for a hazy lens.
    iris_gain, texture_gain : float
        Factors on the mean reflectance of the iris and on the contrast of its texture.
    limbus_width : float
        Half width of the soft edge at the limbus, in iris radii.
    hair_level : float
        Reflectance of eyelashes and brow.
    lash_width : float
        Factor on the width of the eyelashes; above 1 for mascara.
    eyeliner : float
        Width of a dark line along the edge of the upper eyelid, in iris radii; 0 for none.
    lens_edge : float
        Radius of the visible edge of a contact lens, in iris radii; 0 for none.
    strands : int
        Number of scalp hairs across the eye.
    upper_margin, lower_margin : float
        Visible width of the eyelid margins, between eyeball and eyelashes, in iris radii.
    margin_level : float
        Reflectance of the eyelid margins relative to the skin.
    margin_line : float
        Darkness of the line where eyelid and eyeball meet, 0..1.
    """

    socket_x: float
    socket_y: float
    iris_radius: float
    pupil_ratio: float
    roll: float
    torsion: float
    gaze_x: float
    gaze_y: float
    pupil_shift_x: float
    pupil_shift_y: float
    pupil_flattening: float
    pupil_axis: float
    upper_opening: float
    lower_opening: float
    led_pattern: str
    led_size: float
    led_x: float
    led_y: float
    glasses: bool
    glare_spots: int
    light_x: float
    light_y: float
    falloff: float
    gain: float
    gamma: float
    defocus: float
    motion: float
    motion_angle: float
    sharpening: float
    noise: float
    pupil_level: float = 0.035
    iris_gain: float = 1.0
    texture_gain: float = 1.0
    limbus_width: float = 0.045
    hair_level: float = 0.06
    lash_width: float = 1.0
    eyeliner: float = 0.0
    lens_edge: float = 0.0
    strands: int = 0
    upper_margin: float = 0.0
    lower_margin: float = 0.0
    margin_level: float = 1.0
    margin_line: float = 0.0

    @property
    def rotation(self) -> np.ndarray:
        """Rotation matrix (2, 2) from the socket frame to the image frame."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return np.array([[cos, -sin], [sin, cos]])

    @property
    def texture_angle(self) -> float:
        """Angle of the first texture column in the image frame, in radians."""
        return self.roll + self.torsion

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Map socket coordinates (n, 2), in iris radii, to pixels (n, 2)."""
        rotated = np.asarray(points) @ self.rotation.T
        return rotated * self.iris_radius + (self.socket_x, self.socket_y)

    def to_fixed(self, points: np.ndarray) -> np.ndarray:
        """Map socket coordinates (n, 2) to OpenCV fixed point, sixteenths of a pixel (n, 2)."""
        return np.round(self.to_image(points) * 16).astype(np.int32)

    def iris_ellipse(self) -> Ellipse:
        """Limbus outline: a circle on the rotated eyeball, projected to the image."""
        off_axis = math.hypot(self.gaze_x, self.gaze_y)
        shift = _PIVOT * np.sin([self.gaze_x, self.gaze_y])
        x, y = self.to_image(shift[None])[0]
        across = math.atan2(self.gaze_y, self.gaze_x) + self.roll if off_axis else 0.0
        return Ellipse(
            float(x), float(y), self.iris_radius * math.cos(off_axis), self.iris_radius, across
        )

    def pupil_ellipse(self) -> Ellipse:
        """Pupil outline: nearly a circle in the iris plane, foreshortened like the iris."""
        iris = self.iris_ellipse()
        shift = self.rotation @ (self.pupil_shift_x, self.pupil_shift_y)
        own = _axes_matrix(1.0, 1.0 - self.pupil_flattening, self.pupil_axis)
        matrix = _axes_matrix(iris.a, iris.b, iris.angle) @ own * self.pupil_ratio
        # The singular vectors are the axes of the ellipse to which the unit circle maps.
        left, axes, _ = np.linalg.svd(matrix)
        return Ellipse(
            iris.x + float(shift[0]) * self.iris_radius,
            iris.y + float(shift[1]) * self.iris_radius,
            float(axes[0]),
            float(axes[1]),
            math.atan2(left[1, 0], left[0, 0]),
        )


def _axes_matrix(a: float, b: float, angle: float) -> np.ndarray:
    """Symmetric matrix that maps the unit circle to an ellipse (2, 2)."""
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[cos, -sin], [sin, cos]])
    return rotation @ np.diag([a, b]) @ rotation.T


def _mostly(rng: np.random.Generator, usual: float, hard: float, share: float) -> float:
    """Normal deviation with sigma `usual` for most images and `hard` for a `share` of them."""
    return float(rng.normal(0.0, hard if rng.random() < share else usual))


def draw_capture(rng: np.random.Generator, identity: EyeIdentity) -> Capture:
    """Sample the capture of one image: mostly of a cooperative subject, sometimes of low quality.

    Parameters
    ----------
    rng : numpy.random.Generator
    identity : EyeIdentity

    Returns
    -------
    Capture
    """
    face = identity.face
    nasal = -1.0 if identity.eye == "L" else 1.0
    if rng.random() < 0.85:
        diameter = float(np.clip(rng.normal(200.0, 24.0), *IRIS_DIAMETERS))
    else:
        diameter = float(rng.uniform(*IRIS_DIAMETERS))
    radius = diameter / 2
    ratio = float(np.clip(rng.normal(face.pupil_ratio, 0.07), *PUPIL_RATIOS))

    squint = abs(_mostly(rng, 0.05, 0.28, 0.15))
    upper = float(np.clip(face.upper_opening + rng.normal(0.02, 0.06) - squint, 0.0, 1.25))
    lower = float(np.clip(face.lower_opening + rng.normal(0.0, 0.04) - 0.25 * squint, 0.6, 1.3))

    glasses = face.wears_glasses and bool(rng.random() < 0.75)
    defocus = 0.55 + abs(_mostly(rng, 0.35, 1.3, 0.12))
    capture = Capture(
        socket_x=IMAGE_SHAPE[1] / 2 + float(rng.normal(0.0, 30.0)),
        socket_y=IMAGE_SHAPE[0] / 2 + float(rng.normal(8.0, 25.0)),
        iris_radius=radius,
        pupil_ratio=ratio,
        roll=_mostly(rng, math.radians(3.5), math.radians(10.0), 0.1),
        torsion=float(rng.normal(0.0, math.radians(1.0))),
        gaze_x=_mostly(rng, math.radians(3.5), math.radians(12.0), 0.1),
        gaze_y=_mostly(rng, math.radians(3.0), math.radians(8.0), 0.1),
        pupil_shift_x=nasal * 0.03 + float(rng.normal(0.0, 0.02)),
        pupil_shift_y=-0.01 + float(rng.normal(0.0, 0.02)),
        pupil_flattening=float(np.clip(abs(rng.normal(0.0, 0.025)), 0.0, 0.08)),
        pupil_axis=float(rng.uniform(0.0, math.pi)),
        upper_opening=upper,
        lower_opening=lower,
        led_pattern=str(rng.choice(LED_PATTERNS, p=(0.25, 0.38, 0.27, 0.10))),
        led_size=float(np.clip(rng.lognormal(math.log(0.034), 0.3), 0.018, 0.07)),
        led_x=float(rng.normal(0.0, 0.10)),
        led_y=float(rng.normal(0.0, 0.10)),
        glasses=glasses,
        glare_spots=int(rng.poisson(0.9)) if glasses else 0,
        light_x=float(rng.normal(0.0, 0.12)),
        light_y=float(rng.normal(0.0, 0.10)),
        falloff=float(rng.uniform(0.02, 0.30)),
        gain=float(np.clip(rng.normal(1.0, 0.10), 0.7, 1.35)),
        gamma=float(np.clip(rng.normal(1.0, 0.10), 0.75, 1.3)),
        defocus=defocus,
        motion=float(rng.uniform(2.0, 9.0)) if rng.random() < 0.08 else 0.0,
        motion_angle=float(rng.uniform(0.0, math.pi)),
        sharpening=float(rng.uniform(0.2, 1.2)) if rng.random() < 0.4 else 0.0,
        noise=float(np.clip(rng.lognormal(math.log(2.2), 0.4), 0.8, 6.0)),
    )
    return _inside_frame(capture)


def _inside_frame(capture: Capture) -> Capture:
    """Shift the eye so that the whole limbus is inside the image, as an aimed camera would."""
    height, width = IMAGE_SHAPE
    iris = capture.iris_ellipse()
    reach = capture.iris_radius + _FRAME_MARGIN
    x = min(max(iris.x, reach), width - 1 - reach)
    y = min(max(iris.y, reach), height - 1 - reach)
    return replace(
        capture,
        socket_x=capture.socket_x + x - iris.x,
        socket_y=capture.socket_y + y - iris.y,
    )
