"""Decisions as JSON: the output of `verify --json` and `identify --json`.

The form is stable: keys may be added, but `SCHEMA_VERSION` changes when one is removed or changes
its meaning. It is described in ``docs/reference/cli.md``.
"""

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iris_tf.recognition.decisions import Identification, Verification
    from iris_tf.recognition.embed_folder import EmbeddedFolder
    from iris_tf.recognition.recognizer import IrisRecognizer

SCHEMA_VERSION = 1


def verification_json(result: "Verification", recognizer: "IrisRecognizer") -> str:
    """Write a verification as a JSON object."""
    return _written(
        {"same_eye": result.same_eye, "similarity": result.similarity}
        | _scored(result.score)
        | ({} if result.score is None else {"inconclusive": result.inconclusive})
        | _circumstances(result, recognizer)
    )


def identification_json(
    result: "Identification",
    recognizer: "IrisRecognizer",
    identities: int,
    top: int,
    enrolled: "EmbeddedFolder | None",
) -> str:
    """Write an identification as a JSON object.

    Parameters
    ----------
    result : Identification
    recognizer : IrisRecognizer
    identities : int
        Number of identities that were searched.
    top : int
        Number of identities to write.
    enrolled : EmbeddedFolder or None
        The folder that the gallery was enrolled from; None for one from a file.
    """
    matches = []
    for match in result.matches[:top]:
        values = dataclasses.asdict(match)
        if not recognizer.has_scores:
            del values["inconclusive"]
        matches.append(values | _scored(values.pop("score")))
    return _written(
        {
            "identity": result.identity,
            "matches": matches,
            "gallery": {
                "images": result.images,
                "identities": identities,
                "failures": {} if enrolled is None else enrolled.failures,
                "missing": [] if enrolled is None else list(enrolled.missing),
            },
        }
        | ({"inconclusive": result.inconclusive} if recognizer.has_scores else {})
        | _circumstances(result, recognizer)
    )


def _circumstances(
    result: "Verification | Identification", recognizer: "IrisRecognizer"
) -> dict[str, Any]:
    quality, calibration = result.quality, recognizer.calibration
    return {
        "threshold": result.threshold,
        "operating_point": result.operating_point,
        "quality": None if quality is None else dataclasses.asdict(quality),
        "model": {"name": recognizer.origin.model, "sha256": recognizer.origin.model_sha256},
        "calibration": None if calibration is None else calibration.id,
    }


def _scored(score: float | None) -> dict[str, float | None]:
    """The key of a score, where there are scores; null if inconclusive, as JSON has no infinity."""
    return {} if score is None else {"score": score if math.isfinite(score) else None}


def _written(content: dict[str, Any]) -> str:
    return json.dumps({"schema_version": SCHEMA_VERSION} | content, indent=2)
