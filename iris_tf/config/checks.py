"""Checks of recipe values, shared by all recipes."""

import math
import re
from collections.abc import Iterator
from typing import Any

from iris_tf.config.names import IMAGE_ROI_MODES, IRIS_ROI_MODES, NO_SEGMENTER
from iris_tf.support.foreign_files import shown

Problem = tuple[str, str]  # (dotted key, what is wrong with its value)


def positive(**values: float) -> Iterator[Problem]:
    """Check that values are positive and finite."""
    for key, value in values.items():
        if not 0 < value < math.inf:  # false for NaN, too
            yield key, f"must be above 0, but is {value}"


def between(low: float, high: float, **values: float) -> Iterator[Problem]:
    """Check that values are within `low` .. `high`, both inclusive."""
    for key, value in values.items():
        if not low <= value <= high:
            yield key, f"must lie between {low} and {high}, but is {value}"


def one_of(choices: tuple[str, ...], **values: str) -> Iterator[Problem]:
    """Check that values are among `choices`."""
    for key, value in values.items():
        if value not in choices:
            yield key, f"must be one of {', '.join(choices)}, but is {shown(value)}"


def folder_names(**sections: dict[str, Any]) -> Iterator[Problem]:
    """Check that the names in a section are valid folder names, which they are used as."""
    for key, section in sections.items():
        for name in section:
            if not re.fullmatch(r"[\w-]+", name):
                yield key, f"has {shown(name)}; names consist of letters, digits, - and _"


def length(count: int, **values: list) -> Iterator[Problem]:
    """Check the length of lists."""
    for key, value in values.items():
        if len(value) != count:
            yield key, f"must be a list of {count} values, but has {len(value)}"


def segmenter_problem(segmenter: str, roi_mode: str) -> str | None:
    """Why a segmenter, or none, is incompatible with a ROI mode; None if it is compatible."""
    if roi_mode in IRIS_ROI_MODES and segmenter == NO_SEGMENTER:
        return (
            f"is {NO_SEGMENTER}, but the ROI mode {roi_mode} needs the outlines of the iris; name "
            f"a segmenter, or choose the ROI mode {' or '.join(IMAGE_ROI_MODES)}"
        )
    if roi_mode in IMAGE_ROI_MODES and segmenter != NO_SEGMENTER:
        return (
            f"is {segmenter}, but the ROI mode {roi_mode} crops without an iris; set it to "
            f"{NO_SEGMENTER}, or choose the ROI mode {', '.join(IRIS_ROI_MODES)}"
        )
    return None


def under(prefix: str, problems: Iterator[Problem]) -> Iterator[Problem]:
    """Prefix the keys of problems with that of their section."""
    for key, problem in problems:
        yield f"{prefix}.{key}", problem
