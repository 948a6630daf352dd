"""Adapting a model to a camera: a matrix to multiply embeddings with, and thresholds after it.

On a camera that a model has not seen, embeddings of different eyes are alike along a few
directions, which say more of camera and population than of the eye. A second moment of
embeddings of unlabelled images shows them, and its inverse power makes them count for less
(`iris_tf.matching.whitening`). Subtracting the mean embedding instead makes the released model
worse.

Genuine comparisons take no part: a calibration knows the rate of false matches
(FMR) of a threshold, and not what it costs in false non-matches.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import FALSE_MATCH_RATES
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import unit
from iris_tf.support.errors import ModelError
from iris_tf.support.files import write_json
from iris_tf.support.version import __version__
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

SCHEMA_VERSION = 3


@dataclass(frozen=True)
class ImpostorEstimate:
    """How different eyes compare once a model is adapted to their camera.

    Attributes
    ----------
    pairs : int
        Compared pairs of images.
    median : float
        Median cosine of the pairs.
    dimensions : float
        Random directions in a space of so many dimensions would spread as much.
    thresholds : dict of str to float
        Least cosine that counts as the same eye, by operating point.
    methods : dict of str to str
        How each was found: ``"empirical"``, the observed share of pairs; or
        ``"fitted tail"``, the tail of random directions in `dimensions`.
    """

    pairs: int
    median: float
    dimensions: float
    thresholds: dict[str, float]
    methods: dict[str, str]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Adaptation of one model file to one camera, a JSON file.

    The JSON has one object with these fields and ``schema_version`` (3).

    Attributes
    ----------
    name : str
        Of the camera or the image folder.
    model, model_sha256 : str
        The model's name and file.
    matrix : ndarray of shape (D, D), float32
        Multiplied with embeddings, without a phase code if they have one (a list of lists in
        JSON).
    images : int
        Images that it was learnt from.
    eyes : int or None
        Identities among them, whose pairs of images were left out; None when they
        are not known and pairs that look like one eye's were left out.
    failures : dict of str to int
        Images that could not be used, by reason.
    impostors : ImpostorEstimate
        Thresholds, and what they rest on.
    matcher : Matcher
        How the embeddings were compared (in JSON ``phase``: its layout's ``size``, ``columns`` and
        ``turns``, or null).
    created_by : str
        Program and version.
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

    @property
    def id(self) -> str:
        """Name and digest of the matrix: embeddings with equal ones can be compared."""
        digest = hashlib.sha256(np.ascontiguousarray(self.matrix, "<f4").tobytes()).hexdigest()
        return f"{self.name} ({digest[:12]})"

    def adapt(self, embeddings: np.ndarray) -> np.ndarray:
        """Multiply unit vectors (n, D) with the matrix and bring them to length 1 again.

        A phase code stays as it is, and so does the length of what is before it.
        """
        if not self.matcher.code_size:
            return unit(embeddings @ self.matrix)
        return unit(adapt_learned(embeddings, self.matrix, self.matcher))

    def write(self, path: str | Path) -> None:
        """Write the calibration as JSON, whole or not at all."""
        values = dataclasses.asdict(self) | {"matrix": self.matrix.tolist()}
        values["phase"] = values.pop("matcher")["layout"]
        write_json(path, {"schema_version": SCHEMA_VERSION} | values)

    @classmethod
    def read(cls, path: str | Path) -> "Calibration":
        """Read a calibration.

        Raises
        ------
        ModelError
            When the file is missing or no calibration.
        """
        path = Path(path)
        if not path.is_file():
            raise ModelError(
                f"{path}: there is no such calibration; make one with `iris-tf calibrate`."
            )
        try:
            return cls._from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ModelError(
                f"{path}: this is not a calibration that this version reads; make it again with "
                "`iris-tf calibrate`."
            ) from None

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> "Calibration":
        if values.pop("schema_version") != SCHEMA_VERSION:
            raise ValueError
        matrix = np.array(values.pop("matrix"), np.float32)
        impostors = ImpostorEstimate(**values.pop("impostors"))
        phase = values.pop("phase")
        matcher = Matcher(None if phase is None else PhaseCodeLayout(**phase))
        thresholds = [impostors.thresholds[point] for point in FALSE_MATCH_RATES]
        texts = [values[name] for name in ("name", "model", "model_sha256")]
        if matrix.shape != 2 * matrix.shape[:1] or not all(isinstance(text, str) for text in texts):
            raise ValueError
        if not (np.isfinite(matrix).all() and all(map(math.isfinite, thresholds))):
            raise ValueError
        return cls(matrix=matrix, impostors=impostors, matcher=matcher, **values)


def adapt_learned(embeddings: np.ndarray, matrix: np.ndarray, matcher: Matcher) -> np.ndarray:
    """Embeddings (n, D), float64, whose learned part was multiplied and kept its length."""
    learned, codes = matcher.split(np.asarray(embeddings, np.float64))
    multiplied = learned @ matrix
    # Not `unit`: float32 would round images that are all alike apart.
    lengths = np.linalg.norm(learned, axis=1) / np.linalg.norm(multiplied, axis=1)
    return np.concatenate([multiplied * lengths[:, None], codes], axis=1)
