"""Training data of the released recognition model: strips of synthetic eyes from many cameras.

Only the strips are stored, not the eye images: a strip takes a tenth of the space.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np

from iris_tf.config.names import DEFAULT_SEGMENTER, NO_SEGMENTER
from iris_tf.data.manifest import DRAWN_STRIPS, ManifestRow, read_settings, write_manifest
from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import write_png
from iris_tf.segmentation.roi_modes import unrolled
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import real_path, write_json
from iris_tf.support.parallel import one_opencv_thread, run_in_processes
from iris_tf.support.progress import StageProgress
from iris_tf.synthetic.camera import Camera
from iris_tf.synthetic.capture import Capture, draw_capture
from iris_tf.synthetic.eye_renderer import SyntheticEye, render_eye
from iris_tf.synthetic.iris_texture import IrisTexture, draw_texture
from iris_tf.synthetic.synthetic_identity import EYES, EyeIdentity, Face, draw_face
from iris_tf.synthetic.variety import (
    draw_habitual_capture,
    draw_varied_camera,
    draw_varied_capture,
    draw_varied_face,
    with_limited_degradation,
)

GENERATOR = 5
"""Increment when the same seed yields different strips, so that old and new are never mixed."""

SITE_IDENTITIES = 16
"""Number of identities per site."""

_VARIED_SHARE = 0.7  # of the textures come from the wider range
_PLAIN_SHARE = 0.15  # of the sites have the plain, high-quality camera
_ANY_CAMERA_SHARE = 0.2  # of the sites use a different camera for every image
_ALIKE_SHARE = 0.6  # of the sites have a population of a single style
_CONTROLLED_SHARE = 0.7  # of the sites with their own camera have controlled capture
_CONTROLLED_VARIATION = 0.4  # factor there on the variation of pupil, gaze, noise and blur
_SMALL_ERROR, _LARGE_ERROR = 0.003, 0.01  # sigma of segmentation errors, in iris radii
_LEAST_OPENING = 0.7  # of both eyelids at controlled sites, in iris radii
# Greatest sigma of a site's usual blur, in iris diameters.
_SOFTEST_SITE, _SOFTEST_CONTROLLED_SITE = 0.009, 0.002
_SHARPEST = 0.3  # sigma of the lens blur, in pixels
_SITES = 1  # first element of a site's spawn key; keys of identities have one element only
_LEAST_VISIBLE = 0.25  # of the ring; enrolment rejects images with less
_LEAST_CONTROLLED_TEXTURE_GAIN = 0.9
_LEAST_JPEG_QUALITY = 75


def draw_strips(seed: int, identity: int, views: int) -> np.ndarray:
    """Generate strips of one identity, with simulated segmentation errors.

    Identities are grouped into sites of `SITE_IDENTITIES`, like real datasets. Most sites use
    one camera and illumination for all images, and at many sites the irises come from one
    population, similar in everything but detail. Eyelids and skin are sampled per image, so
    that the occlusion carries no information about the identity.

    Parameters
    ----------
    seed, identity : int
        0 or more; together they fully determine the eye and its images.
    views : int
        Number of strips.

    Returns
    -------
    ndarray of shape (views, 64, 512), uint8
        See `iris_tf.segmentation.roi_modes.unrolled`.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(identity,)))
    with one_opencv_thread():
        site = _draw_site(seed, identity // SITE_IDENTITIES)
        draw_view = _view_generator(rng, site)
        return np.stack([_strip(rng, draw_view, site.segmentation_error) for _ in range(views)])


@dataclass(frozen=True)
class _Site:
    """Properties shared by the images of a site.

    Attributes
    ----------
    plain : bool
        Whether the site has the plain, high-quality camera.
    camera : Camera or None
        None if every image has its own.
    habit : Capture or None
        Usual capture conditions of `camera`.
    style : numpy.random.SeedSequence or None
        Style of the population's textures; None if every texture has its own style.
    varied : bool or None
        Whether the textures come from the wider range; None if this varies, too.
    eye : str
    controlled : bool
        Whether capture is controlled: a cooperative subject and a good camera, so that images
        of an eye differ little. High spatial frequencies then discriminate between
        identities; elsewhere only low frequencies survive.
    """

    plain: bool
    camera: Camera | None
    habit: Capture | None
    style: np.random.SeedSequence | None
    varied: bool | None
    eye: str
    controlled: bool

    @property
    def segmentation_error(self) -> float:
        """Usual size of segmentation errors, in iris radii."""
        return _SMALL_ERROR if self.controlled else _LARGE_ERROR


@functools.lru_cache(maxsize=16)  # identities of a site are generated consecutively
def _draw_site(seed: int, number: int) -> _Site:
    sequence = np.random.SeedSequence(seed, spawn_key=(_SITES, number))
    rng = np.random.default_rng(sequence)
    kind, alike = rng.random(), rng.random() < _ALIKE_SHARE
    eye = str(rng.choice(EYES))
    plain = kind < _PLAIN_SHARE
    camera = habit = None
    controlled = False
    if kind >= _PLAIN_SHARE + _ANY_CAMERA_SHARE:
        identity = _random_identity(rng, eye, draw_texture(rng))
        camera = _with_limited_compression(draw_varied_camera(rng))
        habit = with_limited_degradation(
            draw_varied_capture(rng, identity, draw_capture(rng, identity), camera)
        )
        controlled = bool(rng.random() < _CONTROLLED_SHARE)
        if controlled:
            softest = max(_SOFTEST_CONTROLLED_SITE * 2.0 * habit.iris_radius, _SHARPEST)
            gain = max(habit.texture_gain, _LEAST_CONTROLLED_TEXTURE_GAIN)
            habit = replace(habit, texture_gain=gain)
        else:
            softest = max(_SOFTEST_SITE * 2.0 * habit.iris_radius, 1.0)
        habit = replace(habit, defocus=min(habit.defocus, softest))
    return _Site(
        plain,
        camera,
        habit,
        style=sequence.spawn(1)[0] if alike else None,
        varied=bool(rng.random() < _VARIED_SHARE) if alike else None,
        eye=eye,
        controlled=controlled,
    )


def _random_identity(rng: np.random.Generator, eye: str, texture: IrisTexture) -> EyeIdentity:
    return EyeIdentity(0, eye, draw_varied_face(rng, draw_face(rng)), texture)


def _view_generator(rng: np.random.Generator, site: _Site) -> Callable[[], SyntheticEye]:
    """Sample an identity, and return a function that renders an image of it."""
    if site.style is None:
        texture = draw_texture(rng, varied=bool(rng.random() < _VARIED_SHARE))
    else:
        texture = draw_texture(rng, bool(site.varied), np.random.default_rng(site.style))
    if site.plain:

        def draw_plain_view() -> SyntheticEye:
            identity = EyeIdentity(0, site.eye, draw_face(rng), texture)
            return render_eye(identity, draw_capture(rng, identity), rng)

        return draw_plain_view
    ratio = _random_identity(rng, site.eye, texture).face.pupil_ratio

    def draw_view() -> SyntheticEye:
        identity = _random_identity(rng, site.eye, texture)
        identity = replace(identity, face=replace(identity.face, pupil_ratio=ratio))
        if site.controlled:
            identity = replace(identity, face=_with_open_eyelids(identity.face))
        camera = site.camera or _with_limited_compression(draw_varied_camera(rng))
        capture = with_limited_degradation(
            draw_varied_capture(rng, identity, draw_capture(rng, identity), camera)
        )
        if site.habit is not None:
            capture = draw_habitual_capture(rng, capture, site.habit, camera)
        if site.controlled:
            assert site.habit is not None  # a controlled site has its own camera
            capture = replace(
                capture,
                pupil_ratio=ratio + _CONTROLLED_VARIATION * (capture.pupil_ratio - ratio),
                gaze_x=_CONTROLLED_VARIATION * capture.gaze_x,
                gaze_y=_CONTROLLED_VARIATION * capture.gaze_y,
                noise=_CONTROLLED_VARIATION * capture.noise,
                defocus=site.habit.defocus
                + _CONTROLLED_VARIATION * (capture.defocus - site.habit.defocus),
            )
        return render_eye(identity, capture, rng, camera)

    return draw_view


def _with_open_eyelids(face: Face) -> Face:
    """Open the eyelids at least as wide as subjects do on request."""
    return replace(
        face,
        upper_opening=max(face.upper_opening, _LEAST_OPENING),
        lower_opening=max(face.lower_opening, _LEAST_OPENING),
        lashes=min(face.lashes, 1.0),
    )


def _with_limited_compression(camera: Camera) -> Camera:
    if not camera.jpeg_quality:
        return camera
    return replace(camera, jpeg_quality=max(camera.jpeg_quality, _LEAST_JPEG_QUALITY))


def _strip(
    rng: np.random.Generator, draw_view: Callable[[], SyntheticEye], error: float
) -> np.ndarray:
    least = _LEAST_VISIBLE
    while True:
        eye = draw_view()
        ring = math.pi * (eye.iris.a * eye.iris.b - eye.pupil.a * eye.pupil.b)
        if eye.visible.sum() > least * ring:
            return unrolled(eye.image, with_segmentation_errors(rng, eye, error))
        least *= 0.8  # some subjects never open their eyes wide


def with_segmentation_errors(
    rng: np.random.Generator, eye: SyntheticEye, usual: float
) -> SegmentedEye:
    """Segment an eye by its ground truth, with errors typical of a segmenter.

    Outlines are shifted and scaled. Half of the masks include individual eyelashes, because no
    segmenter detects them all. Of the others, some are too small and some include a band of
    the eyelids.

    Parameters
    ----------
    rng : numpy.random.Generator
    eye : SyntheticEye
    usual : float
        Usual size of the errors as a fraction of the iris radius; 3 in 10 eyes have three times
        that.

    Returns
    -------
    SegmentedEye
    """
    spread = 3.0 * usual if rng.random() < 0.3 else usual
    iris, pupil = (
        _perturbed(rng, outline, spread * eye.iris.radius) for outline in (eye.iris, eye.pupil)
    )
    ring = eye.iris.mask(eye.image.shape) & ~eye.pupil.mask(eye.image.shape)
    seen = (eye.opening & ~(ring & ~eye.visible)).astype(np.uint8)
    size = 1 + 2 * round(0.03 * eye.iris.radius)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    kind = rng.random()
    if kind < 0.5:
        seen = cv2.morphologyEx(seen, cv2.MORPH_CLOSE, kernel)
    elif kind < 0.7:
        seen = cv2.erode(seen, kernel)
    elif kind < 0.85:
        seen = cv2.dilate(seen, kernel)
    visible = iris.mask(eye.image.shape) & ~pupil.mask(eye.image.shape) & (seen > 0)
    # A mask that erosion has emptied yields no strip.
    return SegmentedEye(pupil, iris, visible if visible.any() else eye.visible)


def _perturbed(rng: np.random.Generator, outline: Ellipse, spread: float) -> Ellipse:
    x, y, a, b = rng.normal(0.0, 0.7 * spread, 4)
    both = rng.normal(0.0, 0.7 * spread)
    least = 0.5 * outline.radius
    return Ellipse(
        outline.x + float(x),
        outline.y + float(y),
        max(outline.a + float(both + 0.5 * a), least),
        max(outline.b + float(both + 0.5 * b), least),
        outline.angle,
    )


def write_strip_dataset(
    out: Path, seed: int, identities: int, views: int, validation: int, jobs: int = -1
) -> None:
    """Write strips as a prepared dataset, like that of `iris-tf prepare`.

    An interrupted call resumes.

    Parameters
    ----------
    out : Path
    seed : int
    identities : int
        Total number; the last `validation` form the split ``val``, the others ``train``.
    views : int
        Strips per identity.
    validation : int
    jobs : int, optional
        Number of processes; -1 for one per core.

    Raises
    ------
    DatasetError
        If `out` holds strips of another seed or another version of this module.
    """
    out = real_path(out)
    settings = {
        "images": DRAWN_STRIPS,
        "layout": "synthetic",
        # These strips are cut by the ground truth with simulated errors; users' images will be
        # segmented.
        "segmenter": NO_SEGMENTER,
        "model_segmenter": DEFAULT_SEGMENTER,
        "roi_mode": "unrolled",
        "channels": 1,
        "split_by": "identity",
        "seed": seed,
        "synthetic": True,
        "generator": GENERATOR,
    }
    _begin(out / "dataset.json", settings)
    missing = [n for n in range(identities) if not (out / _roi(n, views - 1)).is_file()]
    with StageProgress("Generating strips", identities, identities - len(missing)) as progress:
        calls = (joblib.delayed(_write_identity)(out, seed, number, views) for number in missing)
        for _ in run_in_processes(calls, jobs, out):
            progress.advance()
    rows = [
        ManifestRow(
            image=_roi(number, view),
            dataset=f"site-{number // SITE_IDENTITIES:04d}",
            subject=f"{number:06d}",
            eye="",
            identity=f"{number:06d}",
            sample=str(view),
            split="train" if number < identities - validation else "val",
            roi=_roi(number, view),
        )
        for number in range(identities)
        for view in range(views)
    ]
    write_manifest(out / "manifest.csv", rows)
    write_json(out / "dataset.json", {"complete": True, "settings": settings})


def _begin(path: Path, settings: dict[str, Any]) -> None:
    """Record the settings of the folder before writing anything else."""
    if path.is_file() and read_settings(path) != settings:
        raise DatasetError(
            f"{path.parent}: holds strips of other settings or of another version; choose "
            "another folder, or delete this one."
        )
    write_json(path, {"complete": False, "settings": settings})


def _roi(identity: int, view: int) -> str:
    return f"roi/{identity // 1000:03d}/{identity:06d}-{view}.png"


def _write_identity(out: Path, seed: int, identity: int, views: int) -> None:
    # Written in order: the last strip marks the identity as complete.
    for view, strip in enumerate(draw_strips(seed, identity, views)):
        write_png(out / _roi(identity, view), strip)
