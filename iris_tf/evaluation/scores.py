"""Comparison scores: the similarity of every pair of images."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iris_tf.datasets.manifest import ManifestRow
from iris_tf.errors import EvaluationError

_NORM_TOLERANCE = 0.01
_FLOATS_PER_BLOCK = 1 << 22


@dataclass(frozen=True)
class ImageLabels:
    """Who is on each image, as integers.

    Attributes
    ----------
    identity : ndarray of shape (n,), int32
        One eye of one subject of one dataset, numbered from 0 without gaps.
    person : ndarray of shape (n,), int32
        One subject of one dataset, numbered from 0 without gaps.
    """

    identity: np.ndarray
    person: np.ndarray

    @property
    def identities(self) -> int:
        """Number of identities."""
        return int(self.identity.max()) + 1

    @property
    def persons(self) -> int:
        """Number of persons."""
        return int(self.person.max()) + 1


def label_images(rows: Sequence[ManifestRow]) -> ImageLabels:
    """Number the identities and persons of manifest rows.

    Parameters
    ----------
    rows : sequence of ManifestRow
        One row an image.

    Raises
    ------
    EvaluationError
        When there is no row, or one identity is said to be of two persons.
    """
    if not rows:
        raise EvaluationError("there is no image to evaluate; choose a split that has some.")
    people: dict[tuple[str, str], int] = {}
    eyes: dict[tuple[str, str], int] = {}
    owner: dict[int, str] = {}
    person = np.empty(len(rows), np.int32)
    identity = np.empty(len(rows), np.int32)
    for i, row in enumerate(rows):
        person[i] = people.setdefault((row.dataset, row.subject), len(people))
        identity[i] = eyes.setdefault((row.dataset, row.identity), len(eyes))
        if owner.setdefault(int(identity[i]), row.subject) != row.subject:
            raise EvaluationError(
                f"identity {row.identity} of {row.dataset} is given to the subjects "
                f"{owner[int(identity[i])]} and {row.subject}; correct the manifest."
            )
    return ImageLabels(identity, person)


def check_embeddings(embeddings: np.ndarray, images: int) -> np.ndarray:
    """Embeddings as a float array, refused when no cosine could be read from them.

    Parameters
    ----------
    embeddings : ndarray of shape (images, size), float
        Unit vectors; a length off by up to 1 % (float16 or int8 arithmetic) is taken,
        and brought to 1 when the scores are computed.
    images : int
        Number of images they must belong to.

    Raises
    ------
    EvaluationError
        For another shape, NaN or infinite values, and vectors not of unit length.
    """
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2 or len(embeddings) != images:
        raise EvaluationError(
            f"embeddings of shape {embeddings.shape} do not belong to {images} images; "
            "give one row an image."
        )
    norms = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
    if len(bad := np.flatnonzero(~np.isfinite(norms))):
        raise EvaluationError(
            f"{len(bad)} of {images} embeddings hold NaN or infinite values, the first is number "
            f"{bad[0]} (counted from 0); the model is broken, train or export it again."
        )
    if len(bad := np.flatnonzero(np.abs(norms - 1.0) > _NORM_TOLERANCE)):
        raise EvaluationError(
            f"{len(bad)} of {images} embeddings are not of unit length, the first is number "
            f"{bad[0]} (counted from 0) with length {norms[bad[0]]:.3g}; normalise them."
        )
    return embeddings


def similarity_blocks(embeddings: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the cosine matrix in blocks of rows, so that it is never whole in memory.

    Products are summed in float64 and then rounded to float32, so that equal pairs
    of images have equal scores wherever in the matrix they stand.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size)
        As `check_embeddings` returns them.

    Yields
    ------
    start : int
        Index of the block's first row.
    block : ndarray of shape (rows, n), float32
        Cosine similarity, -1..1, of images ``start...start + rows`` with all.
    """
    n, size = embeddings.shape
    step = max(1, min(1024, _FLOATS_PER_BLOCK // max(n, size)))

    def unit(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    for start in range(0, n, step):
        left = unit(embeddings[start:start + step])
        block = np.empty((len(left), n), np.float32)
        for column in range(0, n, step):
            block[:, column:column + step] = left @ unit(embeddings[column:column + step]).T
        yield start, np.clip(block, -1.0, 1.0, out=block)


@dataclass(frozen=True)
class PairScores:
    """All comparisons of a set of images: one for each unordered pair of them.

    Attributes
    ----------
    genuine : ndarray of shape (n_genuine,), float32
        Similarity of pairs of one identity: the cosine, or what a baseline has instead.
    impostor : ndarray of shape (n_impostor,), float32
        Similarity of all other pairs. The left and the right eye of one person
        are an impostor comparison, as in the paper.
    genuine_pairs, impostor_pairs : ndarray of shape (n_genuine, 2), (n_impostor, 2), int32
        Indices of the two images, the smaller first.
    """

    genuine: np.ndarray
    impostor: np.ndarray
    genuine_pairs: np.ndarray
    impostor_pairs: np.ndarray


def all_pairs(embeddings: np.ndarray, labels: ImageLabels) -> PairScores:
    """Compare every image with every other, once.

    Exact, at 12 bytes a comparison: 54 MB for 3,000 images.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size)
        Unit vectors.
    labels : ImageLabels
        Identity of each.

    Raises
    ------
    EvaluationError
        When the embeddings cannot be used (see `check_embeddings`) or the images give no
        genuine or no impostor comparison.
    """
    embeddings = check_embeddings(embeddings, len(labels.identity))
    return pairs_of_blocks(similarity_blocks(embeddings), labels)


def pairs_of_blocks(blocks: Iterable[tuple[int, np.ndarray]], labels: ImageLabels) -> PairScores:
    """Sort a similarity matrix into genuine and impostor comparisons.

    Parameters
    ----------
    blocks : iterable of (int, ndarray of shape (rows, n), float32)
        The matrix in blocks of rows, as `similarity_blocks` yields them; of each pair, the
        similarity in the row of the smaller index counts.
    labels : ImageLabels
        Identity of each image.

    Raises
    ------
    EvaluationError
        When the images give no genuine or no impostor comparison.
    """
    identity = labels.identity
    n = len(identity)
    of_identity = np.bincount(identity).astype(np.int64)
    n_genuine = int((of_identity * (of_identity - 1) // 2).sum())
    n_impostor = n * (n - 1) // 2 - n_genuine
    if not (n_genuine and n_impostor):
        raise EvaluationError(
            f"{n} images of {len(of_identity)} identities give {n_genuine} genuine and "
            f"{n_impostor} impostor comparisons, but both kinds are needed; add images, or "
            "evaluate a larger split (`--split all`)."
        )
    scores = {True: np.empty(n_genuine, np.float32), False: np.empty(n_impostor, np.float32)}
    pairs = {kind: np.empty((len(values), 2), np.int32) for kind, values in scores.items()}
    filled = {True: 0, False: 0}
    for start, block in blocks:
        rows = np.arange(start, start + len(block))
        same = identity[rows, None] == identity[None, :]
        above_diagonal = rows[:, None] < np.arange(n)[None, :]
        for kind in (True, False):
            row, column = np.nonzero((same == kind) & above_diagonal)
            part = slice(filled[kind], filled[kind] + len(row))
            scores[kind][part] = block[row, column]
            pairs[kind][part, 0] = row + start
            pairs[kind][part, 1] = column
            filled[kind] = part.stop
    return PairScores(scores[True], scores[False], pairs[True], pairs[False])
