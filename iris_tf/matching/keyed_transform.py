"""Revocable templates: a keyed transform under which similarities and rotations survive.

Which transforms do: a phase code is c real numbers at each of n columns around the ring, and codes
are compared at all rotations, that is cyclic shifts of the columns. The linear maps that keep every
scalar product at every rotation are those that multiply the discrete Fourier transform over the
columns, c complex numbers at each frequency, by one unitary matrix for each frequency (orthogonal
at the two real ones). There are no others. The transform draws these matrices, and an orthogonal
one for the learned component, from the Haar measure (Mezzadri, 2007) by the key. Smaller groups,
such as permutations of rows with changes of sign, are contained in it, but are undone from a single
template, because neighbouring rows resemble each other.

What it cannot hide: unitary matrices keep lengths, so the power of each frequency would be the same
under every key, and tell eyes apart. Hence embeddings are *levelled* first, without a key: the
power of each frequency becomes the mean over many eyes, and the weight of the phase code a
constant. All levelled embeddings lie in one orbit of the group, so under a random key a single one
has the same distribution whoever's eye it is: without the key it says nothing about the eye.
Templates that share a key keep all scalar products among themselves.

Hidden places do not survive, so the degrees of freedom, which scores need, are computed before and
stored in coarse steps. They do depend on the image.

References
----------
F. Mezzadri, "How to generate random matrices from the classical compact groups", Notices of the
AMS 54(5), 2007.
"""

import dataclasses
import functools
import hashlib
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from iris_tf.matching.gallery import Gallery
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_evidence import CodeSet
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import Origin, Template, unit
from iris_tf.support.errors import ModelError

_PURPOSE = "transform of templates"
# Root of the mean power of generated eyes' phase codes of the released model, by cycles per column
# from 0 to 1/2.
_LEVELS = (
    0.355, 0.586, 1.0, 0.949, 0.846, 0.699, 0.646, 0.633, 0.529, 0.414, 0.295, 0.193, 0.131, 0.096,
    0.077, 0.068, 0.064,
)  # fmt: skip
_CODE_SHARE = 2.0 / 3.0  # of the squared length of an embedding, as in the released model
_LEAST_LENGTH = 1e-6
# Steps of degrees of freedom: finer ones, or more, would tell templates apart.
_FREEDOM, _FREEDOM_FACTOR, _FREEDOM_STEPS = 64.0, 1.5, 3


