"""Embedding of whole folders of images, for galleries and calibrations."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.data.layouts import AUTO, read_layout
from iris_tf.imaging.images import SUFFIXES
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.template import Origin
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import DatasetError, ExtractionError
from iris_tf.support.progress import track

FLAT = "flat"  # a folder of images whose names do not give identities


@dataclass(frozen=True, eq=False)
class EmbeddedFolder:
    """Embeddings of the images in a folder.

    Attributes
    ----------
    layout : str
        Layout of the folder, or `FLAT`.
    images, identities : tuple of str
        Name and identity of each image that could be used; in the layout `FLAT` the identity is
        the name.
    embeddings : ndarray of shape (n, D), float32
        Unit vectors.
    failed : tuple of (str, str)
        Name of each image that could not be used, and the reason.
    outside : int
        Number of images that do not fit the layout.
    """

    layout: str
    images: tuple[str, ...]
    identities: tuple[str, ...]
    embeddings: np.ndarray
    failed: tuple[tuple[str, str], ...]
    outside: int

    @property
    def failures(self) -> dict[str, int]:
        """Number of failed images by reason, the most frequent first."""
        return dict(Counter(reason for _, reason in self.failed).most_common())

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
    name, rows, outside = _list(folder, layout)
    images, identities, embeddings, failed = [], [], [], []
    for image, identity in track(rows, stage, len(rows)):
        try:
            [embedding] = recognizer.embed([folder / image])
        except ExtractionError as error:
            failed.append((image, error.reason.value))
            continue
        images.append(image)
        identities.append(identity)
        embeddings.append(embedding)
    if not embeddings:
        reasons = ", ".join(sorted({reason for _, reason in failed}))
        raise DatasetError(
            f"{folder}: none of its {len(rows)} images can be used ({reasons}); give near-infrared "
            "eye images."
        )
    return EmbeddedFolder(
        name, tuple(images), tuple(identities), np.stack(embeddings), tuple(failed), outside
    )


def _list(folder: Path, layout: str) -> tuple[str, list[tuple[str, str]], int]:
    """Layout, (image, identity) of each image, and the number of images outside the layout."""
    try:
        scan = read_layout(folder, layout)
    except DatasetError:
        names = _flat(folder) if layout == AUTO else []
        if not names:
            raise
        return FLAT, [(name, name) for name in names], 0
    return scan.name, [(row.image, row.identity) for row in scan.rows], len(scan.unmatched)


def _flat(folder: Path) -> list[str]:
    """Names of the images in a folder without subfolders, else none."""
    if not folder.is_dir():
        return []
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if any(path.is_dir() for path in entries):
        return []
    return sorted(
        path.name
        for path in entries
        if path.suffix.lower() in SUFFIXES and not path.stem.endswith("_mask")
    )
