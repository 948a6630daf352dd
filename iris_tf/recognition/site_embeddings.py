"""Embeddings of generated sites, computed once and kept in a folder."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.array_files import load_arrays
from iris_tf.support.errors import ArgumentError, ExtractionError
from iris_tf.support.files import atomic_path
from iris_tf.support.progress import StageProgress
from iris_tf.support.version import __version__
from iris_tf.synthetic.sites import draw_site, render_site_eye

_LEAST = 2  # eyes, and images of each: both kinds of comparisons are needed


@dataclass(frozen=True)
class SitePlan:
    """Which generated images.

    Attributes
    ----------
    sites : int
        Number of sites, see `iris_tf.synthetic.sites.Site`.
    eyes, images : int
        Eyes of each site and images of each eye, 2 or more.
    seed : int
        Determines all sites and eyes.

    Raises
    ------
    ArgumentError
        When there are too few of anything.
    """

    sites: int = 20
    eyes: int = 80
    images: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sites < 1 or min(self.eyes, self.images) < _LEAST or self.seed < 0:
            raise ArgumentError(
                f"{self.sites} sites of {self.eyes} eyes with {self.images} images (seed "
                f"{self.seed}) give no comparisons; take at least 1 site, {_LEAST} eyes and "
                f"{_LEAST} images, and a seed of at least 0."
            )


@dataclass(frozen=True, eq=False)
class SiteEmbeddings:
    """Embeddings of the images of one site.

    Attributes
    ----------
    number : int
        Of the site, from 0.
    vectors : ndarray of shape (n, D), float32
        Unit vectors.
    eyes : ndarray of shape (n,), int
        Who is on each image.
    refused : int
        Images in which no usable iris was found.
    """

    number: int
    vectors: np.ndarray
    eyes: np.ndarray
    refused: int


def site_embeddings(
    recognizer: IrisRecognizer, plan: SitePlan, folder: str | Path
) -> Iterator[SiteEmbeddings]:
    """Render and embed the images of generated sites, site by site.

    Parameters
    ----------
    recognizer : IrisRecognizer
        Embeds the images.
    plan : SitePlan
        Which images.
    folder : str or Path
        Keeps the embeddings of each complete site, which are not computed again for the same
        model file, plan and version of this library.
    """
    folder = Path(folder)
    with StageProgress("Embedding generated sites", plan.sites) as progress:
        for number in range(plan.sites):
            yield _stored(recognizer, plan, number, folder / f"site-{number:03d}.npz")
            progress.advance()


def _stored(recognizer: IrisRecognizer, plan: SitePlan, number: int, path: Path) -> SiteEmbeddings:
    # More sites do not change those that there are.
    of = asdict(plan) | {"sites": None, "version": __version__, "model": asdict(recognizer.origin)}
    stamp = json.dumps(of, sort_keys=True)
    if path.is_file():
        try:
            kept = load_arrays(path, ("stamp", "vectors", "eyes", "refused"))
        except (OSError, ValueError):  # damaged: computed again
            kept = {"stamp": np.array("")}
        if kept["stamp"].item() == stamp:
            return SiteEmbeddings(number, kept["vectors"], kept["eyes"], int(kept["refused"]))
    found = _embed(recognizer, plan, number)
    with atomic_path(path) as temporary:
        np.savez(
            temporary, stamp=stamp, vectors=found.vectors, eyes=found.eyes, refused=found.refused
        )
    return found


def _embed(recognizer: IrisRecognizer, plan: SitePlan, number: int) -> SiteEmbeddings:
    site, vectors, eyes = draw_site(plan.seed, number), [], []
    for eye in range(plan.eyes):
        for rendered in render_site_eye(site, plan.seed, number, eye, plan.images):
            try:
                vectors.append(np.asarray(recognizer.embed(rendered.image, kind="eye"))[0])
            except ExtractionError:
                continue
            eyes.append(eye)
    size = recognizer.card.embedding_size
    refused = plan.eyes * plan.images - len(eyes)
    return SiteEmbeddings(
        number, np.array(vectors, np.float32).reshape(-1, size), np.array(eyes, int), refused
    )
