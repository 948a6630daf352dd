"""The model card: how to crop, compare and decide with a model, in a file beside it."""

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iris_tf.config.checks import segmenter_problem
from iris_tf.config.names import CARD_NAME, CHANNELS, OPERATING_POINTS, ROI_MODES
from iris_tf.config.precision import current_name
from iris_tf.support.errors import ModelError
from iris_tf.support.files import sha256, write_json
from iris_tf.support.foreign_files import read_json, shown
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.released_models import RECOGNITION, released_folder
from iris_tf.tflite.score_model import ScoreModel

SCHEMA_VERSION = 2
"""Of cards whose precisions have the names of `iris_tf.config.precision.PRECISIONS`."""

_FORMER_NAMES_VERSION = 1  # of cards in which int8 is what has become dynamic8
_KEPT_NAMES = {"float32", "float16"}  # cards of these alone stay readable to earlier versions
_LATER_TEXTS = {"weights_sha256": "", "segmenter_version": ""}  # the first cards had none
_LATER_FIELDS = _LATER_TEXTS | {"phase": None, "channels": 1, "score": None}

_MOST = 2**16  # pixels; a few bytes could ask for any amount of memory

COSINE_TOLERANCE = 1e-3
"""How far rounding may carry a cosine beyond 1."""

NORM_TOLERANCE = 0.01
"""Largest deviation of an embedding's length from 1 (float16 and int8 arithmetic are inexact)."""


