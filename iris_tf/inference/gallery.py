"""Enrolled eyes that a probe is compared with, and whole folders of images embedded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from iris_tf.datasets.images import SUFFIXES
from iris_tf.datasets.layouts import AUTO, read_layout
from iris_tf.errors import DatasetError, ExtractionError, ModelError
from iris_tf.inference.template import Origin, Template, are_unit, read_arrays, write_arrays
from iris_tf.progress import track
from iris_tf.similarity import PhasePart, similarities

if TYPE_CHECKING:
    from iris_tf.inference.recognizer import IrisRecognizer

FLAT = "flat"  # one folder of images whose names tell no identity


@dataclass(frozen=True, eq=False)
class Gallery:
    """Enrolled images, one or more an identity.

    Attributes
    ----------
    embeddings : ndarray of shape (n, D), float32
        Unit vectors.
    identities : tuple of str
        Whose they are.
    images : tuple of str
        Images they come from; ``""`` where that is not known.
    origin : Origin
        Model and calibration.
    """

    embeddings: np.ndarray
    identities: tuple[str, ...]
    images: tuple[str, ...]
    origin: Origin

    @classmethod
    def of_templates(cls, templates: Mapping[str, Template]) -> "Gallery":
        """Gallery of templates by identity.

        Raises
        ------
        ModelError
            When there is none, or they differ in model or calibration.
        """
        if not templates:
            raise ModelError("The gallery is empty; enrol an eye first.")
        origin = next(iter(templates.values())).origin
        for identity, template in templates.items():
            origin.require(template.origin, f"The template of {identity}")
        embeddings = np.stack([template.embedding for template in templates.values()])
        return cls(embeddings, tuple(templates), ("",) * len(templates), origin)

    def best_of_each(
        self, embedding: np.ndarray, phase: PhasePart | None = None
    ) -> list[tuple[str, float, str]]:
        """Most similar image of each identity.

        Parameters
        ----------
        embedding : ndarray of shape (D,), float32
            The probe's unit vector.
        phase : PhasePart, optional
            How the model's embeddings are compared.

        Returns
        -------
        list of (identity, similarity, image)
            The most similar identity first.
        """
        scores = similarities(embedding[None], self.embeddings, phase)[0].clip(-1.0, 1.0)
        best: dict[str, tuple[str, float, str]] = {}
        for number in np.argsort(-scores, kind="stable"):
            identity = self.identities[number]
            found = (identity, float(scores[number]), self.images[number])
            best.setdefault(identity, found)
        return list(best.values())

    def save(self, path: str | Path) -> None:
        """Write the gallery as ``.npz``, whole or not at all."""
        write_arrays(
            path,
            "gallery",
            self.origin,
            embeddings=self.embeddings,
            identities=np.array(self.identities),
            images=np.array(self.images),
        )

    @classmethod
    def load(cls, path: str | Path) -> "Gallery":
        """Read a gallery.

        Raises
        ------
        ModelError
            When the file is missing or no gallery.
        """
        origin, arrays = read_arrays(path, "gallery", ("embeddings", "identities", "images"))
        embeddings = arrays["embeddings"]
        names = [arrays[name] for name in ("identities", "images")]
        if not are_unit(embeddings, 2) or any(
            name.dtype.kind != "U" or name.shape != embeddings.shape[:1] for name in names
        ):
            raise ModelError(f"{path}: this is not a gallery file of iris_tf; save it again.")
        return cls(embeddings, *(tuple(name.tolist()) for name in names), origin)


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
    recognizer: "IrisRecognizer", folder: str | Path, layout: str = AUTO, stage: str = "Embedding"
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
