"""Enrolment of a folder of images in a gallery folder, which continues where it was interrupted."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from iris_tf.data.layouts import AUTO
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.gallery_folder import GalleryFolder
from iris_tf.matching.gallery_journal import EnrolledImage
from iris_tf.matching.gallery_writer import GalleryWriter
from iris_tf.matching.keyed_transform import KeyedTransform
from iris_tf.recognition.embed_folder import (
    FolderFailures,
    no_usable_image,
    scan_images,
    unread_files,
)
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.support.files import sha256
from iris_tf.support.progress import StageProgress

_TOGETHER = 32  # images that are acknowledged at a time


@dataclass(frozen=True, eq=False)
class EnrolledFolder(FolderFailures):
    """What the enrolment of a folder came to.

    Attributes
    ----------
    enrolled : int
        Images that were added or replaced.
    unchanged : int
        Images that were enrolled before.
    """

    enrolled: int
    unchanged: int


def enroll_folder(
    recognizer: IrisRecognizer,
    gallery: GalleryFolder,
    writer: GalleryWriter,
    folder: str | Path,
    layout: str = AUTO,
    replace: bool = False,
    transform: KeyedTransform | None = None,
) -> EnrolledFolder:
    """Enrol every image of a folder that can be used, and list the others.

    Images that are enrolled already, under the same name and with the same content, are not
    embedded again; an image whose content has changed replaces its predecessor. So the same call
    continues an interrupted one.

    Parameters
    ----------
    recognizer : IrisRecognizer
    gallery : GalleryFolder
        Of the recogniser's model and calibration.
    writer : GalleryWriter
        Of this gallery.
    folder : str or Path
        Folder in one of `LAYOUTS`, or, with ``"auto"``, one that holds nothing but images.
    layout : str
        One of `LAYOUTS`.
    replace : bool
        Whether the images of an identity replace all its earlier ones rather than join them. An
        identity none of whose images can be used keeps what it has.
    transform : KeyedTransform, optional
        That protects the templates of the gallery.

    Raises
    ------
    DatasetError
        When the folder or its layout cannot be read, or no image can be used.
    """
    enrolment = _Enrolment(recognizer, gallery, writer, Path(folder), replace, transform)
    scan = scan_images(enrolment.folder, layout)
    enrolment.failed += unread_files(scan)
    rows = sorted(scan.rows, key=lambda row: row.identity)  # stable: in the order of the layout
    with StageProgress("Enrolling", len(rows)) as progress:
        for identity, images in groupby(rows, key=lambda row: row.identity):
            enrolment.take(identity, list(images), progress)
        enrolment.acknowledge()
    if not enrolment.enrolled + enrolment.unchanged:
        raise no_usable_image(enrolment.folder, len(rows), enrolment.failed)
    return EnrolledFolder(
        scan.name,
        tuple(enrolment.failed),
        tuple(scan.unmatched),
        (*enrolment.missing, *scan.without_images),
        enrolment.enrolled,
        enrolment.unchanged,
    )


class _Enrolment:
    """Enrols images of one folder, identity by identity."""

    def __init__(
        self,
        recognizer: IrisRecognizer,
        gallery: GalleryFolder,
        writer: GalleryWriter,
        folder: Path,
        replace: bool,
        transform: KeyedTransform | None,
    ):
        self._recognizer, self._gallery, self._writer = recognizer, gallery, writer
        self.folder, self._replace, self._transform = folder, replace, transform
        self._images: list[EnrolledImage] = []
        self._embeddings: list[np.ndarray] = []
        self.failed: list[tuple[str, str]] = []
        self.missing: list[str] = []
        self.enrolled = self.unchanged = 0

    def take(self, identity: str, rows: Sequence[ManifestRow], progress: StageProgress) -> None:
        """Enrol what is new of an identity."""
        before = {image.image: image.content for image in self._gallery.images_of(identity)}
        contents = {row.image: self._content(row.image) for row in rows}
        new = {name: told for name, told in contents.items() if told != before.get(name)}
        if self._replace and (new or set(before) - set(contents)):
            new = contents
        self._embed(identity, new, before)
        self.unchanged += len(contents) - len(new)
        for _ in rows:
            progress.advance()
        if len(self._images) >= _TOGETHER:
            self.acknowledge()

    def _embed(self, identity: str, contents: dict[str, str], before: dict[str, str]) -> None:
        found = 0
        for name, content in contents.items():
            try:
                [embedding] = self._recognizer.embed([self.folder / name])
            except ExtractionError as error:
                self.failed.append((name, error.reason.value))
                continue
            self._images.append(EnrolledImage(identity, name, content))
            self._embeddings.append(embedding)
            found += 1
        if contents and not found and not before:
            self.missing.append(identity)

    def acknowledge(self) -> None:
        """Write what was embedded."""
        if self._images:
            embeddings, figures = np.stack(self._embeddings), None
            if self._transform is not None:
                embeddings, figures = self._transform.apply_with_figures(embeddings)
            self._writer.add(self._images, embeddings, self._replace, figures)
            self.enrolled += len(self._images)
            self._images, self._embeddings = [], []

    def _content(self, name: str) -> str:
        try:
            return sha256(self.folder / name)
        except OSError:  # the recogniser says why
            return FailureReason.UNREADABLE
