"""The recogniser that benchmarks of decisions by score measure."""

from pathlib import Path

from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import ModelError


def scoring_recognizer(model: str | Path | None) -> IrisRecognizer:
    """Open a model whose card has scores.

    Parameters
    ----------
    model : str, Path or None
        See `IrisRecognizer`.

    Raises
    ------
    ModelError
        When the model cannot be used, or its card has no scores.
    """
    recognizer = IrisRecognizer(model)
    if not recognizer.matcher.has_scores:
        raise ModelError(
            f"{recognizer.model}: its card has no scores; give a model whose card has them, such "
            "as the released one."
        )
    return recognizer
