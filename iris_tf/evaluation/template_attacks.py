"""Attacks on keyed transforms of templates: linking templates across keys, and undoing a transform.

The attacker knows the method, the model and the stored templates, but no key.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iris_tf.matching.keyed_transform import KeyedTransform, levelled, protected_figures
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_evidence import CodeSet
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class StoredTemplates:
    """Templates that share a key, as a thief finds them.

    Attributes
    ----------
    embeddings : ndarray of shape (n, D), float32
        Transformed.
    figures : ndarray of shape (n, 2) or None
        See `iris_tf.matching.keyed_transform.protected_figures`; None without scores.
    matcher : Matcher
        How they are compared.
    """

    embeddings: np.ndarray
    figures: np.ndarray | None
    matcher: Matcher

    @classmethod
    def of(cls, transform: KeyedTransform, embeddings: np.ndarray) -> "StoredTemplates":
        """Transform embeddings (n, D)."""
        matcher = transform.matcher
        figures = protected_figures(embeddings, matcher) if matcher.has_scores else None
        return cls(transform.apply(embeddings), figures, matcher)

    def __getitem__(self, chosen: np.ndarray) -> "StoredTemplates":
        figures = None if self.figures is None else self.figures[chosen]
        return StoredTemplates(self.embeddings[chosen], figures, self.matcher)

    @property
    def layout(self) -> PhaseCodeLayout:
        """Layout of their phase codes."""
        assert self.matcher.layout is not None
        return self.matcher.layout


Linkage = Callable[[StoredTemplates, StoredTemplates], np.ndarray]
"""Scores (n, m) of every pair of templates of two sets: higher, more likely of one eye."""


def by_matcher(first: StoredTemplates, second: StoredTemplates) -> np.ndarray:
    """Compare templates of different keys as if they had one."""
    return first.matcher.similarities(first.embeddings, second.embeddings)


def by_power(first: StoredTemplates, second: StoredTemplates) -> np.ndarray:
    """Correlate what no transform of this kind changes: the power of each frequency."""
    return _correlation(*(_standard(np.log(_power(one))) for one in (first, second)))


def by_freedom(first: StoredTemplates, second: StoredTemplates) -> np.ndarray:
    """Compare the degrees of freedom, which are stored beside the embeddings."""
    one, other = (np.log(_freedom(of)) for of in (first, second))
    return -np.abs(np.subtract.outer(one, other))


def by_neighbours(first: StoredTemplates, second: StoredTemplates) -> np.ndarray:
    """Compare how similar each template is to all others of its key, in order of similarity."""
    profiles = []
    for one in (first, second):
        found = one.matcher.similarities(one.embeddings, one.embeddings)
        others = np.sort(found[~np.eye(len(found), dtype=bool)].reshape(len(found), -1), axis=1)
        places = np.linspace(0, others.shape[1] - 1, 20).round().astype(int)
        profiles.append(_standard(others[:, places]))
    return -np.linalg.norm(profiles[0][:, None] - profiles[1][None], axis=2)


LINKAGES: dict[str, Linkage] = {
    "matcher": by_matcher,
    "power": by_power,
    "freedom": by_freedom,
    "neighbours": by_neighbours,
}
"""Linkage attacks by name. The first three look at two templates, the last at two galleries."""


def recovered(known: np.ndarray, stored: StoredTemplates, targets: StoredTemplates) -> np.ndarray:
    """Undo a transform with the help of some templates whose embeddings are known.

    The matrices are estimated by orthogonal Procrustes (Schönemann, 1966): those that best turn the
    known embeddings into the stored ones. With as many known templates as a matrix has columns it
    is exact.

    Parameters
    ----------
    known : ndarray of shape (n, D)
        Embeddings, not transformed, that the attacker could get enrolled, such as his own.
    stored : StoredTemplates
        The templates (n) that were made of them.
    targets : StoredTemplates
        Templates (m) of the same key.

    Returns
    -------
    ndarray of shape (m, D)
        Estimates of the targets' levelled embeddings.
    """
    matcher = stored.matcher
    (learned, codes), (kept, kept_codes), (goal, goal_codes) = (
        matcher.split(vectors)
        for vectors in (levelled(known, matcher), stored.embeddings, targets.embeddings)
    )
    parts = [goal @ _procrustes(learned.T @ kept)]
    layout = stored.layout
    waves, kept_waves, goal_waves = (
        np.fft.rfft(part.reshape(len(part), layout.columns, -1), axis=1)
        for part in (codes, kept_codes, goal_codes)
    )
    matrices = _procrustes(np.einsum("nfi,nfj->fij", waves.conj(), kept_waves))
    found = np.einsum("nfi,fij->nfj", goal_waves, matrices)
    parts.append(np.fft.irfft(found, layout.columns, axis=1).reshape(len(goal), layout.size))
    return np.concatenate(parts, axis=1)


def _procrustes(products: np.ndarray) -> np.ndarray:
    """Unitary matrices (..., n, n) by which stored rows are multiplied to become known ones.

    `products` are the sums of outer products of conjugated known rows with stored ones.
    """
    left, _, right = np.linalg.svd(products)
    return (left @ right).conj().swapaxes(-1, -2)


def _power(stored: StoredTemplates) -> np.ndarray:
    codes = stored.matcher.split(stored.embeddings)[1].astype(np.float64)
    return np.square(np.abs(stored.layout.waves(codes))).sum(axis=2)


def _freedom(stored: StoredTemplates) -> np.ndarray:
    codes = stored.matcher.split(stored.embeddings)[1]
    return CodeSet.of(codes, stored.layout, stored.figures).freedom


def _standard(columns: np.ndarray) -> np.ndarray:
    """Columns (n, k) without their mean, at a standard deviation of 1."""
    centred = columns - columns.mean(axis=0)
    return centred / np.maximum(centred.std(axis=0), _TINY)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    first, second = (
        rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
        for rows in (first, second)
    )
    return first @ second.T
