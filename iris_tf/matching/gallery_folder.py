"""Galleries in a folder: as many templates as the disk holds, searched without reading them all."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from iris_tf.matching.gallery import Gallery
from iris_tf.matching.gallery_files import GalleryFiles
from iris_tf.matching.gallery_journal import JOURNAL, Journal
from iris_tf.matching.gallery_moment import GalleryMoment, OpenSigns
from iris_tf.matching.gallery_names import EnrolledImage
from iris_tf.matching.gallery_search import Comparisons, Search
from iris_tf.matching.gallery_state import Snapshot
from iris_tf.matching.gallery_writer import GalleryWriter, gallery_writer
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.row_file import DamagedRowsError
from iris_tf.matching.secret_keys import KeyGiven, key_or_none
from iris_tf.matching.template import Origin, require_unit
from iris_tf.matching.template_records import TemplateKind, TemplateRecords
from iris_tf.support.errors import ArgumentError, ModelError
from iris_tf.support.files import is_unused, path_given, sole_user
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

CANDIDATES = 1000
"""Templates that the first stage of a search passes on to the matcher."""

_Found = TypeVar("_Found")


class EmptyGalleryError(ModelError):
    """A gallery without images, which cannot be searched."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a search in a gallery folder leaves to compare.

    Attributes
    ----------
    gallery : Gallery
        The candidates.
    images : int
        Number of images that were searched.
    """

    gallery: Gallery
    images: int


class GalleryFolder:
    """A gallery in a folder, which any number of threads and processes may search at once.

    The folder is changed by one `GalleryWriter` at a time; each search sees the state of the moment
    at which it starts. Templates are mapped into memory, so opening does not read them. Of an
    encrypted gallery, the first search decrypts the signs of all phase codes, which stay in memory
    (512 bytes of each template of the released model).

    Parameters
    ----------
    path : str or Path
    key : SecretKey, str or Path, optional
        That the gallery is encrypted with. A plain gallery is refused with a key.

    Attributes
    ----------
    path : Path
    kind : TemplateKind
        What it holds.

    Raises
    ------
    ModelError
        When this is no gallery folder, one of another version, or damaged.
    ProtectionError
        When it is encrypted and this is not its key, or is plain despite a key.

    Examples
    --------
    >>> gallery = GalleryFolder("people.gallery")  # doctest: +SKIP
    >>> recognizer.identify("probe.png", gallery).identity  # doctest: +SKIP
    'ann'
    """

    def __init__(self, path: str | Path, key: KeyGiven = None):
        self.path = path_given(path, "The gallery")
        self.journal = Journal(self.path)
        self.kind = self.journal.kind(TemplateRecords.name)
        self._data_key = self.journal.unlock(key_or_none(key))
        self._signs = OpenSigns()

    @classmethod
    def make(cls, path: str | Path, kind: TemplateKind, key: KeyGiven = None) -> "GalleryFolder":
        """Make an empty gallery folder, or open the one that there is.

        Parameters
        ----------
        path : str or Path
            A missing or empty folder, or a gallery.
        kind : TemplateKind
            What it shall hold.
        key : SecretKey, str or Path, optional
            Encrypts the gallery: a key, its file, or ``keyring:NAME``.

        Raises
        ------
        ModelError
            When the folder holds other files, or a gallery of another kind.
        ProtectionError
            As for `GalleryFolder`, of a gallery that there is.
        """
        key = key_or_none(key)
        path = path_given(path, "The gallery")
        if not is_gallery_folder(path):
            if not is_unused(path) or path.is_file():
                raise ModelError(
                    f"{path}: exists and is no gallery; choose another folder, nothing was written."
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(0o700, exist_ok=True)
        with sole_user(path) if not is_gallery_folder(path) else contextlib.nullcontext():
            Journal(path).make(kind, TemplateRecords.name, key)
        gallery = cls(path, key)
        kind.origin.require(gallery.origin, f"{path}: the gallery")
        gallery.require_kind(kind.embedding_size, kind.layout)
        return gallery

    @property
    def origin(self) -> Origin:
        """Model and calibration of its templates."""
        return self.kind.origin

    @property
    def encrypted(self) -> bool:
        """Whether templates and names are encrypted."""
        return self.journal.vault is not None

    def is_same(self) -> bool:
        """Whether the folder still holds the gallery that was opened, with the same key."""
        return self.journal.sealed_data_key() == self._data_key

    def __len__(self) -> int:
        """Number of images."""
        with self.journal.snapshot() as snapshot:
            return snapshot.images

    def identities(self) -> list[str]:
        """All identities, in alphabetical order."""
        with self.journal.snapshot() as snapshot:
            return snapshot.identities()

    def count_identities(self) -> int:
        """Number of identities."""
        with self.journal.snapshot() as snapshot:
            return snapshot.count_identities()

    def images_of(self, identity: str) -> list[EnrolledImage]:
        """Images of an identity; none if it is not enrolled."""
        with self.journal.snapshot() as snapshot:
            return list(snapshot.of_identity(identity).values())

    def first_digest(self) -> str:
        """SHA-256 of the first image and its template, which tells a gallery from others.

        It is ``""`` of an empty gallery.
        """

        try:
            return self._at_one_moment(GalleryMoment.first_digest)
        except EmptyGalleryError:
            return ""

    def templates_of(self, identity: str) -> Gallery:
        """What is enrolled of an identity, for instance to verify a claim to it.

        Raises
        ------
        ModelError
            When it is not enrolled, or the gallery is damaged.
        """

        def read(seen: GalleryMoment) -> Gallery:
            enrolled = seen.snapshot.of_identity(identity)
            if not enrolled:
                raise ModelError(f"{self.path}: {identity} is not enrolled; check the spelling.")
            return seen.gallery(np.array(list(enrolled), np.int64), enrolled)

        return self._at_one_moment(read)

    def writing(self) -> contextlib.AbstractContextManager[GalleryWriter]:
        """Become the one writer of this gallery, for the duration of a ``with`` block.

        Raises
        ------
        InUseError
            Immediately, if another writer is at work; says which process it is.
        OSError
            When the folder cannot be written to.

        Examples
        --------
        >>> with gallery.writing() as writer:  # doctest: +SKIP
        ...     writer.add([EnrolledImage("ann", "1.png")], recognizer.embed("ann/1.png"))
        """
        return gallery_writer(self.path, self.journal, self.kind)

    def require_kind(self, embedding_size: int, layout: PhaseCodeLayout | None) -> None:
        """Refuse a matcher of other embeddings than these.

        Raises
        ------
        ModelError
        """
        ours, theirs = (
            None if one is None else (one.size, one.columns) for one in (self.kind.layout, layout)
        )
        if (self.kind.embedding_size, ours) != (embedding_size, theirs):
            raise ModelError(
                f"{self.path}: its templates have {self.kind.embedding_size} numbers, but the "
                f"model in use gives {embedding_size}, or another phase code; enrol again with "
                "the model in use."
            )

    def load(self) -> Gallery:
        """The whole gallery in memory.

        Raises
        ------
        ModelError
            When it is empty or damaged.
        """
        return self._at_one_moment(lambda seen: Gallery.joined(list(seen.parts())))

    def parts(self) -> Iterator[Gallery]:
        """The whole gallery, some thousand images at a time.

        No writer may compact it meanwhile.

        Raises
        ------
        ModelError
            When it is empty or damaged.
        """
        with self.journal.snapshot() as snapshot:
            if not snapshot.images:
                raise self._empty()
            try:
                yield from self._moment(snapshot).parts()
            except (FileNotFoundError, DamagedRowsError) as error:
                raise self._damaged(error) from None

    def _moment(self, snapshot: Snapshot) -> GalleryMoment:
        files = GalleryFiles(self.path, snapshot.generation, self.kind, self.journal.vault)
        return GalleryMoment(snapshot, files, self.kind, self._signs)

    def _empty(self) -> EmptyGalleryError:
        return EmptyGalleryError(f"{self.path}: the gallery is empty; enrol an eye first.")

    def _damaged(self, error: Exception) -> ModelError:
        return ModelError(
            f"{self.path}: the gallery is damaged ({error}); restore it from a copy, or enrol "
            "again."
        )

    def candidates(
        self,
        embedding: np.ndarray,
        matcher: Matcher,
        count: int = CANDIDATES,
        exact: bool = False,
        figures: np.ndarray | None = None,
        wide: bool = False,
    ) -> Candidates:
        """Find the templates that may be a probe's.

        Parameters
        ----------
        embedding : ndarray of shape (D,), float32
            The probe's unit vector.
        matcher : Matcher
            Compares the model's embeddings.
        count : int, optional
            How many to find; a gallery with no more images is returned whole.
        exact : bool, optional
            Whether to have the matcher compare every template rather than those whose phase codes
            have similar signs: the reference, which takes many times as long. Embeddings without a
            phase code are always compared so.
        figures : ndarray of shape (2,), optional
            Of a transformed probe, see `Template.figures`.
        wide : bool, optional
            Whether to look for images that are rotated beyond the range of the phase code's layout
            rather than within it, which takes several times as long.

        Raises
        ------
        ModelError
            When the gallery is empty, damaged, or of another kind than the matcher's.
        ArgumentError
            When the embedding is no unit vector, or `count` is not positive.
        """
        require_unit(embedding, 1, "The probe")
        if count < 1:
            raise ArgumentError(f"The number of candidates is {count}; give 1 or more.")
        self.require_kind(len(embedding), matcher.layout)

        def search(seen: GalleryMoment) -> Candidates:
            if seen.snapshot.images <= count:
                found = Gallery.joined(list(seen.parts()))
            elif exact or matcher.layout is None:
                found = seen.best(embedding, matcher, count, figures)
            else:
                found = seen.nearest(embedding, matcher.layout, count, wide)
            return Candidates(found, seen.snapshot.images)

        return self._at_one_moment(search)

    def compared(self, search: Search) -> Comparisons:
        """Compare a probe with its candidates, or with every image if there are few.

        Raises
        ------
        ModelError, ArgumentError
            As for `candidates`.
        """
        found = self.candidates_of(search)
        return Comparisons.of(found.gallery, search, found.images)

    def candidates_of(self, search: Search) -> Candidates:
        """The candidates of a search, see `candidates`."""
        return self.candidates(
            search.embedding,
            search.ranking,
            exact=search.exact,
            figures=search.figures,
            wide=search.wide,
        )

    def _at_one_moment(self, search: Callable[[GalleryMoment], _Found]) -> _Found:
        """Search in one snapshot, or in the next if a writer removes just then what it needs."""
        failed = None
        while True:
            with self.journal.snapshot() as snapshot:
                if not snapshot.images:
                    raise self._empty()
                try:
                    return search(self._moment(snapshot))
                except (FileNotFoundError, DamagedRowsError) as error:
                    if failed == snapshot.state:  # no writer did it
                        raise self._damaged(error) from None
                failed = snapshot.state


def is_gallery_folder(path: str | os.PathLike) -> bool:
    """Whether a path is a gallery folder rather than a file or a folder of images."""
    return os.path.isfile(os.path.join(path, JOURNAL))
