"""Saliency by occlusion: how covering a patch of a crop changes its embedding.

After Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (ECCV 2014), with
the cosine similarity in place of a class score. A patch is black like the masked area of a crop:
networks are trained on crops with such holes, and covering a masked area changes nothing.
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
from iris_tf.imaging.images import resize_roi
from iris_tf.recognition.open_model import Embedder
from iris_tf.support.array_files import load_arrays
from iris_tf.support.errors import EvaluationError
from iris_tf.support.files import atomic_path
from iris_tf.support.foreign_files import UNUSABLE
from iris_tf.support.progress import track

MAPS_NAME = "occlusion.npz"  # in the folder of an evaluation

_POSITIONS = 256  # approximate number of patches
_LEAST_STEP = 4  # pixels


@dataclass(frozen=True)
class OcclusionMap:
    """Saliency map of one crop.

    Attributes
    ----------
    image, partner : str
        Names of the image, and of another of the same eye.
    crop : ndarray of shape (height, width) or (height, width, 3), uint8
        The image's crop, grey or RGB, at the model's input size.
    similarity : float
        Cosine similarity of the two embeddings without occlusion.
    own : ndarray of shape (height, width), float32
        Decrease of the cosine similarity with the crop's own embedding, averaged over all patches
        that cover the pixel.
    genuine : ndarray of shape (height, width), float32
        Decrease of `similarity`, averaged likewise; negative where it increases.
    """

    image: str
    partner: str
    crop: np.ndarray
    similarity: float
    own: np.ndarray
    genuine: np.ndarray

    @property
    def largest(self) -> float:
        """Largest change of a similarity in either direction."""
        return float(max(np.abs(self.own).max(), np.abs(self.genuine).max()))


def occlusion_maps(
    embedder: Embedder,
    rows: Sequence[ManifestRow],
    crops: Sequence[Path],
    eyes: int,
    seed: int = 0,
) -> list[OcclusionMap]:
    """Saliency maps of a few eyes, from the worst quality to the best.

    Parameters
    ----------
    embedder : Embedder
        The model.
    rows : sequence of ManifestRow
        Images to choose from.
    crops : sequence of Path
        File of each image's crop.
    eyes : int
        Number of maps; fewer if fewer images have another of the same eye.
    seed : int, optional
        Seed of the choice, which does not depend on the model.
    """
    chosen = choose_pairs(rows, eyes, seed)
    maps = []
    for pair in track(chosen, f"Occluding crops for {embedder.path.name}", len(chosen)):
        image, partner = (rows[i] for i in pair)
        pixels = [read_crop(crops[i], embedder.channels) for i in pair]
        crop, similarity, own, genuine = occlude(embedder, *pixels)
        maps.append(OcclusionMap(image.image, partner.image, crop, similarity, own, genuine))
    return maps


def write_maps(path: str | Path, maps: Mapping[str, Sequence[OcclusionMap]]) -> None:
    """Write the maps of several models to one ``.npz`` file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, ending in ``.npz``: ``models`` (names), and for model number i,
        from 0, the attributes of its `OcclusionMap`, e.g. ``own_i``, with the eyes along the
        first axis.
    maps : mapping of str to sequence of OcclusionMap
        By the name of a model; all of one model have the same size.
    """
    arrays: dict[str, Any] = {"models": np.array(list(maps))}
    for i, found in enumerate(maps.values()):
        for field in fields(OcclusionMap):
            arrays[f"{field.name}_{i}"] = np.array([getattr(one, field.name) for one in found])
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_maps(path: str | Path) -> dict[str, list[OcclusionMap]]:
    """Read what `write_maps` wrote.

    Raises
    ------
    EvaluationError
        If the file is missing, damaged or of another kind.
    """
    maps = {}
    try:
        arrays = load_arrays(path)
        for i, model in enumerate(arrays["models"]):
            columns = [arrays[f"{field.name}_{i}"] for field in fields(OcclusionMap)]
            maps[str(model)] = [
                OcclusionMap(str(image), str(partner), crop, float(similarity), own, genuine)
                for image, partner, crop, similarity, own, genuine in zip(*columns, strict=True)
            ]
    except UNUSABLE:
        raise EvaluationError(
            f"{path}: this is not a file of saliency maps; delete it and evaluate again."
        ) from None
    return maps


def choose_pairs(rows: Sequence[ManifestRow], count: int, seed: int = 0) -> list[tuple[int, int]]:
    """Draw images that differ in quality, and another image of the same eye for each.

    Images are sorted by the mean of their ranks in the quality figures that all of them have, and
    one is drawn from each of `count` equal sections of that order, of different eyes where there
    are enough.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Identities and quality figures are read.
    count : int
        Number of images to draw.
    seed : int, optional
        Seed of the draw.

    Returns
    -------
    list of (int, int)
        Indices of image and partner, the worst quality first.
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
    """Slide a black square over a crop and measure how two similarities change.

    The side of the square is about an eighth of that of a square crop. It moves by half its side,
    to about 256 positions.

    Parameters
    ----------
    embedder : Embedder
        The model.
    crop, partner : ndarray of shape (height, width) or (height, width, 3), uint8
        Crops of the same eye, of any size; `partner` is not occluded.

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
    return crop, float(similarity), own, genuine


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
