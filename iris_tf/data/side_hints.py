"""Hints where eyes may be taken for each other: names that look like sides and are not used."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from iris_tf.data.manifest import ManifestRow

_LEFT = re.compile("left|l|os", re.IGNORECASE)
_TO_RIGHT = {"left": "right", "l": "r", "os": "od"}  # oculus sinister, oculus dexter
_WORD = re.compile(r"left|(?<![a-z])(?:l|os)(?![a-z])", re.IGNORECASE)
_ENOUGH = 0.5  # share of the folders from which on letters within words are taken for sides


class _Pair(NamedTuple):
    left: str
    right: str
    by_word: bool


def side_hints(rows: Sequence[ManifestRow]) -> list[str]:
    """Sentences on a folder of eyes that was read as one eye per folder (layout ``folder``).

    Names look like sides where one turns into another by one exchange of left for right, numbers
    of images aside: ``aeval1`` and ``aevar2``, ``014L`` and ``014R``, ``x_os`` and ``x_od``.

    Parameters
    ----------
    rows : sequence of ManifestRow
        As `iris_tf.data.layouts.read_layout` returns them.

    Returns
    -------
    list of str
        At least one: names that look like sides, or else that nothing tells sides.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        folder, _, name = row.image.rpartition("/")
        folders[folder].append(name)
    hints = []
    pairs = _pairs(folders, str.lower)
    if _is_convincing(pairs, len(folders) / 2):
        hints.append(
            f"names of folders look like sides ({_example(pairs)}) and are not used: each folder "
            "counts as a subject, so that a split may separate the eyes of one; call the folders "
            "<subject>_L and <subject>_R"
        )
    within = [
        pair._replace(left=f"{folder}/{pair.left}", right=f"{folder}/{pair.right}")
        for folder, names in folders.items()
        for pair in _pairs(names, _without_numbers)[:1]
    ]
    if _is_convincing(within, len(folders)):
        hints.append(
            f"names of images look like sides ({_example(within)}) and are not used: all images "
            "of a folder count as one eye, so that left and right are compared as genuine; give "
            "the side as a word of each name, <subject>/IMG_L_1.png (--layout eye-names), or as a "
            "folder, <subject>/L/<image> (--layout eye-folders)"
        )
    return hints or [
        "all images of a folder count as one eye; if folders hold both eyes of a subject, give the "
        "side as a word of each name, <subject>/IMG_L_1.png, or as a folder, <subject>/L/<image>"
    ]


def _pairs(names: Iterable[str], form: Callable[[str], str]) -> list[_Pair]:
    """Pairs of names of which the left one's form turns into the right one's."""
    by_form: dict[str, str] = {}
    for name in names:
        by_form.setdefault(form(name), name)
    return [
        _Pair(name, by_form[mate], _WORD.match(left, found.start()) is not None)
        for left, name in by_form.items()
        for found in _LEFT.finditer(left)
        if (mate := left[: found.start()] + _TO_RIGHT[found[0]] + left[found.end() :]) in by_form
    ]


def _without_numbers(name: str) -> str:
    return re.sub("[0-9]+", "#", name.lower().rpartition(".")[0])


def _is_convincing(pairs: Sequence[_Pair], of: float) -> bool:
    return any(pair.by_word for pair in pairs) or len(pairs) >= max(1, _ENOUGH * of)


def _example(pairs: Sequence[_Pair]) -> str:
    left, right, _ = max(pairs, key=lambda pair: pair.by_word)
    return f"{left}, {right}"
