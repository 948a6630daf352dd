"""Who is compared with whom, and the similarity of every pair of images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iris_tf.config.names import PROTOCOLS
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.matcher import Matcher
from iris_tf.support.errors import EvaluationError
from iris_tf.tflite.model_card import NORM_TOLERANCE

_FLOATS_PER_BLOCK = 1 << 23


@dataclass(frozen=True)
class ImageLabels:
    """Who is on each image, as integers.

    Attributes
    ----------
    identity : ndarray of shape (n,), int32
        One eye of one subject of one dataset, numbered from 0 without gaps.
    person : ndarray of shape (n,), int32
        One subject of one dataset, numbered from 0 without gaps.
    group : ndarray of shape (n,), int32
        Only images of one group are compared with each other.
    """

    identity: np.ndarray
    person: np.ndarray
    group: np.ndarray

    @property
    def one_group(self) -> bool:
        """Whether every image is compared with every other."""
        return bool((self.group == self.group[0]).all())

    def select(self, images: np.ndarray) -> "ImageLabels":
        """Labels of some of the images, numbered anew."""
        identity, person, group = (
            np.unique(numbers[images], return_inverse=True)[1].astype(np.int32)
            for numbers in (self.identity, self.person, self.group)
        )
        return ImageLabels(identity, person, group)

    @property
    def identities(self) -> int:
        """Number of identities."""
        return int(self.identity.max()) + 1

    @property
    def persons(self) -> int:
        """Number of persons."""
        return int(self.person.max()) + 1


def label_images(rows: Sequence[ManifestRow], protocol: str = "all-pairs") -> ImageLabels:
    """Number the identities and persons of manifest rows.

    Parameters
    ----------
    rows : sequence of ManifestRow
        One row an image.
    protocol : {"all-pairs", "same-eye", "across-datasets"}
        Who is compared: all images of a dataset with each other, left against right eyes,
        which are other identities, included; only left with left and right with right
        eyes; or all images, those of other datasets as impostors too.

    Raises
    ------
    EvaluationError
        When there is no row, one identity is said to be of two persons, or the protocol
        asks for eyes that the rows do not tell.
    """
    if protocol not in PROTOCOLS:
        raise EvaluationError(
            f"protocol {protocol!r} is unknown; choose one of {', '.join(PROTOCOLS)}."
        )
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
    groups = ["" if protocol == "across-datasets" else row.dataset for row in rows]
    if protocol == "same-eye":
        if unknown := [row.image for row in rows if not row.eye]:
            raise EvaluationError(
                f"{len(unknown)} of {len(rows)} images, such as {unknown[0]}, are not said to show "
                "a left or a right eye; use the protocol all-pairs."
            )
        groups = [f"{row.eye} {dataset}" for row, dataset in zip(rows, groups, strict=True)]
    group = np.unique(groups, return_inverse=True)[1].astype(np.int32)
    return ImageLabels(identity, person, group)


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
    if len(bad := np.flatnonzero(np.abs(norms - 1.0) > NORM_TOLERANCE)):
        raise EvaluationError(
            f"{len(bad)} of {images} embeddings are not of unit length, the first is number "
            f"{bad[0]} (counted from 0) with length {norms[bad[0]]:.3g}; normalise them."
        )
    return embeddings


def similarity_blocks(
    embeddings: np.ndarray, matcher: Matcher = Matcher()
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the similarity matrix in blocks of rows, so that it is never whole in memory.

    Products (but for those of phase codes) are summed in float64 and then rounded to float32,
    so that equal pairs of images have equal scores wherever in the matrix they stand.

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
    # Products with a block of long vectors at a time, so that no float64 copy is made of all.
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
