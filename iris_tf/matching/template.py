"""What is kept of an eye: its embedding, and which model and calibration it is of."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.errors import ModelError
from iris_tf.support.files import atomic_path

_SHORTEST = 1e-6  # length of a vector that still has a direction
_NORM_TOLERANCE = 0.01
_QUALITY = tuple(field.name for field in dataclasses.fields(IrisQuality))


@dataclass(frozen=True)
class Origin:
    """Where an embedding comes from; only embeddings of one origin can be compared.

    Attributes
    ----------
    model : str
        Name of the model.
    model_sha256 : str
        Hexadecimal SHA-256 of its file.
    calibration : str
        `Calibration.id`, or ``""`` for none.
    """

    model: str
    model_sha256: str
    calibration: str = ""

    def require(self, other: "Origin", what: str) -> None:
        """Refuse embeddings of another origin.

        Parameters
        ----------
        other : Origin
        what : str
            What comes from there, e.g. ``"the template"``.

        Raises
        ------
        ModelError
            When model file or calibration are others.
        """
        if other.model_sha256 != self.model_sha256:
            raise ModelError(
                f"{what} was made by another model file ({other.model}, SHA-256 "
                f"{other.model_sha256[:12]}) than {self.model}, SHA-256 {self.model_sha256[:12]}; "
                "enrol again with the model in use."
            )
        if other.calibration != self.calibration:
            theirs, ours = (
                f"the calibration {name}" if name else "no calibration"
                for name in (other.calibration, self.calibration)
            )
            raise ModelError(
                f"{what} was made with {theirs}, but {ours} is in use; use the same, or enrol "
                "again."
            )


@dataclass(frozen=True, eq=False)
class Template:
    """One enrolled eye.

    A template is not encrypted: keep it as safe as the image.

    Attributes
    ----------
    embedding : ndarray of shape (D,), float32
        Unit vector.
    origin : Origin
        Model and calibration.
    quality : IrisQuality or None
        Of the eye image, or the mean figures of several; None when only crops were given.
    """

    embedding: np.ndarray
    origin: Origin
    quality: IrisQuality | None = None

    def save(self, path: str | Path) -> None:
        """Write the template as ``.npz``, whole or not at all."""
        quality = [] if self.quality is None else dataclasses.astuple(self.quality)
        write_arrays(
            path, "template", self.origin, embedding=self.embedding, quality=np.array(quality)
        )

    @classmethod
    def load(cls, path: str | Path) -> "Template":
        """Read a template.

        Raises
        ------
        ModelError
            When the file is missing or no template.
        """
        origin, arrays = read_arrays(path, "template", ("embedding", "quality"))
        embedding, quality = arrays["embedding"], arrays["quality"]
        if not are_unit(embedding, 1) or quality.shape not in ((0,), (len(_QUALITY),)):
            raise _refuse(path, "template")
        return cls(embedding, origin, IrisQuality(*map(float, quality)) if len(quality) else None)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) brought to length 1, as float32.

    Raises
    ------
    ModelError
        When one has no direction.
    """
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (lengths > _SHORTEST).all():  # also for NaN
        raise ModelError(
            "An embedding has no direction once it is averaged or adapted; use other images, or "
            "another calibration."
        )
    return (vectors / lengths).astype(np.float32)


def are_unit(embeddings: np.ndarray, ndim: int) -> bool:
    """Whether an array of `ndim` axes holds unit vectors along the last."""
    if embeddings.ndim != ndim or embeddings.dtype != np.float32 or not embeddings.size:
        return False
    lengths = np.linalg.norm(embeddings, axis=-1)
    return bool((np.abs(lengths - 1.0) <= _NORM_TOLERANCE).all())


def write_arrays(path: str | Path, kind: str, origin: Origin, **arrays: np.ndarray) -> None:
    """Write arrays and their origin as ``.npz``, whole or not at all.

    Templates are biometric data: a new file can be read by its owner alone.

    Parameters
    ----------
    path : str or Path
    kind : str
        What the file is, ``"template"`` or ``"gallery"``.
    origin : Origin
    **arrays : ndarray
        By name.
    """
    # Into an open file: given a path, NumPy would add a suffix of its own.
    with atomic_path(path, private=True) as temporary, open(temporary, "wb") as file:
        values: dict[str, Any] = dataclasses.asdict(origin) | arrays
        np.savez(file, kind=kind, **values)


def read_arrays(
    path: str | Path, kind: str, names: tuple[str, ...]
) -> tuple[Origin, dict[str, np.ndarray]]:
    """Read what `write_arrays` wrote.

    Raises
    ------
    ModelError
        When the file is missing, is no such file, or is of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such {kind} file; give one that was saved before.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            texts = {name: stored[name].item() for name in ("kind", *_ORIGIN)}
            arrays = {name: stored[name] for name in names}
    except Exception:  # a damaged archive raises whatever its reader trips over
        raise _refuse(path, kind) from None
    if texts.pop("kind") != kind or not all(isinstance(text, str) for text in texts.values()):
        raise _refuse(path, kind)
    return Origin(**texts), arrays


_ORIGIN = tuple(field.name for field in dataclasses.fields(Origin))


def _refuse(path: str | Path, kind: str) -> ModelError:
    return ModelError(f"{path}: this is not a {kind} file of iris_tf; save it again.")
