"""Which images are compared, and the score or similarity of every pair of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iris_tf.config.names import ACROSS_DATASETS, ALL_PAIRS, PROTOCOLS, SAME_EYE
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.embeddings import Embeddings
from iris_tf.matching.matcher import DescribedTemplates, Matcher
from iris_tf.metrics.scales import SCORES, SIMILARITIES
from iris_tf.support.errors import EvaluationError
from iris_tf.support.foreign_files import shown
from iris_tf.tflite.model_card import NORM_TOLERANCE

_FLOATS_PER_BLOCK = 1 << 23
_SCORES_PER_BLOCK = 1 << 20
_SCORED_ROWS = 256  # templates that are scored against all others at a time, at most


@dataclass(frozen=True)
class ImageLabels:
    """Who is on each image, and which images are compared, as integers.

    Attributes
    ----------
    identity : ndarray of shape (n,), int32
        One eye of one subject of one dataset, numbered from 0 without gaps.
    subject : ndarray of shape (n,), int32
        One subject of one dataset, numbered from 0 without gaps.
    group : ndarray of shape (n,), int32
        Only images of the same group are compared with each other.
    """

    identity: np.ndarray
    subject: np.ndarray
    group: np.ndarray

    @property
    def one_group(self) -> bool:
        """Whether every image is compared with every other."""
        return bool((self.group == self.group[0]).all())

    def select(self, images: np.ndarray) -> "ImageLabels":
        """Labels of some of the images, renumbered."""
        identity, subject, group = (
            np.unique(numbers[images], return_inverse=True)[1].astype(np.int32)
            for numbers in (self.identity, self.subject, self.group)
        )
        return ImageLabels(identity, subject, group)

    @property
    def identities(self) -> int:
        """Number of identities."""
        return int(self.identity.max()) + 1

    @property
    def subjects(self) -> int:
        """Number of subjects."""
        return int(self.subject.max()) + 1


# By protocol: what two images must share to be compared.
_GROUPS: dict[str, Callable[[ManifestRow], str]] = {
    ALL_PAIRS: lambda row: row.dataset,
    SAME_EYE: lambda row: f"{row.eye} {row.dataset}",
    ACROSS_DATASETS: lambda row: "",
}


def label_images(rows: Sequence[ManifestRow], protocol: str = ALL_PAIRS) -> ImageLabels:
    """Number the identities and subjects of manifest rows.

    Parameters
    ----------
    rows : sequence of ManifestRow
        One row per image.
    protocol : {"all-pairs", "same-eye", "across-datasets"}
        Which images are compared: all of a dataset with each other, including left with right
        eyes, which are different identities; only left with left and right with right eyes; or
        all images, including those of different datasets (impostors).

    Raises
    ------
    EvaluationError
        If there is no row, one identity belongs to two subjects, the protocol is unknown, or it
        needs to know the eye of an image and a row does not state it.
    """
    if protocol not in PROTOCOLS:
        raise EvaluationError(
            f"protocol {protocol!r} is unknown; choose one of {', '.join(PROTOCOLS)}."
        )
    if not rows:
        raise EvaluationError("there is no image to evaluate; choose a split that has some.")
    subjects: dict[tuple[str, str], int] = {}
    identities: dict[tuple[str, str], int] = {}
    owner: dict[int, str] = {}
    subject = np.empty(len(rows), np.int32)
    identity = np.empty(len(rows), np.int32)
    for i, row in enumerate(rows):
        subject[i] = subjects.setdefault((row.dataset, row.subject), len(subjects))
        identity[i] = identities.setdefault((row.dataset, row.identity), len(identities))
        if owner.setdefault(int(identity[i]), row.subject) != row.subject:
            raise EvaluationError(
                f"identity {shown(row.identity)} of {row.dataset} belongs to the subjects "
                f"{shown(owner[int(identity[i])])} and {shown(row.subject)}; correct the manifest."
            )
    unknown = [row.image for row in rows if not row.eye]
    if protocol == SAME_EYE and unknown:
        raise EvaluationError(
            f"the manifest does not state the eye of {len(unknown)} of {len(rows)} images, such as "
            f"{unknown[0]}; use the protocol {ALL_PAIRS}."
        )
    groups = list(map(_GROUPS[protocol], rows))
    group = np.unique(groups, return_inverse=True)[1].astype(np.int32)
    return ImageLabels(identity, subject, group)


def check_embeddings(embeddings: np.ndarray | Embeddings, images: int) -> np.ndarray:
    """Return embeddings as an array after checking that they are unit vectors.

    Parameters
    ----------
    embeddings : Embeddings, or ndarray of shape (images, size), float
        Unit vectors; a length that is off by up to 1 % (float16 or int8 arithmetic) is
        accepted, and normalised when the scores are computed.
    images : int
        Number of images they belong to.

    Raises
    ------
    EvaluationError
        For a wrong shape, NaN or infinite values, or vectors that are not of unit length.
    """
    embeddings = np.asarray(embeddings)
    if embeddings.ndim != 2 or len(embeddings) != images:
        raise EvaluationError(
            f"embeddings of shape {embeddings.shape} do not belong to {images} images; "
            "give one row per image."
        )
    norms = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
    if len(bad := np.flatnonzero(~np.isfinite(norms))):
        raise EvaluationError(
            f"{len(bad)} of {images} embeddings hold NaN or infinite values, the first is number "
            f"{bad[0]} (counted from 0); the model is broken, train or export it again."
        )
    if len(bad := np.flatnonzero(np.abs(norms - 1.0) > NORM_TOLERANCE)):
        raise EvaluationError(
            f"{len(bad)} of {images} embeddings are not of unit length, the first is number "
            f"{bad[0]} (counted from 0) with length {norms[bad[0]]:.3g}; normalise them."
        )
    return embeddings


def similarity_blocks(
    embeddings: np.ndarray, matcher: Matcher = Matcher()
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the similarity matrix in blocks of rows, so that it is never held in memory as a whole.

    Products (except those of phase codes) are summed in float64 and then rounded to float32,
    so that equal pairs of images have equal scores anywhere in the matrix.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size)
        As `check_embeddings` returns them.
    matcher : Matcher, optional
        How embeddings are compared.

    Yields
    ------
    start : int
        Index of the block's first row.
    block : ndarray of shape (rows, n), float32
        Cosine similarity, -1..1, of images ``start...start + rows`` with all.
    """
    n, size = embeddings.shape
    step = max(1, min(1024, _FLOATS_PER_BLOCK // max(n, size)))
    # Long vectors are multiplied block by block, so that they are not all copied to float64.
    width = max(step, _FLOATS_PER_BLOCK // size)

    def unit(rows: np.ndarray) -> np.ndarray:
        rows = rows.astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    whole = unit(embeddings) if width >= n else None
    for start in range(0, n, step):
        block = np.empty((min(step, n - start), n), np.float32)
        if whole is not None:
            block[:] = matcher.similarities(whole[start : start + step], whole)
        else:
            left = unit(embeddings[start : start + step])
            for column in range(0, n, width):
                part = slice(column, column + width)
                block[:, part] = matcher.similarities(left, unit(embeddings[part]))
        yield start, np.clip(block, -1.0, 1.0, out=block)


def refused_images(templates: DescribedTemplates, matcher: Matcher) -> np.ndarray:
    """Which images (n,), bool, `IrisRecognizer.embed` refuses: they are inconclusive with all."""
    assert matcher.score_model is not None  # else nothing was described
    codes = templates.codes
    return ~matcher.score_model.shows_enough(codes.freedom, codes.coarseness)


def score_blocks(
    embeddings: np.ndarray, matcher: Matcher, mirrored: bool = False
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the matrix of scores in blocks of rows.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size)
        As `check_embeddings` returns them.
    matcher : Matcher
        With scores.
    mirrored : bool, optional
        Whether to leave out what is left of the diagonal, and of the block's first row.

    Yields
    ------
    start : int
        Index of the block's first row.
    block : ndarray of shape (rows, n) or (rows, n - start), float32
        Scores as `SCORES` has them, so finite.
    """
    templates = matcher.describe(embeddings)
    refused = refused_images(templates, matcher)
    n = len(templates)
    step = max(1, min(_SCORED_ROWS, _SCORES_PER_BLOCK // n))
    for start in range(0, n, step):
        others = templates[start:] if mirrored else templates
        values = matcher.scores(templates[start : start + step], others).values
        values[refused[start : start + step]] = -np.inf
        values[:, refused[start if mirrored else 0 :]] = -np.inf
        yield start, SCORES.clipped(values)


def score_matrix(embeddings: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Scores (n, n) of all pairs of embeddings, each computed once; see `score_blocks`."""
    matrix = np.empty((len(embeddings),) * 2, np.float32)
    for start, block in score_blocks(embeddings, matcher, mirrored=True):
        matrix[start : start + len(block), start:] = block
        matrix[start:, start : start + len(block)] = block.T
    return matrix


def listed_scores(embeddings: np.ndarray, pairs: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Scores, or similarities where a matcher has no scores, of listed pairs.

    Parameters
    ----------
    embeddings : ndarray of shape (n, size)
        As `check_embeddings` returns them.
    pairs : ndarray of shape (m, 2), int
        Two images each.
    matcher : Matcher
        How embeddings are compared.

    Returns
    -------
    ndarray of shape (m,), float32
        As `iris_tf.metrics.scales.scale_of` has them.
    """
    found = np.empty(len(pairs), np.float32)
    if matcher.has_scores:
        images, places = np.unique(pairs, return_inverse=True)
        templates = matcher.describe(embeddings[images])
        refused = refused_images(templates, matcher)
        first, second = places.reshape(pairs.shape).T
        order = np.argsort(first, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(first[order])) + 1):
            one, others = templates[first[part[:1]]], templates[second[part]]
            found[part] = SCORES.clipped(matcher.scores(one, others).values[0])
        found[refused[first] | refused[second]] = SCORES.lowest
        return found
    step = max(1, _FLOATS_PER_BLOCK // embeddings.shape[1])
    for start in range(0, len(pairs), step):
        left, right = (
            embeddings[side].astype(np.float64) for side in pairs[start : start + step].T
        )
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        found[start : start + step] = matcher.paired_similarities(left, right) / lengths
    return np.clip(found, SIMILARITIES.lowest, 1.0)
