"""Embedding of whole folders of images, for galleries and calibrations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.data.image_listing import list_folder, suffix_of
from iris_tf.data.layouts import AUTO, LayoutScan, read_layout
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.template import Origin
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason
from iris_tf.support.progress import track

FLAT = "flat"  # a folder of images whose names do not give identities


@dataclass(frozen=True, eq=False)
class FolderFailures:
    """What of a folder of images could not be used.

    Attributes
    ----------
    layout : str
        Layout of the folder, or `FLAT`.
    failed : tuple of (str, str)
        Name of each image that could not be used, and the reason; for files of kinds that are not
        read, the reason is ``not_read`` and the kind.
    outside : tuple of str
        Images that do not fit the layout.
    missing : tuple of str
        Identities of which no image could be used.
    """

    layout: str
    failed: tuple[tuple[str, str], ...]
    outside: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def failures(self) -> dict[str, int]:
        """Number of failed images by reason, the most frequent first."""
        return dict(Counter(reason for _, reason in self.failed).most_common())


@dataclass(frozen=True, eq=False)
class EmbeddedFolder(FolderFailures):
    """Embeddings of the images in a folder.

    Attributes
    ----------
    images, identities : tuple of str
        Name and identity of each image that could be used; in the layout `FLAT` the identity is
        the name.
    embeddings : ndarray of shape (n, D), float32
        Unit vectors.
    """

    images: tuple[str, ...]
    identities: tuple[str, ...]
    embeddings: np.ndarray

    def gallery(self, origin: Origin) -> Gallery:
        """Gallery of the images; `origin` is the recogniser's."""
        return Gallery(self.embeddings, self.identities, self.images, origin)


def embed_folder(
    recognizer: IrisRecognizer, folder: str | Path, layout: str = AUTO, stage: str = "Embedding"
) -> EmbeddedFolder:
    """Embed every image of a folder that can be used, and list the others.

    Parameters
    ----------
    recognizer : IrisRecognizer
    folder : str or Path
        Folder in one of `LAYOUTS`, or, with ``"auto"``, one that holds nothing but images.
    layout : str
        One of `LAYOUTS`.
    stage : str
        Label of the progress bar.

    Raises
    ------
    DatasetError
        When the folder or its layout cannot be read, or no image can be used.
    """
    folder = Path(folder)
    scan = scan_images(folder, layout)
    images, identities, embeddings = [], [], []
    failed = unread_files(scan)
    for row in track(scan.rows, stage, len(scan.rows)):
        try:
            [embedding] = recognizer.embed([folder / row.image])
        except ExtractionError as error:
            failed.append((row.image, error.reason.value))
            continue
        images.append(row.image)
        identities.append(row.identity)
        embeddings.append(embedding)
    if not embeddings:
        raise no_usable_image(folder, len(scan.rows), failed)
    missing = {row.identity for row in scan.rows} - set(identities)
    return EmbeddedFolder(
        scan.name,
        tuple(failed),
        tuple(scan.unmatched),
        (*sorted(missing), *scan.without_images),
        tuple(images),
        tuple(identities),
        np.stack(embeddings),
    )


def no_usable_image(folder: Path, images: int, failed: Sequence[tuple[str, str]]) -> DatasetError:
    """The error of a folder none of whose images can be used; `failed` as of `FolderFailures`."""
    reasons = ", ".join(sorted({reason for _, reason in failed}))
    return DatasetError(
        f"{folder}: none of its {images} images can be used ({reasons}); give near-infrared eye "
        "images."
    )


def unread_files(scan: LayoutScan) -> list[tuple[str, str]]:
    """Files of kinds that are not read, as entries of `FolderFailures.failed`."""
    return [(file, f"{FailureReason.NOT_READ} {suffix_of(file)}".strip()) for file in scan.unread]


def scan_images(folder: Path, layout: str) -> LayoutScan:
    """The images of a folder in a layout, or, with ``auto``, of one without subfolders.

    Raises
    ------
    DatasetError
        When the folder or its layout cannot be read.
    """
    try:
        return read_layout(folder, layout)
    except DatasetError:
        if layout != AUTO or not folder.is_dir():
            raise
        listing = list_folder(folder)
        if listing.without_images or any("/" in image for image in listing.images):
            raise
    rows = [ManifestRow(name, FLAT, name, "", name, name) for name in listing.images]
    return LayoutScan(FLAT, rows, [], listing.unread)
