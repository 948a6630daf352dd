"""Calibrations: adaptation of a model to a camera by a matrix, with thresholds.

On a camera that a model was not trained on, embeddings of different eyes share a few directions,
which depend on camera and population more than on the eye. The second moment of embeddings of
unlabelled images reveals these directions, and a negative power of it down-weights them
(`iris_tf.matching.whitening`). Subtracting the mean embedding instead makes the released model
worse.

No genuine comparisons are involved: a calibration knows the FMR of a threshold, but not its FNMR.
"""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import unit
from iris_tf.support.errors import ModelError
from iris_tf.support.files import write_json
from iris_tf.support.foreign_files import UNUSABLE, read_object
from iris_tf.support.version import __version__
from iris_tf.tflite.model_card import is_cosine
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel

SCHEMA_VERSION = 3
_MOST = 10**18  # of what is counted


@dataclass(frozen=True)
class ImpostorEstimate:
    """Distribution of impostor comparisons after adaptation to a camera.

    Attributes
    ----------
    pairs : int
        Number of impostor comparisons.
    median : float
        Median of their cosine similarities.
    dimensions : float
        Number of dimensions in which random directions have cosines of the same spread.
    thresholds : dict of str to float
        Least cosine that is accepted as the same eye, by operating point (`FALSE_MATCH_RATES`).
    methods : dict of str to str
        How each threshold was found: ``"empirical"``, from the observed share of comparisons,
        or ``"fitted tail"``, from the tail of random directions in `dimensions`.
    """

    pairs: int
    median: float
    dimensions: float
    thresholds: dict[str, float]
    methods: dict[str, str]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Adaptation of one model file to one camera.

    Stored as JSON: one object with these fields and ``schema_version`` (3).

    Attributes
    ----------
    name : str
        Name of the camera or the image folder.
    model, model_sha256 : str
        Name of the model, and hexadecimal SHA-256 of its file.
    matrix : ndarray of shape (D, D), float32
        Matrix by which the learned components of embeddings are multiplied (a list of lists in
        JSON).
    images : int
        Number of images that it was estimated from.
    eyes : int or None
        Number of identities among them; comparisons within an identity were left out. None if
        the identities are unknown; comparisons within apparent identities were left out then.
    failures : dict of str to int
        Number of images that could not be used, by reason.
    impostors : ImpostorEstimate
        Thresholds, and the impostor comparisons that they come from.
    matcher : Matcher
        How the embeddings were compared (in JSON ``phase``: its layout's ``size``, ``columns`` and
        ``turns``, or null).
    created_by : str
        Program and version that made it.
    score : ScoreModel or None
        Scores of adapted embeddings; None where the model has none, and in earlier files (absent
        from the JSON then).
    gain : dict
        Errors before and after, see `iris_tf.recognition.calibration_gain.held_out_gain`; empty
        with few eyes and in earlier files (absent from the JSON then).
    """

    name: str
    model: str
    model_sha256: str
    matrix: np.ndarray
    images: int
    eyes: int | None
    failures: dict[str, int]
    impostors: ImpostorEstimate
    matcher: Matcher = Matcher()
    created_by: str = f"iris_tf {__version__}"
    score: ScoreModel | None = None
    gain: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name, and digest of the matrix; embeddings are comparable if these are equal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.matrix, "<f4").tobytes()).hexdigest()
        return f"{self.name} ({digest[:12]})"

    def adapt(self, embeddings: np.ndarray) -> np.ndarray:
        """Adapt embeddings to the camera.

        The learned components are multiplied by the matrix. Next to a phase code, which is not
        changed, they keep their length.

        Parameters
        ----------
        embeddings : ndarray of shape (n, D), float32
            Unit vectors.

        Returns
        -------
        ndarray of shape (n, D), float32
            Unit vectors.
        """
        if not self.matcher.code_size:
            return unit(embeddings @ self.matrix)
        return unit(adapt_learned(embeddings, self.matrix, self.matcher))

    def write(self, path: str | Path) -> None:
        """Write the calibration as JSON, whole or not at all."""
        values = dataclasses.asdict(self) | {"matrix": self.matrix.tolist()}
        values["phase"] = values.pop("matcher")["layout"]
        if self.score is None:
            del values["score"]
        if not self.gain:
            del values["gain"]
        write_json(path, {"schema_version": SCHEMA_VERSION} | values)

    @classmethod
    def read(cls, path: str | Path) -> "Calibration":
        """Read a calibration.

        Raises
        ------
        ModelError
            When the file is missing or not a calibration.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(
                f"{path}: there is no such calibration file; make one with `iris-tf calibrate`."
            )
        try:
            return cls._from_json(read_object(path))
        except UNUSABLE:
            raise ModelError(
                f"{path}: this is not a calibration file that this version can read; make it again "
                "with `iris-tf calibrate`."
            ) from None

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> "Calibration":
        if values.pop("schema_version") != SCHEMA_VERSION:
            raise ValueError
        with np.errstate(over="ignore"):  # checked below
            matrix = np.array(values.pop("matrix"), np.float32)
        impostors = ImpostorEstimate(**values.pop("impostors"))
        phase, score = values.pop("phase"), values.pop("score", None)
        scores = None if score is None else ScoreModel.from_json(score)
        if not isinstance(values.get("gain", {}), dict):
            raise TypeError
        matcher = Matcher(None if phase is None else PhaseCodeLayout(**phase))
        thresholds = [impostors.thresholds[point] for point in FALSE_MATCH_RATES]
        texts = [values[name] for name in ("name", "model", "model_sha256")]
        counts = [impostors.pairs, values["images"], *values["failures"].values()]
        counts += [] if values["eyes"] is None else [values["eyes"]]
        if not all(type(count) is int and 0 <= count < _MOST for count in counts):
            raise ValueError
        if matrix.shape != 2 * matrix.shape[:1] or not all(isinstance(text, str) for text in texts):
            raise ValueError
        if not (np.isfinite(matrix).all() and all(map(is_cosine, thresholds))):
            raise ValueError
        if sorted(thresholds) != thresholds:  # a lower rate takes a higher threshold
            raise ValueError
        return cls(matrix=matrix, impostors=impostors, matcher=matcher, score=scores, **values)


def adapt_learned(embeddings: np.ndarray, matrix: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Multiply the learned components of embeddings by a matrix, keeping their lengths.

    Parameters
    ----------
    embeddings : ndarray of shape (n, D)
    matrix : ndarray of shape (d, d)
        `d` is the size of the learned component.
    matcher : Matcher
        Tells the learned component from the phase code, which is not changed.

    Returns
    -------
    ndarray of shape (n, D), float64
    """
    learned, codes = matcher.split(np.asarray(embeddings, np.float64))
    multiplied = learned @ matrix
    # Not `unit`, which rounds to float32: identical embeddings would no longer be identical.
    lengths = np.linalg.norm(learned, axis=1) / np.linalg.norm(multiplied, axis=1)
    return np.concatenate([multiplied * lengths[:, None], codes], axis=1)
