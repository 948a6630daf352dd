"""Changing a gallery folder: what was acknowledged is never lost, whatever ends the process."""

import contextlib
import dataclasses
import json
import os
import reprlib
import socket
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.matching.gallery_files import GalleryFiles
from iris_tf.matching.gallery_journal import Journal
from iris_tf.matching.gallery_names import EnrolledImage
from iris_tf.matching.gallery_state import Change
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import require_unit
from iris_tf.matching.template_records import TemplateKind
from iris_tf.support.errors import ArgumentError, InUseError
from iris_tf.support.files import atomic_path
from iris_tf.support.folder_lock import locked_folder

HOLDER = "writer.json"
"""File that says which process writes to a gallery, or was the last to."""

_CHUNK = 4096  # templates that a compaction copies at a time


@contextlib.contextmanager
def gallery_writer(folder: Path, journal: Journal, kind: TemplateKind) -> Iterator["GalleryWriter"]:
    """See `iris_tf.matching.gallery_folder.GalleryFolder.writing`."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked_folder(folder))
        except BlockingIOError:
            raise InUseError(
                f"{folder}: {_holder(folder)} is writing to this gallery; wait until it has "
                "finished."
            ) from None
        held.callback((folder / HOLDER).unlink, missing_ok=True)
        _name_holder(folder)
        writer = GalleryWriter(folder, journal, kind, held.enter_context(journal.writing()))
        writer.clean_up()
        yield writer


class GalleryWriter:
    """Adds, replaces and removes templates of a gallery folder; made by `GalleryFolder.writing`.

    When a method returns, its change is on the disk. Before a change is written to the journal,
    its rows are on the disk behind those that count, where no reader looks; so a process that is
    killed, or a disk that is full, leaves the gallery as it was after the last change.
    """

    def __init__(
        self, folder: Path, journal: Journal, kind: TemplateKind, connection: sqlite3.Connection
    ):
        self._folder, self._journal, self._kind = folder, journal, kind
        self._connection, self._lock = connection, threading.Lock()

    def add(
        self,
        images: Sequence[EnrolledImage],
        embeddings: np.ndarray,
        replace: bool = False,
        figures: np.ndarray | None = None,
    ) -> None:
        """Enrol images, all of them or none.

        Parameters
        ----------
        images : sequence of EnrolledImage
            An earlier image of the same identity and name is replaced.
        embeddings : ndarray of shape (n, D), float32
            Unit vectors, one for each image.
        replace : bool, optional
            Whether all earlier images of these identities are replaced.
        figures : ndarray of shape (n, 2), optional
            Of transformed embeddings, which do not show them, see `Template.figures`.

        Raises
        ------
        ArgumentError
            When these are no unit vectors with an image each, an image is given twice, or a name
            cannot be stored.
        OSError
            When the disk is full; nothing has changed.
        """
        embeddings = np.asarray(embeddings)
        self._check(images, embeddings)
        with self._changing() as change:
            files = self._files(change)
            for file, rows in zip(files.all, files.encode(embeddings, figures), strict=True):
                file.append(rows, change.slots)
            if replace:
                change.remove({image.identity for image in images})
            change.add(images)

    def remove(self, identities: Iterable[str]) -> int:
        """Remove identities with all their images, and overwrite their templates.

        Returns
        -------
        int
            Number of images that were removed.
        """
        with self._changing() as change:
            before = change.images
            change.remove(identities)
            return before - change.images

    def compact(self) -> None:
        """Write the files again without the rows of images that were removed or replaced.

        Searches go on meanwhile; for a time the disk holds the gallery twice.
        """
        with self._changing() as change:
            if change.slots == change.images:
                return
            old = self._files(change)
            self._copy(old, change, change.renumber())

    def encrypt(self, key: SecretKey) -> None:
        """Encrypt a plain gallery: templates and names.

        What was plain may still lie in freed blocks of the disk, copies and backups. Objects that
        have the gallery open must open it again.
        """
        with self._changing() as change:
            old = self._files(change)
            self._copy(old, change, change.encrypt(key))
        self._journal.forget_past(self._connection)

    def _copy(self, old: GalleryFiles, change: Change, slots: np.ndarray) -> None:
        """Write some rows to the files of the generation that a change begins."""
        new = self._files(change)
        for start in range(0, len(slots), _CHUNK):
            chosen = slots[start : start + _CHUNK]
            for source, target in zip(old.all, new.all, strict=True):
                target.append(source.take(chosen, int(slots[-1]) + 1), start)

    @property
    def wasted(self) -> float:
        """Share of the rows whose image was removed or replaced, 0..1."""
        with self._journal.snapshot() as snapshot:
            return 1.0 - snapshot.images / snapshot.slots if snapshot.slots else 0.0

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Change]:
        """A change of the journal, after which files hold what it says and no more."""
        with self._lock:
            try:
                with self._journal.change(self._connection) as change:
                    yield change
            except BaseException:
                with contextlib.suppress(OSError):  # the first error says what is wrong
                    self.clean_up()
                raise
            self.clean_up()

    def clean_up(self) -> None:
        """Remove what the journal does not know, and overwrite what was removed."""
        with self._journal.change(self._connection) as change:
            files = self._files(change)
            removed = change.to_erase()
            for file in files.all:
                file.truncate(change.slots)
            if removed:
                files.erase(removed)
                change.erased()
        known = {file.path.name for file in files.all}
        for path in self._folder.glob("*-*.bin"):
            if path.name not in known:
                with contextlib.suppress(OSError):  # Windows: a reader still has it open
                    path.unlink()

    def _files(self, change: Change) -> GalleryFiles:
        return GalleryFiles(self._folder, change.generation, self._kind, change.vault)

    def _check(self, images: Sequence[EnrolledImage], embeddings: np.ndarray) -> None:
        what = f"{self._folder}: what shall be enrolled"
        require_unit(embeddings, 2, what)
        if embeddings.shape != (len(images), self._kind.embedding_size):
            raise ArgumentError(
                f"{what} has the shape {embeddings.shape} for {len(images)} images, but the "
                f"gallery holds {self._kind.embedding_size} numbers of each; give embeddings of "
                "its model, one for each image."
            )
        for image in images:
            if not (image.identity and all(map(_can_be_stored, dataclasses.astuple(image)))):
                raise ArgumentError(
                    f"{self._folder}: {reprlib.repr(image)} has a name that is empty, no text, or "
                    "not of Unicode characters; rename it."
                )
        named = [(image.identity, image.image) for image in images if image.image]
        if len(set(named)) < len(named):
            twice = next(name for name in named if named.count(name) > 1)
            raise ArgumentError(
                f"{self._folder}: the image {twice[1]} of {twice[0]} is given twice; give it once."
            )


def _can_be_stored(text: Any) -> bool:
    """Whether something is a text that UTF-8 can encode, without null characters."""
    if not isinstance(text, str) or "\0" in text:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _holder(folder: Path) -> str:
    """The process that writes to a gallery, in words."""
    try:
        values = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f"process {values['process']} on {values['machine']}, since {values['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _name_holder(folder: Path) -> None:
    said = {
        "process": os.getpid(),
        "machine": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with atomic_path(folder / HOLDER, private=True) as temporary:
        temporary.write_text(json.dumps(said), encoding="utf-8")
