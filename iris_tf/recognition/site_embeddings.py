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
from iris_tf.synthetic.degradations import DEGRADATIONS
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
    degraded : bool
        Whether two images of every second eye are taken a second time, degraded
        (`iris_tf.synthetic.degradations`).

    Raises
    ------
    ArgumentError
        When there are too few of anything.
    """

    sites: int = 20
    eyes: int = 80
    images: int = 3
    seed: int = 0
    degraded: bool = False

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
        model file, segmenter, plan and version of this library.
    """
    folder = Path(folder)
    with StageProgress("Embedding generated sites", plan.sites) as progress:
        for number in range(plan.sites):
            yield _stored(recognizer, plan, number, folder / f"site-{number:03d}.npz")
            progress.advance()


def _stored(recognizer: IrisRecognizer, plan: SitePlan, number: int, path: Path) -> SiteEmbeddings:
    # More sites do not change those that there are.
    model = asdict(recognizer.origin)
    del model["transform"]  # applied to what is stored, not stored itself
    # A card with scores has more images refused.
    model["scored"] = recognizer.card.score is not None
    of = asdict(plan) | {"sites": None, "version": __version__, "model": model}
    of["segmenter"] = recognizer.segmenter_version
    stamp = json.dumps(of, sort_keys=True)
    if path.is_file():
        try:
            kept = load_arrays(path, ("stamp", "vectors", "eyes", "refused"))
            if kept["stamp"].item() == stamp:
                return SiteEmbeddings(number, kept["vectors"], kept["eyes"], int(kept["refused"]))
        except (OSError, ValueError, TypeError):  # damaged: computed again
            pass
    found = _embed(recognizer, plan, number)
    with atomic_path(path) as temporary:
        np.savez(
            temporary, stamp=stamp, vectors=found.vectors, eyes=found.eyes, refused=found.refused
        )
    return found


def _embed(recognizer: IrisRecognizer, plan: SitePlan, number: int) -> SiteEmbeddings:
    vectors: list[np.ndarray] = []
    eyes: list[int] = []
    refused = 0
    for eye, image in _images(plan, number):
        try:
            vectors.append(np.asarray(recognizer.embed(image, kind="eye"))[0])
            eyes.append(eye)
        except ExtractionError:
            refused += 1
    size = recognizer.card.embedding_size
    return SiteEmbeddings(
        number, np.array(vectors, np.float32).reshape(-1, size), np.array(eyes, int), refused
    )


def _images(plan: SitePlan, number: int) -> Iterator[tuple[int, np.ndarray]]:
    """Images of a site, each with the number of its eye."""
    site, rng = draw_site(plan.seed, number), np.random.default_rng([plan.seed, number])
    kinds = list(DEGRADATIONS.values())
    for eye in range(plan.eyes):
        rendered_images = render_site_eye(site, plan.seed, number, eye, plan.images)
        for index, rendered in enumerate(rendered_images):
            yield eye, rendered.image
            if plan.degraded and eye % 2 == 0 and index < 2:
                # Both images of an eye are degraded in different ways.
                degrade = kinds[(eye + 7 * index) % len(kinds)]
                yield eye, degrade(rendered.image, 2.0 * rendered.iris.radius, rng)
