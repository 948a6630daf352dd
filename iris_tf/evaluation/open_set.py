"""Open-set identification: most who come are not enrolled. ISO/IEC 19795-1, FNIR at FPIR.

Protocol, for each of several seeded draws: half of the persons (rounded up) are enrolled,
each eye with one image drawn from its own. Their other images are mated probes; all images
of the other persons are non-mated probes, so that no non-mated probe shows the other eye of
an enrolled person. A search returns all enrolled eyes that score at least the threshold,
without a limit on rank:

- FPIR is the share of non-mated probes for which anything is returned;
- FNIR is the share of mated probes whose own eye is not among what is returned.

FNIR is given at the most lenient threshold whose FPIR is at most the one asked for, and is
the mean over the draws.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from iris_tf.evaluation.counts import rounded
from iris_tf.evaluation.scores import ImageLabels
from iris_tf.evaluation.verification import error_curve, vr_of_curve

FPIRS = {"fpir_1e-1": 0.1, "fpir_1e-2": 0.01}
DRAWS = 10


@dataclass(frozen=True)
class Draw:
    """Who is enrolled, and who is searched for.

    Attributes
    ----------
    gallery : ndarray of shape (n_gallery,), int64
        Images that are enrolled, one an identity.
    mate : ndarray of shape (n,), int64
        Enrolled image of each image's own identity, -1 where that is not enrolled or the
        image is the enrolled one.
    non_mated : ndarray of shape (n,), bool
        Images of persons who are not enrolled.
    """

    gallery: np.ndarray
    mate: np.ndarray
    non_mated: np.ndarray


def draw_galleries(labels: ImageLabels, draws: int = DRAWS, seed: int = 0) -> list[Draw]:
    """Draw who is enrolled; the same arguments give the same draws.

    Parameters
    ----------
    labels : ImageLabels
        Who is on each image.
    draws : int, optional
        Number of draws.
    seed : int, optional
        Their seed.
    """
    rng = np.random.default_rng(seed)
    galleries = []
    for _ in range(draws):
        persons = rng.permutation(labels.persons)[: (labels.persons + 1) // 2]
        enrolled = np.isin(labels.person, persons)
        order = rng.permutation(len(enrolled))
        identities, first = np.unique(labels.identity[order], return_index=True)
        image_of = np.full(labels.identities, -1)
        image_of[identities] = order[first]  # one image of each identity, at random
        gallery = image_of[enrolled[image_of]]
        mate = np.where(enrolled, image_of[labels.identity], -1)
        mate[gallery] = -1
        galleries.append(Draw(gallery, mate, ~enrolled))
    return galleries


class OpenSetCounter:
    """Search for every probe of every draw, from a similarity matrix block by block.

    Parameters
    ----------
    labels : ImageLabels
        Who is on each image, and who is compared.
    draws : list of Draw
        From `draw_galleries`.
    """

    def __init__(self, labels: ImageLabels, draws: list[Draw]):
        self._labels, self._draws = labels, draws
        self._scores = np.full((len(draws), len(labels.identity)), -np.inf, np.float32)

    def add(self, start: int, block: np.ndarray) -> None:
        """Search for the probes ``start...start + rows``.

        Parameters
        ----------
        start : int
            Index of the block's first row.
        block : ndarray of shape (rows, n), float32
            Similarity with all images.
        """
        images = np.arange(start, start + len(block))
        group = self._labels.group
        for draw, scores in zip(self._draws, self._scores, strict=True):
            mated = np.flatnonzero(draw.mate[images] >= 0)
            scores[images[mated]] = block[mated, draw.mate[images[mated]]]
            rows = np.flatnonzero(draw.non_mated[images])
            candidates = np.take(block[rows], draw.gallery, axis=1)
            if not self._labels.one_group:
                candidates[group[images[rows], None] != group[None, draw.gallery]] = -np.inf
            scores[images[rows]] = candidates.max(axis=1, initial=-np.inf)

    def result(self) -> dict[str, Any]:
        """Figures fit for JSON.

        Returns
        -------
        dict
            ``draws``; ``enrolled``, ``mated_probes`` and ``non_mated_probes`` (means over
            the draws); ``fnir`` by the names of `FPIRS`, None where a draw has no probe of
            either kind or fewer non-mated probes than ``1 / FPIR``; and ``rule_of_30`` by
            the same names, whether 30 false positives are expected of each draw.
        """
        sizes, fnir = [], {name: [] for name in FPIRS}
        for draw, scores in zip(self._draws, self._scores, strict=True):
            mated = scores[draw.mate >= 0]
            non_mated = np.maximum(scores[draw.non_mated], -1.0)  # nobody of its group enrolled
            sizes.append((len(draw.gallery), len(mated), len(non_mated)))
            if len(mated) and len(non_mated):
                curve = error_curve(rounded(mated), rounded(non_mated))
                for name, fpir in FPIRS.items():
                    if len(non_mated) * fpir >= 1:
                        fnir[name].append(1.0 - vr_of_curve(curve, fpir).rate)
        enrolled, mated, non_mated = (float(mean) for mean in np.mean(sizes, axis=0))
        least = min(size[2] for size in sizes)
        return {
            "draws": len(sizes),
            "enrolled": enrolled,
            "mated_probes": mated,
            "non_mated_probes": non_mated,
            "fnir": {
                name: float(np.mean(rates)) if len(rates) == len(sizes) else None
                for name, rates in fnir.items()
            },
            "rule_of_30": {name: least * fpir >= 30 for name, fpir in FPIRS.items()},
        }
