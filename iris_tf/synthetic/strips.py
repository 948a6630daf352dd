"""What the released recognition model learns from: strips of synthetic eyes of many cameras.

The eyes themselves are never written: a strip takes a tenth of the space.
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
from iris_tf.support.files import write_json
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
)

GENERATOR = 5
"""Raise it when the same seed gives other strips: old ones are not mixed with new ones."""

SITE_IDENTITIES = 16
"""Identities that share a site."""

_VARIED_SHARE = 0.7  # of the textures are from the wider range
_PLAIN_SHARE = 0.15  # of the sites have the one, good camera
_ANY_CAMERA_SHARE = 0.2  # of the sites take every image with another
_ALIKE_SHARE = 0.6  # of the sites see a population of one style
_CALM_SHARE = 0.7  # of the sites with a camera of their own photograph with care
_CALM = 0.4  # of the usual variation of pupil, gaze and noise is left there
_CAREFUL, _CARELESS = 0.003, 0.01  # sigma of a segmenter's mistakes, in iris radii
_LEAST_OPENING = 0.7  # of both lids there, in iris radii
_SOFTEST_SITE, _SOFTEST_CALM_SITE = 0.009, 0.002  # sigma of the usual blur, in iris diameters
_SHARPEST = 0.3  # sigma of a lens's blur, in pixels
_SITES = 1  # first number of the sites' seeds; those of identities have no second
_LEAST_VISIBLE = 0.25  # of the ring; what shows less is not enrolled anywhere
_LEAST_TEXTURE_GAIN, _LEAST_CALM_TEXTURE_GAIN = 0.5, 0.9
_LEAST_GAIN = 0.6
_MOST_NOISE = 5.0  # grey levels
_MOST_MOTION = 4.0  # pixels
_LEAST_JPEG_QUALITY = 75


def draw_strips(seed: int, identity: int, views: int) -> np.ndarray:
    """Draw strips of one identity, cut as imperfectly as segmenters cut them.

    Identities come in sites of `SITE_IDENTITIES`, as in real sets: at most sites one
    camera and light take all images, and at many the irises are of one population,
    alike in all but detail. Lids and skin are new in each image, so that where the
    iris is hidden says nothing of whose it is.

    Parameters
    ----------
    seed, identity : int
        0 or more; together they alone decide the eye and its images.
    views : int
        How many.

    Returns
    -------
    ndarray of shape (views, 64, 512), uint8
        See `iris_tf.segmentation.roi_modes.unrolled`.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(identity,)))
    with one_opencv_thread():
        site = _draw_site(seed, identity // SITE_IDENTITIES)
        draw_view = _photographer(rng, site)
        return np.stack([_strip(rng, draw_view, site.mistakes) for _ in range(views)])


@dataclass(frozen=True)
class _Site:
    """What the images of a site share.

    Attributes
    ----------
    plain : bool
        Whether the one, good camera takes the images.
    camera : Camera or None
        None where every image has its own.
    habit : Capture or None
        How `camera` takes images.
    style : numpy.random.SeedSequence or None
        Of the population's textures; None where every texture has its own style.
    varied : bool or None
        Whether the textures are from the wider range; None where they differ in this, too.
    eye : str
    calm : bool
        Whether images of an eye are as alike as a cooperative subject's at a good camera:
        there fine detail tells who it is, elsewhere only the coarse is left of it.
    """

    plain: bool
    camera: Camera | None
    habit: Capture | None
    style: np.random.SeedSequence | None
    varied: bool | None
    eye: str
    calm: bool

    @property
    def mistakes(self) -> float:
        """Usual size of a segmenter's mistakes, in iris radii."""
        return _CAREFUL if self.calm else _CARELESS


@functools.lru_cache(maxsize=16)  # the identities of a site come one after the other
def _draw_site(seed: int, number: int) -> _Site:
    sequence = np.random.SeedSequence(seed, spawn_key=(_SITES, number))
    rng = np.random.default_rng(sequence)
    kind, alike = rng.random(), rng.random() < _ALIKE_SHARE
    eye = str(rng.choice(EYES))
    plain = kind < _PLAIN_SHARE
    camera = habit = None
    calm = False
    if kind >= _PLAIN_SHARE + _ANY_CAMERA_SHARE:
        somebody = _somebody(rng, eye, draw_texture(rng))
        camera = _legible_camera(draw_varied_camera(rng))
        habit = _legible(draw_varied_capture(rng, somebody, draw_capture(rng, somebody), camera))
        calm = bool(rng.random() < _CALM_SHARE)
        if calm:
            softest = max(_SOFTEST_CALM_SITE * 2.0 * habit.iris_radius, _SHARPEST)
            gain = max(habit.texture_gain, _LEAST_CALM_TEXTURE_GAIN)
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
        calm=calm,
    )


def _somebody(rng: np.random.Generator, eye: str, texture: IrisTexture) -> EyeIdentity:
    return EyeIdentity(0, eye, draw_varied_face(rng, draw_face(rng)), texture)


