"""Templates: what is stored of an enrolled eye."""

import dataclasses
import io
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from iris_tf.matching.packed_templates import packed_template, unpacked_template
from iris_tf.matching.sealed_files import is_sealed, read_sealed, write_sealed
from iris_tf.matching.secret_keys import KeyGiven, SecretKey, key_or_none
from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.array_files import load_arrays
from iris_tf.support.errors import ArgumentError, ModelError, ProtectionError
from iris_tf.support.files import atomic_path, path_given
from iris_tf.tflite.model_card import NORM_TOLERANCE
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_MIN_LENGTH = 1e-6  # of a vector that still has a direction
_QUALITY = tuple(field.name for field in dataclasses.fields(IrisQuality))


@dataclass(frozen=True)
class Origin:
    """What computed an embedding; only embeddings of one origin are comparable.

    Attributes
    ----------
    model : str
        Name of the model.
    model_sha256 : str
        Hexadecimal SHA-256 of the model's file.
    calibration : str
        `Calibration.id`, or ``""`` without a calibration.
    transform : str
        Identifier of the keyed transform that protects it, see
        `iris_tf.matching.keyed_transform.KeyedTransform`, or ``""`` without one.
    """

    model: str
    model_sha256: str
    calibration: str = ""
    transform: str = ""

    def require(self, other: "Origin", what: str) -> None:
        """Refuse embeddings of another origin.

        Parameters
        ----------
        other : Origin
        what : str
            What is of the other origin, e.g. ``"The template"``, for the error message.

        Raises
        ------
        ModelError
            When the model files, the calibrations or the transforms differ.
        """
        if other.model_sha256 != self.model_sha256:
            raise ModelError(
                f"{what} was made by another model file ({other.model}, SHA-256 "
                f"{other.model_sha256[:12]}) than the one in use ({self.model}, SHA-256 "
                f"{self.model_sha256[:12]}); enrol again with the model in use."
            )
        if other.calibration != self.calibration:
            theirs, ours = (
                f"the calibration {name}" if name else "no calibration"
                for name in (other.calibration, self.calibration)
            )
            raise ModelError(
                f"{what} was made with {theirs}, but {ours} is in use; use the same for both, or "
                "enrol again."
            )
        if other.transform != self.transform:
            theirs, ours = (
                f"the transform {name}" if name else "no transform"
                for name in (other.transform, self.transform)
            )
            raise ModelError(
                f"{what} is protected by {theirs}, but {ours} is in use; use the same for both."
            )


@dataclass(frozen=True, eq=False)
class Template:
    """One enrolled eye.

    Protect a template like the image itself: unless it is saved with a key, its file is not
    encrypted.

    Attributes
    ----------
    embedding : ndarray of shape (D,), float32
        Unit vector.
    origin : Origin
        Model and calibration.
    quality : IrisQuality or None
        Quality of the eye image, or the mean over several; None if it was enrolled from crops only.
        Not saved with a transformed template, which it could link to others of the eye.
    figures : ndarray of shape (2,) or None
        What scores need to know of a transformed embedding, which does not show it itself
        (`iris_tf.matching.keyed_transform.protected_figures`).
    layout : PhaseCodeLayout or None
        Where its phase code lies: then `save` rounds to few bits
        (`iris_tf.matching.packed_embeddings`). None without one, of transformed templates and of
        those that earlier versions wrote.
    """

    embedding: np.ndarray
    origin: Origin
    quality: IrisQuality | None = None
    figures: np.ndarray | None = None
    layout: PhaseCodeLayout | None = None

    def save(self, path: str | Path, key: KeyGiven = None) -> None:
        """Write the template as ``.npz``, whole or not at all.

        Parameters
        ----------
        path : str or Path
        key : SecretKey, str or Path, optional
            Encrypts the file: a key, its file, or ``keyring:NAME``.

        Raises
        ------
        ArgumentError
            When it could not be read again: its embedding is not a unit vector.
        ProtectionError
            When the key cannot be used.
        """
        if not are_unit(self.embedding, 1):
            raise ArgumentError(
                f"{path}: a template needs a unit vector, float32 (D,); nothing was saved."
            )
        known = self.quality is not None and not self.origin.transform
        quality = dataclasses.astuple(self.quality) if known and self.quality else []
        if self.layout is not None:
            header = _header(path, "template", self.origin)
            said: dict[str, Any] = {"quality": [_rounded(figure) for figure in quality]}
            # An encrypted file says who made it in its own header, which is authenticated.
            content = packed_template(
                said if key_or_none(key) else header | said, self.embedding, self.layout
            )
            _write(path, header, {_PACKED: content}, key, np.savez_compressed)
            return
        arrays = {"embedding": self.embedding, "quality": np.array(quality)}
        if self.figures is not None:
            arrays["figures"] = self.figures
        write_arrays(path, "template", self.origin, key, **arrays)

    @classmethod
    def load(cls, path: str | Path, key: KeyGiven = None) -> "Template":
        """Read a template.

        Parameters
        ----------
        path : str or Path
        key : SecretKey, str or Path, optional
            That the file was encrypted with. A plain file is refused with a key.

        Raises
        ------
        ModelError
            When the file is missing or not a template.
        ProtectionError
            When it is encrypted and this is not its key, was changed, or is plain despite a key.
        """
        origin, arrays = read_arrays(path, "template", ("embedding", "quality"), key)
        embedding, quality = arrays["embedding"], arrays["quality"]
        if not are_unit(embedding, 1) or quality.shape not in ((0,), (len(_QUALITY),)):
            raise _refuse(path, "template")
        known = IrisQuality(*map(float, quality)) if len(quality) else None
        figures = arrays.get("figures")
        if figures is not None and not are_figures(figures, (2,)):
            raise _refuse(path, "template")
        return cls(embedding, origin, known, figures, arrays.get("layout"))


