"""Training samples for segmentation networks: windows on synthetic eyes with exact masks."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.support.files import atomic_path
from iris_tf.support.parallel import one_opencv_thread
from iris_tf.synthetic.camera import Camera
from iris_tf.synthetic.capture import Capture, draw_capture
from iris_tf.synthetic.eye_renderer import SyntheticEye, render_eye
from iris_tf.synthetic.iris_renderer import outline_distance
from iris_tf.synthetic.iris_texture import IrisTexture, draw_texture
from iris_tf.synthetic.synthetic_identity import EYES, EyeIdentity, draw_face
from iris_tf.synthetic.variety import (
    draw_varied_camera,
    draw_varied_capture,
    draw_varied_face,
)

LOOKS = {"whole": None, "close": (0.15, 0.45, 0.85), "last": (0.05, 0.65, 0.85)}
"""Kinds of windows: ``whole`` is the whole image; ``close`` shows a large, roughly central iris;
``last`` resembles the last window of `iris_tf.segmentation.network_segmenter`. Values: standard
deviation of the window position in iris radii, and least and greatest share of the window height
that the iris diameter takes; None for the whole image."""

_EYES_PER_TEXTURE = 6  # generating a texture costs as much as rendering that many eyes
_PLAIN_SHARE = 0.15
_LEAST_VISIBLE = 0.04  # of the ring; the iris under closed eyelids cannot be localised
COVERAGE_STEPS = 15
"""Coverage is stored in 4 bits."""

PACKED = 3
"""Bytes of a packed pixel: grey level, and two with two coverages each."""


def draw_varied_eye(
    rng: np.random.Generator, texture: IrisTexture
) -> tuple[EyeIdentity, Capture, Camera]:
    """Sample identity, capture and camera from the whole range of real datasets."""
    face = draw_varied_face(rng, draw_face(rng))
    identity = EyeIdentity(0, str(rng.choice(EYES)), face, texture)
    camera = draw_varied_camera(rng)
    capture = draw_varied_capture(rng, identity, draw_capture(rng, identity), camera)
    return identity, capture, camera


def draw_eyes(
    seed: int, number: int, eyes: int
) -> Iterator[tuple[SyntheticEye, np.random.Generator]]:
    """Generate `eyes` varied synthetic eyes.

    Parameters
    ----------
    seed, number : int
        Seed and batch number; together they fully determine the eyes.
    eyes : int

    Yields
    ------
    eye : SyntheticEye
    rng : numpy.random.Generator
        For whatever the caller samples next for this eye.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))
    for index in range(eyes):
        if index % _EYES_PER_TEXTURE == 0:
            texture = draw_texture(rng)
        if rng.random() < _PLAIN_SHARE:
            identity = EyeIdentity(0, str(rng.choice(EYES)), draw_face(rng), texture)
            eye = render_eye(identity, draw_capture(rng, identity), rng)
        else:
            identity, capture, camera = draw_varied_eye(rng, texture)
            eye = render_eye(identity, capture, rng, camera)
        yield eye, rng


def sample_size(height: int) -> tuple[int, int]:
    """Height and width of samples, for a `height` that is a multiple of 3: windows are 4:3."""
    return height, height * 4 // 3


def training_sample(
    eye: SyntheticEye, window: Window, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one training sample: an eye seen through a window.

    Parameters
    ----------
    eye : SyntheticEye
    window : Window
    height : int
        Height of the network input in pixels; a multiple of 3.

    Returns
    -------
    image : ndarray of shape `sample_size`, uint8
    target : ndarray of shape (height, width, 4), float32
        Coverage 0..1 of the `CHANNELS`.
    """
    size = sample_size(height)
    ring = np.pi * (eye.iris.a * eye.iris.b - eye.pupil.a * eye.pupil.b)
    found = eye.visible.sum() > _LEAST_VISIBLE * ring
    outlines = [
        _coverage(window.inwards(outline, height), size) if found else np.zeros(size, np.float32)
        for outline in (eye.pupil, eye.iris)
    ]
    visible, opening = (
        window.cut(mask.astype(np.float32), height) for mask in (eye.visible & found, eye.opening)
    )
    target = np.stack([visible, *outlines, opening], axis=-1)
    return window.cut(eye.image, height), target


def _coverage(ellipse: Ellipse, size: tuple[int, int]) -> np.ndarray:
    x = np.arange(size[1], dtype=np.float32)[None, :]
    y = np.arange(size[0], dtype=np.float32)[:, None]
    return np.clip(0.5 - outline_distance(ellipse, x, y), 0.0, 1.0)


def look_window(rng: np.random.Generator, eye: SyntheticEye, look: str) -> Window:
    """Sample a window on an eye, of one of the `LOOKS`."""
    spread = LOOKS[look]
    if spread is None:
        return Window.whole(eye.image.shape)
    shift, least, most = spread
    radius = eye.iris.radius
    x, y = (eye.iris.x, eye.iris.y) + rng.normal(0.0, shift, 2) * radius
    return Window.around(float(x), float(y), 2 * radius / rng.uniform(least, most))


def draw_samples(
    seed: int, number: int, eyes: int, height: int, looks: Sequence[str]
) -> np.ndarray:
    """Generate training samples: windows on synthetic eyes, and their ground truth.

    Parameters
    ----------
    seed, number, eyes : int
        See `draw_eyes`.
    height : int
        See `training_sample`.
    looks : sequence of str
        The windows on each eye, of `LOOKS`; repetitions are allowed.

    Returns
    -------
    ndarray of shape (eyes * len(looks), height, width, 3), uint8
        Grey level, then the coverages of the `CHANNELS` as 0..15: visible and pupil in the
        low and high four bits of one byte, iris and opening in those of the next.
    """
    packed = []
    with one_opencv_thread():
        for eye, rng in draw_eyes(seed, number, eyes):
            for look in looks:
                image, target = training_sample(eye, look_window(rng, eye, look), height)
                coarse = np.round(target * COVERAGE_STEPS).astype(np.uint8)
                halves = coarse[..., 0::2] | coarse[..., 1::2] << 4
                packed.append(np.concatenate([image[..., None], halves], axis=-1))
    return np.stack(packed)


def write_samples(
    path: Path, seed: int, number: int, eyes: int, height: int, looks: Sequence[str]
) -> None:
    """Write the result of `draw_samples` to an ``.npy`` file, atomically."""
    with atomic_path(path) as temporary:
        np.save(temporary, draw_samples(seed, number, eyes, height, looks))
