"""The project's errors.

Each carries one sentence: which file or field, what is wrong, what to do. The
command line prints that sentence and exits with status 2; no stack trace.
"""

from enum import StrEnum


class FailureReason(StrEnum):
    """Why no usable crop came out of an eye image: the closed list of ``failures.csv``."""

    UNREADABLE = "unreadable"  # zero-byte, truncated, or not an image
    TOO_SMALL = "too_small"  # shorter side under `datasets.images.MIN_SIDE`
    NO_PUPIL = "no_pupil"
    NO_IRIS = "no_iris"
    IMPLAUSIBLE_GEOMETRY = "implausible_geometry"  # ratio, size or centres no eye has
    OCCLUDED = "occluded"  # too little of the iris is visible
    ROI_IS_WHOLE_IMAGE = "roi_is_whole_image"  # discarded by Algorithm 1
    LOW_CONFIDENCE = "low_confidence"  # the segmenter does not trust its own result
    LOW_QUALITY = "low_quality"  # below a limit of the user, or of Open-Iris
    DUPLICATE = "duplicate"  # the same bytes as an earlier image of the set
    INTERNAL = "internal"  # the segmenter raised what it should not; a bug to report


class IrisTfError(Exception):
    """Base of all errors that a user can cause or mend."""


class RecipeError(IrisTfError):
    """A recipe with an unknown key, a wrong type or an impossible value."""


class DatasetError(IrisTfError):
    """A folder, layout, manifest or split that cannot be used."""


class ExtractionError(IrisTfError):
    """One eye image that gave no crop.

    Parameters
    ----------
    reason : FailureReason
        Entry of the closed list.
    detail : str
        One sentence for a person.
    """

    def __init__(self, reason: FailureReason, detail: str):
        super().__init__(detail)
        self.reason = reason

    def __reduce__(self):
        # Raised in worker processes: both arguments must survive pickling.
        return type(self), (self.reason, str(self))


class InUseError(IrisTfError):
    """A folder that another process is at work in."""


class ModelError(IrisTfError):
    """A model file, run folder or model card that cannot be used."""


class TrainingError(IrisTfError):
    """A training run that cannot start or go on."""


class ExportError(IrisTfError):
    """An export that failed, or whose numbers do not match the Keras model's."""


class EvaluationError(IrisTfError):
    """Embeddings or scores that cannot be evaluated."""


class BenchmarkError(IrisTfError):
    """A latency measurement that cannot be made, or a result that breaks the schema."""


def first_line(error: Exception) -> str:
    """What a library's exception says in its first line, or else its kind."""
    return next(iter(str(error).splitlines()), type(error).__name__)