def _rounded(figure: float) -> float:
    """A figure of quality in seven digits, as in float32: more were never measured."""
    return float(f"{figure:.7g}")


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) scaled to unit length, as float32.

    Raises
    ------
    ModelError
        When a vector is too short to have a direction.
    """
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (lengths > _MIN_LENGTH).all():  # also for NaN
        raise ModelError(
            "An embedding is zero after averaging or adaptation; use other images, or another "
            "calibration."
        )
    return (vectors / lengths).astype(np.float32)


def require_unit(embeddings: Any, ndim: int, what: str) -> None:
    """Refuse what are no unit vectors: their scalar products are no cosines.

    A vector ten times as long would be similar to everybody.

    Parameters
    ----------
    embeddings : object
        Should be an ndarray of floating-point numbers with `ndim` axes.
    ndim : int
    what : str
        What holds them, for the message, e.g. ``"The template"``.

    Raises
    ------
    ArgumentError
    """
    is_array = isinstance(embeddings, np.ndarray) and embeddings.dtype.kind == "f"
    if not is_array or embeddings.ndim != ndim:
        raise ArgumentError(
            f"{what} holds no embeddings but {reprlib.repr(embeddings)}; give what `embed` or "
            "`enroll` returns."
        )
    if embeddings.size and not are_unit(embeddings.astype(np.float32, copy=False), ndim):
        raise ArgumentError(
            f"{what} holds a vector that is not of unit length; give embeddings of `embed` or "
            "`enroll` unchanged, or scale them to unit length."
        )


def are_unit(embeddings: np.ndarray, ndim: int) -> bool:
    """Whether an array is float32, has `ndim` axes, and holds unit vectors along the last."""
    if not isinstance(embeddings, np.ndarray) or embeddings.ndim != ndim:
        return False
    if embeddings.dtype != np.float32 or not embeddings.size:
        return False
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values are no unit vectors
        lengths = np.linalg.norm(embeddings, axis=-1)
    return bool((np.abs(lengths - 1.0) <= NORM_TOLERANCE).all())


def are_figures(figures: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether an array holds what scores need to know, as `CodeSet.figures`, in some shape."""
    if figures.shape != shape or figures.dtype.kind != "f" or not np.isfinite(figures).all():
        return False
    spread, smoothness = np.moveaxis(figures, -1, 0)
    return bool((spread > 0).all() and (np.abs(smoothness) < 1).all())


def write_arrays(
    path: str | Path,
    kind: str,
    origin: Origin,
    key: KeyGiven = None,
    **arrays: np.ndarray,
) -> None:
    """Write arrays and their origin as ``.npz``, whole or not at all.

    Templates are biometric data: a new file can be read by its owner alone.

    Parameters
    ----------
    path : str or Path
    kind : str
        Kind of file, ``"template"`` or ``"gallery"``.
    origin : Origin
    key : SecretKey, str or Path, optional
        Encrypts the file.
    **arrays : ndarray
        Arrays by name.

    Raises
    ------
    ArgumentError
        When `path` is no path, or `origin` is none.
    ProtectionError
        When the key cannot be used.
    """
    header = _header(path, kind, origin)
    _write(path, header, header | arrays, key, np.savez)


