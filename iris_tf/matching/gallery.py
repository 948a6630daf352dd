"""Galleries: the enrolled templates that a probe is searched against."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from iris_tf.matching.gallery_search import Comparisons, Search
from iris_tf.matching.matcher import DescribedTemplates, Matcher, Scores
from iris_tf.matching.secret_keys import KeyGiven
from iris_tf.matching.template import (
    Origin,
    Template,
    are_figures,
    are_unit,
    read_arrays,
    require_unit,
    write_arrays,
)
from iris_tf.support.errors import ArgumentError, ModelError
from iris_tf.support.files import path_given
from iris_tf.tflite.score_model import Levelling

if TYPE_CHECKING:
    from iris_tf.matching.gallery_folder import GalleryFolder


@dataclass(frozen=True, eq=False)
class Gallery:
    """Enrolled images, one or more per identity.

    Attributes
    ----------
    embeddings : ndarray of shape (n, D), float32
        Unit vectors.
    identities : tuple of str
        Identity of each embedding.
    images : tuple of str
        Image that each embedding was computed from, or ``""`` if unknown.
    origin : Origin
        Model and calibration.
    figures : ndarray of shape (n, 2), float32, or None
        What scores need to know of each phase code (`CodeSet.figures`), if it was kept; computed
        when it is needed, else.
    levelling : Levelling or None
        How the phase codes of `figures` were levelled.
    """

    embeddings: np.ndarray
    identities: tuple[str, ...]
    images: tuple[str, ...]
    origin: Origin
    figures: np.ndarray | None = None
    levelling: Levelling | None = None
    _described: dict[Matcher, DescribedTemplates] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def joined(cls, parts: Sequence["Gallery"]) -> "Gallery":
        """One gallery of several of one kind, in their order; at least one."""
        figures = [part.figures for part in parts if part.figures is not None]
        return cls(
            np.concatenate([part.embeddings for part in parts]),
            tuple(identity for part in parts for identity in part.identities),
            tuple(image for part in parts for image in part.images),
            parts[0].origin,
            np.concatenate(figures) if len(figures) == len(parts) else None,
            parts[0].levelling,
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def count_identities(self) -> int:
        """Number of identities."""
        return len(set(self.identities))

    def __getitem__(self, rows: np.ndarray) -> "Gallery":
        """Gallery of some images (n,), int, in their order."""
        return type(self)(
            self.embeddings[rows],
            tuple(self.identities[row] for row in rows.tolist()),
            tuple(self.images[row] for row in rows.tolist()),
            self.origin,
            None if self.figures is None else self.figures[rows],
            self.levelling,
        )

    @classmethod
    def of_templates(cls, templates: Mapping[str, Template]) -> "Gallery":
        """Make a gallery of templates by identity.

        Raises
        ------
        ModelError
            When there is no template, or they differ in model, calibration or length.
        ArgumentError
            When these are no templates by identity, or no unit vectors.
        """
        if not isinstance(templates, Mapping) or not all(
            isinstance(template, Template) for template in templates.values()
        ):
            raise ArgumentError(
                "A gallery is made of templates by identity; give a dict such as {name: "
                "Template.load(file)}, or `Gallery.load(file)`."
            )
        if not templates:
            raise ModelError("The gallery is empty; enrol an eye first.")
        first = next(iter(templates.values()))
        origin = first.origin
        for identity, template in templates.items():
            origin.require(template.origin, f"The template of {identity}")
            require_unit(template.embedding, 1, f"The template of {identity}")
            if len(template.embedding) != len(first.embedding):
                raise ModelError(
                    f"The template of {identity} has {len(template.embedding)} numbers, but "
                    f"others have {len(first.embedding)}; enrol again with the model in use."
                )
        embeddings = np.stack([template.embedding for template in templates.values()])
        known = [one.figures for one in templates.values() if one.figures is not None]
        figures = np.stack(known) if len(known) == len(templates) else None
        return cls(embeddings, tuple(templates), ("",) * len(templates), origin, figures)

    def require_searchable(self) -> None:
        """Refuse a gallery that cannot give a right answer.

        Raises
        ------
        ModelError
            When it is empty.
        ArgumentError
            When its embeddings are no unit vectors with an identity and an image each.
        """
        require_unit(self.embeddings, 2, "The gallery")
        if not len(self.embeddings):
            raise ModelError("The gallery is empty; enrol an eye first.")
        if not len(self.embeddings) == len(self.identities) == len(self.images):
            raise ArgumentError(
                f"The gallery has {len(self.embeddings)} embeddings, {len(self.identities)} "
                f"identities and {len(self.images)} images; give one of each for every image."
            )

    def similarities(self, embedding: np.ndarray, matcher: Matcher) -> np.ndarray:
        """Cosine similarities (n,) of a probe (D,) to each image, -1..1."""
        return matcher.similarities(embedding[None], self.embeddings)[0].clip(-1.0, 1.0)

    def described(self, matcher: Matcher) -> DescribedTemplates:
        """The images as a matcher with scores needs them: described once for all probes."""
        if matcher not in self._described:
            self._described[matcher] = matcher.describe(
                self.embeddings, self.figures, bool(self.origin.transform), self.levelling
            )
        return self._described[matcher]

    def scores(
        self, embedding: np.ndarray, matcher: Matcher, figures: np.ndarray | None = None
    ) -> Scores:
        """Score a probe against each image.

        Parameters
        ----------
        embedding : ndarray of shape (D,), float32
            The probe's unit vector.
        matcher : Matcher
            Of a model card with scores.
        figures : ndarray of shape (2,), optional
            Of a transformed probe, see `Template.figures`.

        Returns
        -------
        Scores
            Of one template and n.
        """
        known = None if figures is None else figures[None]
        probe = matcher.describe(embedding[None], known, bool(self.origin.transform))
        return matcher.scores(probe, self.described(matcher))

    def compared(self, search: Search) -> Comparisons:
        """Compare a probe with every image."""
        return Comparisons.of(self, search, len(self))

    @staticmethod
    def open(path: str | Path, key: KeyGiven = None) -> "Gallery | GalleryFolder":
        """Open a gallery: a folder that `iris-tf enroll` made, or read a file.

        Parameters
        ----------
        path : str or Path
        key : SecretKey, str or Path, optional
            That it is encrypted with. A plain gallery is refused with a key.

        Raises
        ------
        ModelError, ProtectionError
            When there is none, or it cannot be used.
        """
        from iris_tf.matching.gallery_folder import GalleryFolder

        path = path_given(path, "The gallery")
        return Gallery.load(path, key) if path.is_file() else GalleryFolder(path, key)

    def save(self, path: str | Path, key: KeyGiven = None) -> None:
        """Write the gallery as ``.npz``, whole or not at all.

        Parameters
        ----------
        path : str or Path
        key : SecretKey, str or Path, optional
            Encrypts the file: a key, its file, or ``keyring:NAME``.

        Raises
        ------
        ArgumentError
            When it could not be read again: an identity is not a text, or embeddings are not unit
            vectors with an identity and an image each.
        ProtectionError
            When the key cannot be used.
        """
        for identity in (*self.identities, *self.images):
            if isinstance(identity, str) and identity.endswith("\0"):
                raise ArgumentError(
                    f"{path}: {identity!r} ends in a null character, which the file would lose; "
                    "remove it."
                )
        for identity in self.identities:
            if not isinstance(identity, str):
                raise ArgumentError(
                    f"{path}: the identity {identity!r} is a {type(identity).__name__}, but only "
                    "texts can be saved; convert identities with str()."
                )
        if not are_unit(self.embeddings, 2) or not (
            len(self.embeddings) == len(self.identities) == len(self.images)
        ):
            raise ArgumentError(
                f"{path}: a gallery needs unit vectors, float32 (n, D), and as many identities and "
                "images; nothing was saved."
            )
        arrays = {
            "embeddings": self.embeddings,
            "identities": np.array(self.identities),
            "images": np.array(self.images),
        }
        if self.figures is not None and self.levelling is None:  # the file has no levelling
            arrays["figures"] = self.figures
        write_arrays(path, "gallery", self.origin, key, **arrays)

    @classmethod
    def load(cls, path: str | Path, key: KeyGiven = None) -> "Gallery":
        """Read a gallery.

        Parameters
        ----------
        path : str or Path
        key : SecretKey, str or Path, optional
            That the file was encrypted with. A plain file is refused with a key.

        Raises
        ------
        ModelError
            When the file is missing or not a gallery.
        ProtectionError
            When it is encrypted and this is not its key, was changed, or is plain despite a key.
        """
        origin, arrays = read_arrays(path, "gallery", ("embeddings", "identities", "images"), key)
        embeddings = arrays["embeddings"]
        identities, images = arrays["identities"], arrays["images"]
        if not are_unit(embeddings, 2) or any(
            names.dtype.kind != "U" or names.shape != embeddings.shape[:1]
            for names in (identities, images)
        ):
            raise ModelError(f"{path}: this is not a gallery file of iris_tf; save it again.")
        figures = arrays.get("figures")
        if figures is not None and not are_figures(figures, (len(embeddings), 2)):
            raise ModelError(f"{path}: this is not a gallery file of iris_tf; save it again.")
        names = tuple(identities.tolist()), tuple(images.tolist())
        return cls(embeddings, *names, origin, figures)
