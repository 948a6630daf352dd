"""Embeddings that know how they are compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import Origin
from iris_tf.support.errors import ArgumentError


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of several images, with what computed them and how they are compared.

    NumPy takes them for an array of shape (n, D): ``numpy.asarray(embeddings)`` gives their
    vectors. They have no arithmetic of their own, because the cosine of two vectors is not their
    similarity where part of them is a phase code: `IrisRecognizer.similarities` compares them.

    Attributes
    ----------
    vectors : ndarray of shape (n, D), float32
        Unit vectors, one per image.
    origin : Origin
        Model and calibration that computed them.
    matcher : Matcher
        How they are compared.

    Examples
    --------
    >>> origin = Origin("model", "0" * 64)
    >>> found = Embeddings(np.eye(3, dtype=np.float32), origin, Matcher())
    >>> found.shape, found[0], len(found[1:])
    ((3, 3), array([1., 0., 0.], dtype=float32), 2)
    """

    vectors: np.ndarray
    origin: Origin
    matcher: Matcher

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, and length of an embedding."""
        return self.vectors.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        return self.vectors.dtype

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.vectors)

    def __getitem__(self, images: Any) -> Any:
        """The vector (D,) of one image, or the `Embeddings` of several, by their numbers.

        With two indices, as for some entries of the vectors, a plain array: parts of vectors are
        no embeddings.
        """
        chosen = self.vectors[images]
        if isinstance(images, tuple) or chosen.ndim != 2:
            return chosen
        return Embeddings(chosen, self.origin, self.matcher)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        vectors = self.vectors if dtype is None else self.vectors.astype(dtype, copy=False)
        return vectors.copy() if copy and vectors is self.vectors else vectors


def matcher_of(embeddings: np.ndarray | Embeddings, matcher: Matcher | None) -> Matcher:
    """How embeddings are compared: as stated, or else as the embeddings say themselves.

    Raises
    ------
    ArgumentError
        When neither says it: the plain cosine is wrong for a model with a phase code.
    """
    if matcher is not None:
        return matcher
    if isinstance(embeddings, Embeddings):
        return embeddings.matcher
    raise ArgumentError(
        "An array of embeddings does not say how they are compared; give what "
        "`IrisRecognizer.embed` returns, or the matcher: `recognizer.matcher`, or `Matcher()` for "
        "the plain cosine."
    )