def _header(path: str | Path, kind: str, origin: Origin) -> dict[str, str]:
    """Kind and origin, by name."""
    if not isinstance(origin, Origin):
        raise ArgumentError(
            f"{path}: the {kind} does not say which model made it; give the `origin` of the "
            "recogniser."
        )
    return {"kind": kind} | dataclasses.asdict(origin)


def _write(
    path: str | Path,
    header: dict[str, str],
    values: Mapping[str, Any],
    key: KeyGiven,
    save: Callable[..., None],
) -> None:
    """Write values by `save`, which is one of NumPy's functions for ``.npz`` files."""
    path = path_given(path, f"The {header['kind']} file")
    key = key_or_none(key)
    if key is not None:
        content = io.BytesIO()
        save(content, **values)
        write_sealed(path, header, content.getbuffer(), key)
        return
    # Written to an open file, because NumPy appends a suffix to a path.
    with atomic_path(path, private=True) as temporary, open(temporary, "wb") as file:
        save(file, **values)


def read_arrays(
    path: str | Path,
    kind: str,
    names: tuple[str, ...],
    key: KeyGiven = None,
) -> tuple[Origin, dict[str, Any]]:
    """Read a file that `write_arrays` wrote.

    Raises
    ------
    ModelError
        When the file is missing or not a file of this kind.
    ArgumentError
        When `path` is no path.
    ProtectionError
        When it is encrypted and this is not its key, was changed, or is plain despite a key.
    """
    path = path_given(path, f"The {kind} file")
    key = key_or_none(key)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such {kind} file; save one first.")
    try:
        found, origin, arrays = _read(*_opened(path, key), names)
    except (OSError, ValueError):
        raise _refuse(path, kind) from None
    if found != kind:
        raise _refuse(path, kind)
    return origin, arrays


def origin_of(path: Path) -> tuple[str, Origin]:
    """Kind and origin of a plain file that `write_arrays` wrote.

    Raises
    ------
    ModelError
        When it is no such file.
    """
    try:
        kind, origin, _ = _read(path, {}, ())
    except (OSError, ValueError):
        raise _refuse(path, "template or gallery") from None
    return kind, origin


def _read(
    content: Path | BinaryIO, sealed: Mapping[str, str], names: tuple[str, ...]
) -> tuple[str, Origin, dict[str, Any]]:
    """Kind, origin and some arrays of a file; OSError or ValueError if it is none.

    `sealed` is the header of the encrypted file that it comes from, if any.
    """
    optional = (*_ADDED_TO_ORIGIN, *_ADDED) if names else _ADDED_TO_ORIGIN
    if packed := load_arrays(content, (), (_PACKED,)):
        return _read_packed(packed[_PACKED], sealed)
    arrays = load_arrays(content, ("kind", *_ORIGIN_AT_FIRST, *names), optional)
    texts = {name: arrays.pop(name).item() for name in ("kind", *_ORIGIN) if name in arrays}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError
    return texts.pop("kind"), Origin(**texts), arrays


def _read_packed(
    content: np.ndarray, sealed: Mapping[str, str]
) -> tuple[str, Origin, dict[str, Any]]:
    """As `_read`, of a packed template."""
    header, embedding, layout = unpacked_template(content)
    header = {**sealed, **header}
    texts: dict[str, Any] = {name: header.get(name) for name in ("kind", *_ORIGIN)}
    quality = header.get("quality")
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError
    if not isinstance(quality, list) or not all(type(figure) is float for figure in quality):
        raise ValueError
    arrays = {"embedding": embedding, "quality": np.array(quality, float), "layout": layout}
    return texts.pop("kind"), Origin(**texts), arrays


def _opened(path: Path, key: SecretKey | None) -> tuple[Path | BinaryIO, dict[str, str]]:
    """The file, or the decrypted content and the header of an encrypted one."""
    if is_sealed(path):
        header, content = read_sealed(path, key)
        return io.BytesIO(content), header
    if key is not None:
        raise ProtectionError(
            f"{path}: it is not encrypted although a key is given, so somebody may have exchanged "
            "it; encrypt it with `iris-tf gallery encrypt`, or give no key."
        )
    return path, {}


_PACKED = "template"  # the only array of a packed template
_ORIGIN = tuple(field.name for field in dataclasses.fields(Origin))
_ADDED_TO_ORIGIN = ("transform",)  # files of earlier versions lack it
_ADDED = ("figures",)  # of transformed templates
_ORIGIN_AT_FIRST = tuple(name for name in _ORIGIN if name not in _ADDED_TO_ORIGIN)


def _refuse(path: str | Path, kind: str) -> ModelError:
    return ModelError(f"{path}: this is not a {kind} file of iris_tf; save it again.")
