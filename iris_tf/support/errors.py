"""The project's exceptions.

Each message is one sentence: the file or field, what is wrong with it, what to do. The command
line prints it without a stack trace and exits with status 2.
"""

from enum import StrEnum
from typing import Any


class FailureReason(StrEnum):
    """Why an eye image gave no usable crop: the closed list of reasons in ``failures.csv``."""

    UNREADABLE = "unreadable"  # empty, truncated, or not an image
    TOO_SMALL = "too_small"  # shorter side below `imaging.images.MIN_SIDE`
    NO_PUPIL = "no_pupil"
    NO_IRIS = "no_iris"
    IMPLAUSIBLE_GEOMETRY = "implausible_geometry"  # radii, aspect ratio or centres no eye has
    SEVERAL_EYES = "several_eyes"  # the segmenter would have to choose one
    OCCLUDED = "occluded"  # too little of the iris is visible
    ROI_IS_WHOLE_IMAGE = "roi_is_whole_image"  # discarded by Algorithm 1
    LOW_CONFIDENCE = "low_confidence"  # the segmenter's confidence is below its limit
    LOW_QUALITY = "low_quality"  # below a limit of the user, of Open-Iris, or of a card's scores
    DUPLICATE = "duplicate"  # same bytes or pixels as an earlier image of the dataset
    NOT_READ = "not_read"  # of a kind that is not read, such as .gif; no failure to extract
    INTERNAL = "internal"  # unexpected exception in the segmenter: a bug, please report


class IrisTfError(Exception):
    """Base class of all errors that a user can cause or fix."""


class ArgumentError(IrisTfError, ValueError):
    """An argument of the Python interface that cannot be used."""


class RecipeError(IrisTfError):
    """A recipe with an unknown key, a wrong type or an impossible value."""


class DatasetError(IrisTfError):
    """A folder, layout, manifest or split that cannot be used."""


class ExtractionError(IrisTfError):
    """An eye image from which no usable crop could be extracted.

    Parameters
    ----------
    reason : FailureReason
        Machine-readable reason, as written to ``failures.csv``.
    detail : str
        Explanation for the user, one sentence.
    """

    def __init__(self, reason: FailureReason, detail: str):
        super().__init__(detail)
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes raise it, so both arguments must survive pickling.
        return type(self), (self.reason, str(self))


class OutputError(IrisTfError):
    """An output that would overwrite a file of another kind."""


class InUseError(IrisTfError):
    """A folder that another process is using."""


class ModelError(IrisTfError):
    """A model file, run folder or model card that cannot be used."""


class ProtectionError(IrisTfError):
    """A key, or an encrypted or transformed file, that cannot be used."""


class TrainingError(IrisTfError):
    """A training run that cannot start or continue."""


class ExportError(IrisTfError):
    """An export that failed, or whose embeddings do not match the Keras model's."""


class EvaluationError(IrisTfError):
    """Embeddings or scores that cannot be evaluated."""


class BenchmarkError(IrisTfError):
    """A latency measurement that cannot be taken, or a result that violates the schema."""


_LONGEST = 300


def first_line(error: Exception) -> str:
    """First line of an exception's message, or the name of its class if the message is empty.

    A long line is cut: messages of libraries may quote values of damaged files.
    """
    line = next(iter(str(error).splitlines()), type(error).__name__)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
