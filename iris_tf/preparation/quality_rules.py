"""User-defined minimum quality figures, and the rejection of images below them."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from iris_tf.preparation.journal import Outcome
from iris_tf.support.errors import DatasetError, FailureReason

# Greatest possible value of each figure; a higher limit would reject every image.
MAXIMA = {
    "confidence": 1.0,
    "usable_iris_area": 100.0,
    "iris_sclera_contrast": 100.0,
    "iris_pupil_contrast": 100.0,
    "grey_scale_utilisation": 8.0,
    "iris_radius": math.inf,
    "pupil_iris_ratio": 100.0,
    "iris_pupil_concentricity": 100.0,
    "margin_adequacy": 100.0,
    "sharpness": 100.0,
}


def parse_limits(text: str) -> dict[str, float]:
    """Read limits from a command line.

    Parameters
    ----------
    text : str
        E.g. ``"sharpness=20,confidence=0.3"``; ``""`` for no limit.

    Returns
    -------
    dict of str to float
        Limit by figure.

    Raises
    ------
    DatasetError
        If the text does not have that form; see also `check_limits`.
    """
    limits: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name in limits:
            raise DatasetError(f"The quality limit of {name} is given twice; give it once.")
        try:
            limits[name] = float(number)
        except ValueError:
            raise DatasetError(
                f"The quality limit {part!r} is not of the form name=number; the names are "
                f"{', '.join(MAXIMA)}."
            ) from None
    check_limits(limits)
    return limits


def check_limits(limits: Mapping[str, Any]) -> None:
    """Reject limits on unknown figures, and those that are no number or that no image meets.

    Raises
    ------
    DatasetError
    """
    for name, limit in limits.items():
        if name not in MAXIMA:
            raise DatasetError(
                f"There is no quality figure called {name!r}; the names are {', '.join(MAXIMA)}."
            )
        number = isinstance(limit, int | float | np.number) and not isinstance(limit, bool)
        if not number or not 0.0 <= limit <= MAXIMA[name] or math.isinf(limit):
            highest = "" if math.isinf(MAXIMA[name]) else f" and at most {MAXIMA[name]:g}"
            shown = f"{limit:g}" if number else repr(limit)
            raise DatasetError(
                f"The quality limit {name}={shown} must be a number of at least 0{highest}."
            )


def rejection(outcome: Outcome, limits: Mapping[str, float]) -> tuple[str, str] | None:
    """Return why an image is rejected by the limits, or None if it meets them.

    Parameters
    ----------
    outcome : Outcome
        Outcome of an image that yielded a crop.
    limits : mapping of str to float
        Minimum by figure.

    Returns
    -------
    tuple of str, or None
        A `FailureReason` and one sentence. Low confidence takes precedence over low quality,
        because the figures of wrong outlines are meaningless.
    """
    if not limits:
        return None
    assert outcome.quality is not None  # limits require a segmenter, which provides the figures
    figures = {"confidence": outcome.confidence, **asdict(outcome.quality)}
    # In the order of `MAXIMA`, so that the same limits give the same sentence.
    short = [name for name in MAXIMA if name in limits and figures[name] < limits[name]]
    if not short:
        return None
    reason = FailureReason.LOW_CONFIDENCE if "confidence" in short else FailureReason.LOW_QUALITY
    found = ", ".join(f"{name} {figures[name]:.4f} (at least {limits[name]:g})" for name in short)
    return str(reason), f"Below the quality limits: {found}."