@dataclass(frozen=True, eq=False)
class KeyedTransform:
    """Transforms embeddings of one model by a key.

    Parameters
    ----------
    key : SecretKey
        Not the one that files are encrypted with: it is changed for other reasons.
    matcher : Matcher
        How the embeddings are compared, before and after.
    identity : str, optional
        Whose templates it is for. Where a probe claims an identity, give it: then no two
        identities share a transform, and what is learned about one says nothing about another. A
        gallery that is searched needs one transform for all.

    Examples
    --------
    >>> transform = KeyedTransform(SecretKey(bytes(32)), Matcher())
    >>> a, b = np.eye(2, 8, dtype=np.float32)
    >>> kept = transform.apply(np.stack([a, (a + b) / np.sqrt(2)]))
    >>> f"{kept[0] @ kept[1]:.6f}"
    '0.707107'
    """

    key: SecretKey
    matcher: Matcher
    identity: str = ""

    @property
    def id(self) -> str:
        """Public identifier of the transform."""
        return self.key.id(self._purpose)

    @property
    def _purpose(self) -> str:
        return f"{_PURPOSE} of {self.identity}" if self.identity else _PURPOSE

    def template(self, template: Template) -> Template:
        """Transform a template; its quality stays with it, but is not saved.

        Raises
        ------
        ModelError
            When it is transformed already, or has no learned component or phase code.
        """
        origin = self.origin(template.origin)
        embeddings, figures = self.apply_with_figures(template.embedding[None])
        return dataclasses.replace(
            template,
            embedding=embeddings[0],
            origin=origin,
            figures=None if figures is None else figures[0],
            layout=None,  # few bits would not do: no response is hidden, and few are strong
        )

    def gallery(self, gallery: Gallery) -> Gallery:
        """Transform a gallery.

        Raises
        ------
        ModelError
            When it is transformed already, or an embedding has no learned component or phase code.
        """
        origin = self.origin(gallery.origin)
        embeddings, figures = self.apply_with_figures(gallery.embeddings)
        return Gallery(embeddings, gallery.identities, gallery.images, origin, figures)

    def replacing(self, former: "KeyedTransform", gallery: Gallery) -> Gallery:
        """The gallery that another key transformed, as this one would have, without enrolment.

        Raises
        ------
        ModelError
            When it is not the other key that transformed it.
        """
        if gallery.origin.transform != former.id:
            raise ModelError(
                f"The gallery is protected by the transform {gallery.origin.transform or 'none'}, "
                f"not by {former.id}; give the key that it was transformed with."
            )
        embeddings = self.replace(former, gallery.embeddings)
        origin = dataclasses.replace(gallery.origin, transform=self.id)
        return dataclasses.replace(gallery, embeddings=embeddings, origin=origin)

    def apply(self, embeddings: np.ndarray) -> np.ndarray:
        """Level and transform embeddings.

        Parameters
        ----------
        embeddings : ndarray of shape (n, D), float32
            Unit vectors that no transform protects.

        Returns
        -------
        ndarray of shape (n, D), float32
            Unit vectors.

        Raises
        ------
        ModelError
            When an embedding's learned component or phase code is zero.
        """
        return self._multiplied(levelled(embeddings, self.matcher), inverse=False)

    def undo(self, embeddings: np.ndarray) -> np.ndarray:
        """The levelled embeddings (n, D) that this transform made transformed ones of."""
        return self._multiplied(np.asarray(embeddings, np.float64), inverse=True)

    def replace(self, former: "KeyedTransform", embeddings: np.ndarray) -> np.ndarray:
        """Embeddings (n, D) that another key transformed, as this one would have."""
        return self._multiplied(former.undo(embeddings).astype(np.float64), inverse=False)

    def origin(self, origin: Origin) -> Origin:
        """Origin of templates after this transform.

        Raises
        ------
        ModelError
            When they are transformed already.
        """
        if origin.transform:
            raise ModelError(
                f"The transform {origin.transform} protects these templates already; replace its "
                "key, or enrol again."
            )
        return dataclasses.replace(origin, transform=self.id)

    def apply_with_figures(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """As `apply`, with the `protected_figures` where the matcher has scores, else None."""
        scored = self.matcher.has_scores
        figures = protected_figures(embeddings, self.matcher) if scored else None
        return self.apply(embeddings), figures

    def _multiplied(self, embeddings: np.ndarray, inverse: bool) -> np.ndarray:
        learned, codes = self.matcher.split(embeddings)
        parts = []
        if learned.shape[1]:
            matrix = self._orthogonal(learned.shape[1])
            parts.append(learned @ (matrix if inverse else matrix.T))
        if self.matcher.layout is not None:
            waves = self.matcher.layout.waves(codes).swapaxes(0, 1)
            matrices = self._unitary.conj() if inverse else self._unitary.swapaxes(1, 2)
            parts.append(self.matcher.layout.from_waves((waves @ matrices).swapaxes(0, 1)))
        return unit(np.concatenate(parts, axis=1))

    def _orthogonal(self, size: int) -> np.ndarray:
        """Matrix of the learned component."""
        return _haar(self._normal("learned component", (size, size)))

    @functools.cached_property
    def _unitary(self) -> np.ndarray:
        """Matrix of each frequency, of shape (frequencies, channels, channels), complex."""
        layout = self.matcher.layout
        assert layout is not None  # else there are no codes
        channels, frequencies = layout.size // layout.columns, layout.columns // 2 + 1
        shape = (2, frequencies, channels, channels)
        real, imaginary = self._normal("phase codes", shape)
        # The waves of real numbers are real there, and have to stay so.
        imaginary[0] = 0.0
        if layout.columns % 2 == 0:
            imaginary[-1] = 0.0
        return _haar(real + 1j * imaginary)

    def _normal(self, what: str, shape: tuple[int, ...]) -> np.ndarray:
        """Normally distributed numbers from the key, the same on every machine (SHAKE-256)."""
        seed = self.key.derive(f"{self._purpose}: {what}")
        stream = hashlib.shake_256(seed).digest(8 * int(np.prod(shape)))
        integers = np.frombuffer(stream, "<u8") >> np.uint64(12)
        return ndtri((integers + 0.5) * 2.0**-52).reshape(shape)


def levelled(embeddings: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Give all embeddings what no transform can hide: see this module.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D)
    matcher : Matcher
        Tells the learned component from the phase code.

    Returns
    -------
    ndarray of shape (n, D), float64
        Unit vectors. Without a phase code nothing but rounding changes.

    Raises
    ------
    ModelError
        When a learned component or a phase code is zero.
    """
    learned, codes = matcher.split(np.asarray(embeddings, np.float64))
    layout = matcher.layout
    if layout is None:
        return _scaled(learned, 1.0)
    waves = layout.waves(codes)
    lengths = np.linalg.norm(waves, axis=2, keepdims=True)
    amplitudes = np.sqrt(_power(layout.columns))[:, None]
    waves = waves * (amplitudes / np.maximum(lengths, _LEAST_LENGTH))
    if not learned.shape[1]:
        return _scaled(layout.from_waves(waves), 1.0)
    parts = (
        _scaled(learned, np.sqrt(1.0 - _CODE_SHARE)),
        _scaled(layout.from_waves(waves), np.sqrt(_CODE_SHARE)),
    )
    return np.concatenate(parts, axis=1)


def protected_figures(embeddings: np.ndarray, matcher: Matcher) -> np.ndarray:
    """What scores need to know of embeddings, as it holds once they are transformed.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D)
        Unit vectors that no transform protects.
    matcher : Matcher
        Of a model card with scores.

    Returns
    -------
    ndarray of shape (n, 2), float32
        Spread and smoothness, see `iris_tf.matching.phase_evidence.CodeSet`. The spread is that of
        codes that show every place, such that they have the degrees of freedom of the levelled
        code, of which only the interval is told: from 64, 96, 144, or 216 on, and likewise below
        64. Each is represented by its geometric middle, as if the last were no wider. The
        smoothness is the same for all, as is the power spectrum.
    """
    layout = matcher.layout
    assert layout is not None  # there are scores
    visible = np.repeat(_visible(matcher.split(embeddings)[1]), 2, axis=1)
    codes = matcher.split(levelled(embeddings, matcher))[1] * visible
    freedom = np.maximum(CodeSet.of(codes, layout).freedom, 1.0)
    steps = np.floor(np.log(freedom / _FREEDOM) / np.log(_FREEDOM_FACTOR))
    freedom = _FREEDOM * _FREEDOM_FACTOR ** (np.minimum(steps, _FREEDOM_STEPS) + 0.5)
    smoothness = np.full(len(codes), _smoothness(layout.columns))
    return np.stack([layout.size / 2 / freedom, smoothness], axis=1).astype(np.float32)


def _visible(codes: np.ndarray) -> np.ndarray:
    """Where responses of codes (n, size) are not hidden, of shape (n, size / 2)."""
    return (codes.reshape(len(codes), -1, 2) != 0).any(axis=2)


def _power(columns: int) -> np.ndarray:
    """Squared length of the waves at each frequency of a code of unit length."""
    frequencies = np.arange(columns // 2 + 1) / columns
    amplitudes = np.interp(frequencies, np.linspace(0.0, 0.5, len(_LEVELS)), _LEVELS)
    power = np.square(amplitudes)
    return columns * power / (power * _occurrences(columns)).sum()


def _occurrences(columns: int) -> np.ndarray:
    """How often a frequency of real numbers occurs among those of complex ones."""
    return np.where(2 * np.arange(columns // 2 + 1) % columns == 0, 1.0, 2.0)


def _smoothness(columns: int) -> float:
    """`CodeSet.smoothness` of codes with the levelled spectrum."""
    squares = np.square(_power(columns)) * _occurrences(columns)
    angles = 2.0 * np.pi * np.arange(len(squares)) / columns
    return float((squares * np.cos(angles)).sum() / squares.sum())


def _scaled(vectors: np.ndarray, length: float) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (lengths > _LEAST_LENGTH).all():  # also for NaN
        raise ModelError(
            "An embedding has a learned component or a phase code that is zero, so it cannot be "
            "transformed; use an image that shows more of the iris."
        )
    return vectors * (length / lengths)


def _haar(normal: np.ndarray) -> np.ndarray:
    """Orthogonal or unitary matrices from independent normal entries (..., n, n)."""
    matrices, triangles = np.linalg.qr(normal)
    diagonal = np.diagonal(triangles, axis1=-2, axis2=-1)
    return matrices * (diagonal / np.abs(diagonal))[..., None, :]
