"""What an embedding looks at: cover a patch of a crop, embed again, see what it changes.

After Zeiler and Fergus (2014), with the cosine similarity in place of a class's score. A
patch is black, as masked parts of a crop are, so a network has been trained on crops with
such holes, and to cover what is masked already changes nothing.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.data.crop_store import read_crop
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.slices import QUALITIES
from iris_tf.imaging.images import resize_roi, to_grey
from iris_tf.recognition.open_model import Embedder
from iris_tf.support.files import atomic_path
from iris_tf.support.progress import track

MAPS_NAME = "occlusion.npz"  # in the folder of an evaluation

_POSITIONS = 256  # of the patch, about
_LEAST_STEP = 4  # pixels


@dataclass(frozen=True)
class OcclusionMap:
    """How much each part of a crop carries.

    Attributes
    ----------
    image, partner : str
        Names of the image, and of another of the same eye.
    crop : ndarray of shape (height, width), uint8
        The image's crop at the model's input size.
    similarity : float
        Cosine of the embeddings of both, with nothing covered.
    own : ndarray of shape (height, width), float32
        By how much the cosine with the crop's own embedding falls below 1, as the mean of
        all patches that cover the pixel.
    genuine : ndarray of shape (height, width), float32
        By how much `similarity` falls, likewise; negative where it rises.
    """

    image: str
    partner: str
    crop: np.ndarray
    similarity: float
    own: np.ndarray
    genuine: np.ndarray

    @property
    def largest(self) -> float:
        """Largest change of a similarity, in either direction."""
        return float(max(np.abs(self.own).max(), np.abs(self.genuine).max()))


def occlusion_maps(
    embedder: Embedder, rows: Sequence[ManifestRow], folder: str | Path, eyes: int, seed: int = 0
) -> list[OcclusionMap]:
    """Maps of a few eyes, from the worst quality to the best.

    Parameters
    ----------
    embedder : Embedder
        The model.
    rows : sequence of ManifestRow
        Images to choose from.
    folder : str or Path
        Folder that their crops are relative to.
    eyes : int
        Number of maps; fewer where fewer images have another of the same eye.
    seed : int, optional
        Of the choice. It does not depend on the model.
    """
    chosen = choose_pairs(rows, eyes, seed)
    maps = []
    for pair in track(chosen, f"Covering parts of crops with {embedder.path.name}", len(chosen)):
        image, partner = (rows[i] for i in pair)
        crops = [read_crop(Path(folder) / row.roi, embedder.channels) for row in (image, partner)]
        crop, similarity, own, genuine = occlude(embedder, *crops)
        maps.append(OcclusionMap(image.image, partner.image, crop, similarity, own, genuine))
    return maps


def write_maps(path: str | Path, maps: Mapping[str, Sequence[OcclusionMap]]) -> None:
    """Keep the maps of several models in one ``.npz`` file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, which ends in ``.npz``: ``models`` (names), and for the model number i,
        from 0, the attributes of its `OcclusionMap`, e.g. ``own_i``, the eyes along the first
        axis.
    maps : mapping of str to sequence of OcclusionMap
        By the name of a model, of one crop size each.
    """
    arrays: dict[str, Any] = {"models": np.array(list(maps))}
    for i, found in enumerate(maps.values()):
        for field in fields(OcclusionMap):
            arrays[f"{field.name}_{i}"] = np.array([getattr(one, field.name) for one in found])
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_maps(path: str | Path) -> dict[str, list[OcclusionMap]]:
    """Maps that `write_maps` kept."""
    maps = {}
    with np.load(path) as arrays:
        for i, model in enumerate(arrays["models"]):
            columns = [arrays[f"{field.name}_{i}"] for field in fields(OcclusionMap)]
            maps[str(model)] = [
                OcclusionMap(str(image), str(partner), crop, float(similarity), own, genuine)
                for image, partner, crop, similarity, own, genuine in zip(*columns, strict=True)
            ]
    return maps


def choose_pairs(rows: Sequence[ManifestRow], count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Draw images that differ in quality, and another image of the same eye for each.

    Images are put in order by the mean of their ranks in the quality figures that all have,
    and one is drawn from each of `count` equal parts of that order, of different eyes where
    there are enough.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Identities and quality figures are read.
    count : int
        How many to draw.
    seed : int, optional
        Of the draw.

    Returns
    -------
    list of (int, int)
        Indices of image and other image, the worst quality first.
    """
    rng = np.random.default_rng(seed)
    _, identity, images = np.unique(
        [(row.dataset, row.identity) for row in rows],
        axis=0, return_inverse=True, return_counts=True,
    )  # fmt: skip
    identity = identity.ravel()  # NumPy 2.0 gave it the shape of the input
    candidates = np.flatnonzero(images[identity] > 1)
    ranks = np.zeros(len(candidates))
    for name in QUALITIES:
        values = [getattr(rows[int(i)].iris, name, None) for i in candidates]
        if None not in values:
            levels, place = np.unique(np.array(values, float), return_inverse=True)
            ranks += place / max(1, len(levels) - 1)
    order = candidates[np.argsort(ranks, kind="stable")]
    pairs: list[tuple[int, int]] = []
    for part in np.array_split(order, count) if count else ():
        if len(part):
            used = identity[np.array([image for image, _ in pairs], int)]
            unused = part[~np.isin(identity[part], used)]
            image = rng.choice(unused if len(unused) else part)
            others = np.flatnonzero(identity == identity[image])
            pairs.append((int(image), int(rng.choice(others[others != image]))))
    return pairs


def occlude(
    embedder: Embedder, crop: np.ndarray, partner: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """Slide a black square over a crop and see what happens to two similarities.

    The square's side is about an eighth of a square crop's, it moves by half its side, and
    is at some 256 positions.

    Parameters
    ----------
    embedder : Embedder
        The model.
    crop, partner : ndarray of shape (height, width) or (height, width, 3), uint8
        Crops of the same eye, of any size; `partner` stays as it is.

    Returns
    -------
    tuple
        ``crop``, ``similarity``, ``own`` and ``genuine`` of `OcclusionMap`.
    """
    crop = resize_roi(crop, embedder.input_size)
    shape = crop.shape[:2]
    step = max(_LEAST_STEP, round(math.sqrt(math.prod(shape) / _POSITIONS)))
    side = min(2 * step, *shape)
    tops, lefts = (_starts(length, side, step) for length in shape)
    corners = list(itertools.product(tops, lefts))
    whole, other = np.asarray(embedder.embed([crop, partner]), np.float64)
    covered = np.asarray(embedder.embed(_covered(crop, corners, side)), np.float64)
    both = np.stack([whole, other])
    [[itself, similarity]] = embedder.matcher.similarities(whole[None], both)
    drops = np.array([itself, similarity])[:, None] - embedder.matcher.similarities(both, covered)
    sums, patches = np.zeros((2, *shape)), np.zeros(shape)
    for (top, left), drop in zip(corners, drops.T, strict=True):
        under = slice(top, top + side), slice(left, left + side)
        sums[:, *under] += drop[:, None, None]
        patches[under] += 1
    own, genuine = (sums / patches).astype(np.float32)
    return to_grey(crop), float(similarity), own, genuine


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where patches begin along one axis: evenly, the first and the last at its ends."""
    last = length - side
    return np.linspace(0, last, math.ceil(last / step) + 1).round().astype(int).tolist()


def _covered(
    crop: np.ndarray, corners: Sequence[tuple[int, int]], side: int
) -> Iterator[np.ndarray]:
    for top, left in corners:
        covered = crop.copy()
        covered[top : top + side, left : left + side] = 0
        yield covered