@dataclass(frozen=True)
class ModelFile:
    """One exported file that a card describes.

    Attributes
    ----------
    precision : str
        Its name in `iris_tf.config.precision.PRECISIONS`.
    sha256 : str
        Hexadecimal SHA-256 of the file.
    bytes : int
        Size of the file.
    """

    precision: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class ModelCard:
    """What a program needs to know to use a model: ``model_card.json`` beside the files.

    The JSON has one object with these fields and ``schema_version``: 2, or 1 where every
    precision has the name that it had then.

    Attributes
    ----------
    name : str
        Name of the model.
    network : str
        Name in the network registry, e.g. ``"mobilenet_v3_large"``.
    roi_mode : str
        How crops are cut, one of `iris_tf.config.names.ROI_MODES`.
    segmenter : str
        Name of the segmenter that crops images for the model; ``"none"`` for ROI modes that
        need no iris.
    segmenter_version : str
        Its version (`Segmenter.version`), which tells a segmenter's own network from
        the released one; empty in older cards.
    input_size : tuple of (int, int)
        Height and width of the crop in pixels (a list in JSON).
    channels : int
        Of the crop: 1 for grey, 3 for red, green and blue. Absent from the JSON where it is 1.
    embedding_size : int
        Length of the embedding.
    phase : PhaseCodeLayout or None
        Where in the embedding the phase code lies and how far it is rotated (an object with
        ``size``, ``columns`` and ``turns`` in JSON, or null).
    thresholds : dict of str to float
        Least cosine similarity that is accepted as the same eye, by operating point: those of
        `OPERATING_POINTS`, ``"eer"``, ``"far_1e-2"`` and ``"far_1e-3"`` (FAR 1 % and 0.1 %).
    score : ScoreModel or None
        How two templates are scored, for decisions that hold on any camera (an object with its
        fields in JSON). Absent from the JSON where it is None.
    thresholds_from : dict
        Where the thresholds come from: ``dataset``, ``split``, and the numbers of
        ``genuine_comparisons`` and ``impostor_comparisons``.
    files : dict of str to ModelFile
        The files by name, all in the card's folder.
    training_data : str
        What the model was trained on, for people to read.
    parity : dict of str to float
        Least cosine between the exported and the Keras model's embeddings, by precision.
    metrics : dict
        Measured figures by what was measured, e.g. ``"validation"``: the metrics of
        `evaluate_embeddings` on the crops that the thresholds come from.
    created_by : str
        Program and version that wrote the card, e.g. ``"iris_tf 0.1.0"``.
    weights_sha256 : str
        Hexadecimal SHA-256 of the ``.keras`` file that all files were exported from;
        empty in older cards.
    """

    name: str
    network: str
    roi_mode: str
    segmenter: str
    input_size: tuple[int, int]
    embedding_size: int
    thresholds: dict[str, float]
    thresholds_from: dict[str, Any]
    files: dict[str, ModelFile]
    training_data: str
    parity: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    created_by: str = ""
    weights_sha256: str = ""
    segmenter_version: str = ""
    phase: PhaseCodeLayout | None = None
    channels: int = 1
    score: ScoreModel | None = None

    @classmethod
    def read(cls, path: str | Path) -> "ModelCard":
        """Read and check a card.

        Raises
        ------
        ModelError
            When the file is missing, is not JSON, or a field is missing, unknown or of
            the wrong kind.
        """
        path = Path(path)
        try:
            values = read_json(path, finite=False)  # refused below, by name
        except FileNotFoundError:
            raise ModelError(
                f"{path}: there is no model card; copy the {CARD_NAME} that came with the model "
                "to its folder, or write both again with `iris-tf export RUN`."
            ) from None
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{path}: the model card cannot be read ({error}); write it again "
                "with `iris-tf export RUN`."
            ) from None
        return cls._from_json(path, values)

    @classmethod
    def _from_json(cls, path: Path, values: Any) -> "ModelCard":
        def refuse(problem: str) -> ModelError:
            return ModelError(
                f"{path}: {problem}; write the model card again with `iris-tf export RUN`."
            )

        if not isinstance(values, dict):
            raise refuse("the model card is not a JSON object")
        version = values.pop("schema_version", None)
        if version not in (_FORMER_NAMES_VERSION, SCHEMA_VERSION):
            raise refuse(
                f"schema_version is {shown(version)}, but this program reads "
                f"{_FORMER_NAMES_VERSION} and {SCHEMA_VERSION}"
            )
        values = _LATER_FIELDS | values
        known = {f.name: f for f in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known.keys()):
            raise refuse(f"unknown field {', '.join(map(_key, unknown[:5]))}")
        if missing := sorted(known.keys() - values.keys()):
            raise refuse(f"field {', '.join(missing)} is missing")
        texts = ("name", "network", "roi_mode", "segmenter", "training_data", "created_by")
        for name in (*texts, *_LATER_TEXTS):
            if not isinstance(values[name], str):
                raise refuse(f"{name} is {shown(values[name])}, not a text")
        for name in ("thresholds", "thresholds_from", "files", "parity", "metrics"):
            if not isinstance(values[name], dict):
                raise refuse(f"{name} is {shown(values[name])}, not an object")
        if values["roi_mode"] not in ROI_MODES:
            raise refuse(
                f"roi_mode is {shown(values['roi_mode'])}, but this program knows "
                f"{', '.join(ROI_MODES)}"
            )
        if problem := segmenter_problem(values["segmenter"], values["roi_mode"]):
            raise refuse(f"segmenter {problem}")
        if type(values["channels"]) is not int or values["channels"] not in CHANNELS:
            raise refuse(f"channels is {shown(values['channels'])}, not 1 or 3")
        size = values["input_size"]
        if not (isinstance(size, list) and len(size) == 2 and all(map(_is_size, size))):
            raise refuse(
                f"input_size is {shown(size)}, not [height, width] in pixels of at most {_MOST}"
            )
        # The model contradicts a size that it does not have, however large.
        if not _is_positive_int(values["embedding_size"]):
            raise refuse(
                f"embedding_size is {shown(values['embedding_size'])}, not a positive integer"
            )
        if values["phase"] is not None:
            try:
                values["phase"] = PhaseCodeLayout(**values["phase"])
                learned = values["embedding_size"] - values["phase"].size
            except (TypeError, ValueError):
                learned = 0
            if learned < 1:
                raise refuse("phase does not give the size, columns and turns of a phase code")
        if values["score"] is not None:
            try:
                values["score"] = ScoreModel.from_json(values["score"])
            except (TypeError, ValueError, KeyError, OverflowError) as error:
                raise refuse(f"score cannot be used ({shown(str(error))})") from None
            if values["phase"] is None or values["phase"].size % (4 * values["phase"].columns):
                raise refuse("score needs a phase code of two complex filters")
            levelling, frequencies = values["score"].levelling, values["phase"].columns // 2 + 1
            if levelling is not None and len(levelling.spectrum) != frequencies:
                raise refuse(
                    f"score levels {len(levelling.spectrum)} frequencies, but the phase code has "
                    f"{frequencies}"
                )
        for point in (*OPERATING_POINTS, *values["thresholds"]):
            threshold = values["thresholds"].get(point)
            if not is_cosine(threshold):
                raise refuse(
                    f"thresholds.{_key(point)} is {shown(threshold)}, not a cosine similarity"
                )
        if values["thresholds"]["far_1e-3"] < values["thresholds"]["far_1e-2"]:
            raise refuse("thresholds.far_1e-3 is below thresholds.far_1e-2, a more lenient point")
        try:
            files = {name: ModelFile(**entry) for name, entry in values["files"].items()}
        except TypeError:
            files = {}
        described = [text for file in files.values() for text in (file.precision, file.sha256)]
        whole = len(files) == len(values["files"])
        whole &= all(type(file.bytes) is int for file in files.values())
        if not whole or not all(isinstance(text, str) for text in described):
            raise refuse("files must give precision, sha256 and bytes of each file")
        if elsewhere := [name for name in files if Path(name).name != name or "\\" in name]:
            raise refuse(f"files names {shown(elsewhere[0])}, which is not in the card's folder")
        for name, cosine in values["parity"].items():
            if not is_cosine(cosine):
                raise refuse(f"parity.{_key(name)} is {shown(cosine)}, not a cosine similarity")
        for name in ("thresholds_from", "metrics"):
            try:
                json.dumps(values[name], allow_nan=False)
            except ValueError:
                raise refuse(f"{name} holds a number that is not finite") from None
        if version == _FORMER_NAMES_VERSION:
            files = {
                name: dataclasses.replace(file, precision=current_name(file.precision))
                for name, file in files.items()
            }
            values["parity"] = {
                current_name(name): cosine for name, cosine in values["parity"].items()
            }
        return cls(**(values | {"input_size": tuple(size), "files": files}))

    def write(self, path: str | Path) -> None:
        """Write the card as JSON, whole or not at all."""
        precisions = {*self.parity, *(file.precision for file in self.files.values())}
        version = _FORMER_NAMES_VERSION if precisions <= _KEPT_NAMES else SCHEMA_VERSION
        values = {"schema_version": version} | dataclasses.asdict(self)
        # Cards without later features stay readable to earlier versions.
        if self.channels == 1:
            del values["channels"]
        if self.score is None:
            del values["score"]
        elif self.score.levelling is None:
            del values["score"]["levelling"]
        write_json(path, values)

    @classmethod
    def beside(cls, model_path: str | Path) -> "ModelCard":
        """Read the card in the folder of a model file and check that it is this file's.

        Raises
        ------
        ModelError
            When there is no card, the card does not name the file, or the file is not
            the one whose SHA-256 the card gives.
        """
        model_path = Path(model_path)
        if not model_path.is_file():
            raise ModelError(
                f"{model_path}: there is no such model file; give a .tflite file, for "
                "instance one from `iris-tf export RUN`."
            )
        card_path = model_path.with_name(CARD_NAME)
        card = cls.read(card_path)
        entry = card.files.get(model_path.name)
        if entry is None:
            raise ModelError(
                f"{card_path}: the card describes {', '.join(sorted(card.files)) or 'no file'}, "
                f"not {model_path.name}; keep a model under its name and beside its own card."
            )
        if sha256(model_path) != entry.sha256:
            raise ModelError(
                f"{model_path}: its SHA-256 is not the one in {CARD_NAME}, so the file was changed "
                "or belongs to another card; copy both from one place again."
            )
        return card

    @classmethod
    def of_file(cls, model_path: str | Path) -> "ModelCard | None":
        """Find the card of a model file by its SHA-256, whatever the file is called now.

        Looked for in the file's folder, then among the released models.

        Returns
        -------
        ModelCard or None
            None where neither knows the file, or there is no file.

        Raises
        ------
        ModelError
            When the card in the file's folder cannot be read.
        """
        model_path = Path(model_path)
        if not model_path.is_file():
            return None
        digest = sha256(model_path)
        cards = [model_path.with_name(CARD_NAME)]
        with contextlib.suppress(ModelError):  # an installation may lack it
            cards.append(released_folder(RECOGNITION) / CARD_NAME)
        for path in cards:
            if path.is_file():
                card = cls.read(path)
                if any(file.sha256 == digest for file in card.files.values()):
                    return card
        return None


def is_cosine(value: Any) -> bool:
    """Whether a value from a file is a number in the range of a cosine, up to rounding."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= 1.0 + COSINE_TOLERANCE  # False for NaN


def _key(name: str) -> str:
    return shown(name)[1:-1]


def _is_positive_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_size(value: Any) -> bool:
    return _is_positive_int(value) and value <= _MOST
