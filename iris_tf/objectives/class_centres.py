"""Class centres of a trained model, as saved beside it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from iris_tf.support.array_files import load_arrays
from iris_tf.support.errors import ModelError, first_line
from iris_tf.support.foreign_files import UNUSABLE

FILE_NAME = "class_centres.npz"
"""File beside the best checkpoint of a run with a classifier objective."""


@dataclass(frozen=True)
class ClassCentres:
    """Directions of the classes that a model was trained on.

    Attributes
    ----------
    vectors : ndarray of shape (classes, D), float32
        Unit length.
    scale : float
        s: class logits are s times the cosine to each centre.
    names : tuple of str
        Identities, in the order of the rows.
    """

    vectors: np.ndarray
    scale: float
    names: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file."""
        with open(path, "wb") as file:
            np.savez(
                file, vectors=self.vectors, scale=self.scale, names=np.array(self.names, np.str_)
            )

    @classmethod
    def load(cls, path: Path) -> "ClassCentres":
        """Read a file of `save`.

        Raises
        ------
        ModelError
            If it is damaged.
        """
        try:
            file = load_arrays(path, ("vectors", "scale", "names"))
            vectors, scale = np.asarray(file["vectors"], np.float32), float(file["scale"])
            names = tuple(map(str, file["names"]))
        except UNUSABLE as error:
            raise ModelError(
                f"{path}: holds no class centres ({first_line(error)}); train the model again."
            ) from None
        if vectors.ndim != 2 or len(vectors) != len(names):
            raise ModelError(
                f"{path}: has {len(names)} names for centres of shape {vectors.shape}; train the "
                "model again."
            )
        return cls(vectors, scale, names)