def _photographer(rng: np.random.Generator, site: _Site) -> Callable[[], SyntheticEye]:
    """Draw an identity, and return what draws an image of it."""
    if site.style is None:
        texture = draw_texture(rng, varied=bool(rng.random() < _VARIED_SHARE))
    else:
        texture = draw_texture(rng, bool(site.varied), np.random.default_rng(site.style))
    if site.plain:

        def draw_plain_view() -> SyntheticEye:
            identity = EyeIdentity(0, site.eye, draw_face(rng), texture)
            return render_eye(identity, draw_capture(rng, identity), rng)

        return draw_plain_view
    ratio = _somebody(rng, site.eye, texture).face.pupil_ratio

    def draw_view() -> SyntheticEye:
        identity = _somebody(rng, site.eye, texture)
        identity = replace(identity, face=replace(identity.face, pupil_ratio=ratio))
        if site.calm:
            identity = replace(identity, face=_wide_awake(identity.face))
        camera = site.camera or _legible_camera(draw_varied_camera(rng))
        capture = _legible(draw_varied_capture(rng, identity, draw_capture(rng, identity), camera))
        if site.habit is not None:
            capture = draw_habitual_capture(rng, capture, site.habit, camera)
        if site.calm:
            assert site.habit is not None  # a calm site has its camera
            capture = replace(
                capture,
                pupil_ratio=ratio + _CALM * (capture.pupil_ratio - ratio),
                gaze_x=_CALM * capture.gaze_x,
                gaze_y=_CALM * capture.gaze_y,
                noise=_CALM * capture.noise,
                defocus=site.habit.defocus + _CALM * (capture.defocus - site.habit.defocus),
            )
        return render_eye(identity, capture, rng, camera)

    return draw_view


def _wide_awake(face: Face) -> Face:
    """Open the lids at least as wide as those of people who are asked to."""
    return replace(
        face,
        upper_opening=max(face.upper_opening, _LEAST_OPENING),
        lower_opening=max(face.lower_opening, _LEAST_OPENING),
        lashes=min(face.lashes, 1.0),
    )


def _legible(capture: Capture) -> Capture:
    """Leave out what buries the texture: a segmenter must cope with it, a matcher cannot."""
    return replace(
        capture,
        texture_gain=max(capture.texture_gain, _LEAST_TEXTURE_GAIN),
        noise=min(capture.noise, _MOST_NOISE),
        gain=max(capture.gain, _LEAST_GAIN),
        motion=min(capture.motion, _MOST_MOTION),
    )


def _legible_camera(camera: Camera) -> Camera:
    if not camera.jpeg_quality:
        return camera
    return replace(camera, jpeg_quality=max(camera.jpeg_quality, _LEAST_JPEG_QUALITY))


def _strip(
    rng: np.random.Generator, draw_view: Callable[[], SyntheticEye], mistakes: float
) -> np.ndarray:
    least = _LEAST_VISIBLE
    while True:
        eye = draw_view()
        ring = math.pi * (eye.iris.a * eye.iris.b - eye.pupil.a * eye.pupil.b)
        if eye.visible.sum() > least * ring:
            return unrolled(eye.image, mistaken(rng, eye, mistakes))
        least *= 0.8  # some people never open their eyes wide


def mistaken(rng: np.random.Generator, eye: SyntheticEye, usual: float) -> SegmentedEye:
    """Segment an eye by its ground truth, with mistakes of the kind of a segmenter's.

    Outlines are shifted and scaled. Single lashes stay in one mask of two, for no
    segmenter finds them all; other masks hide more than there is to hide, or leave
    a band of the lids.

    Parameters
    ----------
    rng : numpy.random.Generator
    eye : SyntheticEye
    usual : float
        Size of most mistakes as a share of the iris radius; three in ten are thrice as large.

    Returns
    -------
    SegmentedEye
    """
    spread = 3.0 * usual if rng.random() < 0.3 else usual
    iris, pupil = (
        _moved(rng, outline, spread * eye.iris.radius) for outline in (eye.iris, eye.pupil)
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
    # A mask that erosion has emptied gives no strip.
    return SegmentedEye(pupil, iris, visible if visible.any() else eye.visible)


def _moved(rng: np.random.Generator, outline: Ellipse, spread: float) -> Ellipse:
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
    """Write strips as a dataset that training takes like one of `iris-tf prepare`.

    What an interrupted call has written is kept.

    Parameters
    ----------
    out : Path
    seed : int
    identities : int
        All of them; the last `validation` are the split ``val``, the others ``train``.
    views : int
        Strips of each.
    validation : int
    jobs : int, optional
        Processes; -1 for one a core.

    Raises
    ------
    DatasetError
        When `out` holds strips of another seed or of another version of this module.
    """
    out = out.resolve()
    settings = {
        "images": DRAWN_STRIPS,
        "layout": "synthetic",
        # These are cut along the ground truth with simulated errors, but users' images will be
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
    with StageProgress("Drawing strips", identities, identities - len(missing)) as progress:
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
    """Say what the folder will hold, before it holds anything."""
    if path.is_file() and read_settings(path) != settings:
        raise DatasetError(
            f"{path.parent}: holds strips that were drawn otherwise or by another version; draw "
            "into another folder, or delete this one."
        )
    write_json(path, {"complete": False, "settings": settings})


def _roi(identity: int, view: int) -> str:
    return f"roi/{identity // 1000:03d}/{identity:06d}-{view}.png"


def _write_identity(out: Path, seed: int, identity: int, views: int) -> None:
    # The last one is written last, and says that all are there.
    for view, strip in enumerate(draw_strips(seed, identity, views)):
        write_png(out / _roi(identity, view), strip)
