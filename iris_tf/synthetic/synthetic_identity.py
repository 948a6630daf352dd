"""Who is photographed: an iris texture and the face around it."""

from dataclasses import dataclass

import numpy as np

from iris_tf.synthetic.iris_texture import IrisTexture, draw_texture

EYES = ("L", "R")
_SUBJECT, _EYE, _IMAGE, _LOOK = range(4)


@dataclass(frozen=True)
class Face:
    """What both eyes of a subject share; lengths in iris radii, reflectances 0..1.

    Attributes
    ----------
    skin, sclera : float
        Mean reflectance of skin and of the white of the eye.
    nasal_width, temporal_width : float
        From the socket's centre to the inner and the outer corner.
    tilt : float
        How much higher the outer corner is than the inner one.
    upper_opening, lower_opening : float
        Usual height of the upper and the lower lid edge over the socket's centre.
    fold : float
        Height of the crease above the upper lid's edge; 0 for a single lid.
    lashes, lash_curl, lash_length : float
        Density (1 is usual), upward curl (0 hangs down, 1 points up), length.
    brow : float
        Height of the brow above the socket's centre.
    pupil_ratio : float
        Usual ratio of pupil to iris radius.
    wears_glasses : bool
    """

    skin: float
    sclera: float
    nasal_width: float
    temporal_width: float
    tilt: float
    upper_opening: float
    lower_opening: float
    fold: float
    lashes: float
    lash_curl: float
    lash_length: float
    brow: float
    pupil_ratio: float
    wears_glasses: bool


@dataclass(frozen=True)
class EyeIdentity:
    """One eye of one subject: the class label of recognition.

    Attributes
    ----------
    subject : int
    eye : str
        ``"L"`` or ``"R"``; the nose is at the left of a left eye's image.
    face : Face
    texture : IrisTexture
    """

    subject: int
    eye: str
    face: Face
    texture: IrisTexture


def _generator(seed: int, kind: int, *place: int) -> np.random.Generator:
    # A spawn key keeps the streams apart whatever the seed; a plain list of
    # numbers would let (1, 2) and (1, 2, 0) share one.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, *place)))


def image_generator(seed: int, subject: int, eye: str, sample: int) -> np.random.Generator:
    """Return the generator of everything that is particular to one image."""
    return _generator(seed, _IMAGE, subject, EYES.index(eye), sample)


def look_generator(seed: int, subject: int) -> np.random.Generator:
    """Return the generator of how far a subject's looks deviate from the usual."""
    return _generator(seed, _LOOK, subject)


def draw_face(rng: np.random.Generator) -> Face:
    """Draw what both eyes of a new subject share."""
    return Face(
        skin=float(np.clip(rng.normal(0.70, 0.06), 0.52, 0.85)),
        sclera=float(np.clip(rng.normal(0.71, 0.05), 0.54, 0.82)),
        nasal_width=float(rng.normal(2.35, 0.14)),
        temporal_width=float(rng.normal(2.55, 0.16)),
        tilt=float(rng.normal(0.22, 0.12)),
        upper_opening=float(np.clip(rng.normal(0.84, 0.10), 0.55, 1.05)),
        lower_opening=float(np.clip(rng.normal(0.98, 0.08), 0.78, 1.18)),
        fold=0.0 if rng.random() < 0.35 else float(rng.uniform(0.25, 0.85)),
        lashes=float(np.clip(rng.lognormal(0.0, 0.35), 0.4, 2.0)),
        lash_curl=float(np.clip(rng.normal(0.5, 0.25), 0.0, 1.0)),
        lash_length=float(np.clip(rng.normal(0.95, 0.18), 0.5, 1.4)),
        brow=float(rng.normal(3.0, 0.3)),
        pupil_ratio=float(np.clip(rng.normal(0.40, 0.07), 0.25, 0.58)),
        wears_glasses=bool(rng.random() < 0.35),
    )


def draw_identity(seed: int, subject: int, eye: str) -> EyeIdentity:
    """Draw one eye of one subject of a synthesis.

    Parameters
    ----------
    seed : int
        Seed of the synthesis, 0 or more.
    subject : int
        Number of the subject, 0 or more.
    eye : str
        ``"L"`` or ``"R"``; both share the face, not the texture.

    Returns
    -------
    EyeIdentity
    """
    face = draw_face(_generator(seed, _SUBJECT, subject))
    texture = draw_texture(_generator(seed, _EYE, subject, EYES.index(eye)))
    return EyeIdentity(subject, eye, face, texture)
