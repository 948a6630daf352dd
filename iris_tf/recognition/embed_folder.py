"""Whole folders of images embedded, for galleries and calibrations."""

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

FLAT = "flat"  # one folder of images whose names tell no identity


@dataclass(frozen=True, eq=False)
class EmbeddedFolder:
    """Embeddings of the images in a folder.

    Attributes
    ----------
    layout : str
        The layout found, or `FLAT`.
    images, identities : tuple of str
        Of the images that could be used; the identity in the layout `FLAT` is the
        image's name.
    embeddings : ndarray of shape (n, D), float32
        Unit vectors.
    failed : tuple of (str, str)
        Image and reason of each that could not be used.
    outside : int
        Images that do not fit the layout.
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
        """The images as a gallery; `origin` is the recogniser's."""
        return Gallery(self.embeddings, self.identities, self.images, origin)


def embed_folder(
    recognizer: IrisRecognizer, folder: str | Path, layout: str = AUTO, stage: str = "Embedding"
) -> EmbeddedFolder:
    """Embed every image of a folder; those that cannot be used are counted.

    Parameters
    ----------
    recognizer : IrisRecognizer
    folder : str or Path
        In a layout that `read_layout` knows, or, with ``"auto"``, images alone.
    layout : str
        One of `LAYOUTS`.
    stage : str
        What the progress bar says.

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
            "images of eyes."
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
    """Images of a folder that has no subfolders."""
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
