"""What is looked for in a gallery, and what the comparisons with its images come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from iris_tf.matching.matcher import Matcher

if TYPE_CHECKING:
    from iris_tf.matching.gallery import Gallery


@dataclass(frozen=True, eq=False)
class Search:
    """A probe, and how it is compared with the images of a gallery.

    Attributes
    ----------
    embedding : ndarray of shape (D,), float32
        The probe's unit vector.
    matcher : Matcher
        Compares the model's embeddings.
    by_score : bool
        Whether scores decide rather than similarities.
    figures : ndarray of shape (2,) or None
        Of a transformed probe, see `Template.figures`.
    exact : bool
        Whether the matcher compares every image of a gallery folder.
    wide : bool
        Whether candidates are sought at the rotations beyond those of the phase code's layout
        rather than at those.
    """

    embedding: np.ndarray
    matcher: Matcher
    by_score: bool
    figures: np.ndarray | None = None
    exact: bool = False
    wide: bool = False

    @property
    def ranking(self) -> Matcher:
        """What ranks images where all are compared: by score, or by similarity alone."""
        return self.matcher if self.by_score else Matcher(self.matcher.layout)


@dataclass(frozen=True, eq=False)
class Comparisons:
    """A probe compared with images of a gallery.

    Attributes
    ----------
    identities, images : tuple of str
        Of each image that was compared.
    similarities : ndarray of shape (n,)
        Cosine similarities, -1..1.
    scores : ndarray of shape (n,) or None
        Minus infinity where inconclusive; None if the matcher has no scores.
    shown : ndarray of shape (n, 3) or None
        Degrees of freedom of what probe and image both show, and degrees of freedom and coarseness
        of the image by itself; None if the matcher has no scores.
    searched : int
        Number of images in the gallery, of which these are all or the candidates.
    """

    identities: tuple[str, ...]
    images: tuple[str, ...]
    similarities: np.ndarray
    scores: np.ndarray | None
    shown: np.ndarray | None
    searched: int

    @classmethod
    def of(cls, gallery: "Gallery", search: Search, searched: int) -> "Comparisons":
        """Compare a probe with every image of a gallery in memory."""
        scores = shown = None
        if search.matcher.has_scores:
            found = gallery.scores(search.embedding, search.matcher, search.figures)
            codes = gallery.described(search.matcher).codes
            [scores], [common] = found.values, found.freedom
            shown = np.stack([common, codes.freedom, codes.coarseness], axis=1)
        similarities = gallery.similarities(search.embedding, search.matcher)
        return cls(gallery.identities, gallery.images, similarities, scores, shown, searched)

    @classmethod
    def joined(cls, parts: Sequence["Comparisons"], searched: int) -> "Comparisons":
        """Several comparisons of one probe by one matcher, in their order; at least one."""
        scores = [part.scores for part in parts if part.scores is not None]
        shown = [part.shown for part in parts if part.shown is not None]
        return cls(
            tuple(identity for part in parts for identity in part.identities),
            tuple(image for part in parts for image in part.images),
            np.concatenate([part.similarities for part in parts]),
            np.concatenate(scores) if scores else None,
            np.concatenate(shown) if shown else None,
            searched,
        )

    def decisive(self, search: Search) -> np.ndarray:
        """What decides (n,): scores, or similarities in a search by these or without scores."""
        return self.similarities if self.scores is None or not search.by_score else self.scores

    @property
    def conclusive(self) -> np.ndarray:
        """Which comparisons (n,) show enough for a decision: all of them without scores."""
        return np.ones(len(self), bool) if self.scores is None else np.isfinite(self.scores)

    def best_of_identities(self, search: Search) -> list[int]:
        """Index of each identity's best image, the best first, inconclusive ones last."""
        conclusive = self.conclusive
        values = np.where(conclusive, self.decisive(search), self.similarities)
        return best_of_identities(self.identities, values, conclusive)

    def __len__(self) -> int:
        """Number of images that were compared."""
        return len(self.images)

    def __getitem__(self, rows: np.ndarray) -> "Comparisons":
        """Some of the comparisons (n,), int, in their order."""
        return Comparisons(
            tuple(self.identities[row] for row in rows.tolist()),
            tuple(self.images[row] for row in rows.tolist()),
            self.similarities[rows],
            None if self.scores is None else self.scores[rows],
            None if self.shown is None else self.shown[rows],
            self.searched,
        )


def best_of_identities(
    identities: Sequence[str], values: np.ndarray, conclusive: np.ndarray
) -> list[int]:
    """Index of each identity's highest value (n,), the highest first, the earlier of equal ones.

    Values that are not `conclusive` (n,) come after all others.
    """
    best: dict[str, int] = {}
    for number in np.lexsort((-values, ~conclusive)).tolist():
        best.setdefault(identities[number], number)
    return list(best.values())
