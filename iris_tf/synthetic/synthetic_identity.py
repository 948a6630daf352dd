"""Synthetic identities: an iris texture and the face around it."""

from dataclasses import dataclass

import numpy as np

from iris_tf.synthetic.iris_texture import IrisTexture, draw_texture

EYES = ("L", "R")
_SUBJECT, _EYE, _IMAGE, _APPEARANCE = range(4)


@dataclass(frozen=True)
class Face:
    """Properties shared by both eyes of a subject; lengths in iris radii, reflectances 0..1.

    Attributes
    ----------
    skin, sclera : float
        Mean reflectance of skin and sclera.
    nasal_width, temporal_width : float
        Distance from the socket centre to the inner and the outer corner.
    tilt : float
        Height of the outer corner above the inner corner.
    upper_opening, lower_opening : float
        Usual distance of the upper and the lower eyelid edge from the socket centre.
    fold : float
        Height of the crease above the edge of the upper eyelid; 0 for a single eyelid.
    lashes, lash_curl, lash_length : float
        Density (1 is typical), upward curl (0 points down, 1 up), length.
    brow : float
        Height of the brow above the socket centre.
    pupil_ratio : float
        Usual pupil radius over iris radius.
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
    """One eye of one subject: one class of recognition.

    Attributes
    ----------
    subject : int
    eye : str
        ``"L"`` or ``"R"``; the nose is on the left in an image of a left eye.
    face : Face
    texture : IrisTexture
    """

    subject: int
    eye: str
    face: Face
    texture: IrisTexture


def _generator(seed: int, kind: int, *place: int) -> np.random.Generator:
    # Spawn keys keep the streams independent for any seed; as plain entropy, (1, 2) and (1, 2, 0)
    # would give the same stream.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, *place)))


def image_generator(seed: int, subject: int, eye: str, sample: int) -> np.random.Generator:
    """Return the random generator for everything specific to one image."""
    return _generator(seed, _IMAGE, subject, EYES.index(eye), sample)


def appearance_generator(seed: int, subject: int) -> np.random.Generator:
    """Return the random generator for deviations of a subject's appearance from the usual."""
    return _generator(seed, _APPEARANCE, subject)


def draw_face(rng: np.random.Generator) -> Face:
    """Sample the face of a new subject."""
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
    """Generate one eye of one subject of a synthesis.

    Parameters
    ----------
    seed : int
        Seed of the synthesis, 0 or more.
    subject : int
        Index of the subject, 0 or more.
    eye : str
        ``"L"`` or ``"R"``; both eyes share the face, not the texture.

    Returns
    -------
    EyeIdentity
    """
    face = draw_face(_generator(seed, _SUBJECT, subject))
    texture = draw_texture(_generator(seed, _EYE, subject, EYES.index(eye)))
    return EyeIdentity(subject, eye, face, texture)
