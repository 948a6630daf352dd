"""Images that appear twice: a copy compared with itself would be a perfect genuine score."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from iris_tf.preparation.journal import Outcome
from iris_tf.support.errors import FailureReason


class Copy(NamedTuple):
    """An image that equals an earlier one, and in what: ``"bytes"`` or ``"pixels"``."""

    image: str
    original: str
    same: str


def find_copies(outcomes: Sequence[Outcome]) -> list[Copy]:
    """Images whose files have the same bytes as an earlier image's, or the same pixels.

    The latter is so for a BMP file and the PNG file made of it. Failed images are left out.
    """
    first: dict[str, str] = {}
    copies = []
    for outcome in outcomes:
        if outcome.reason:
            continue
        contents = {outcome.sha256: "bytes", outcome.pixels: "pixels"}
        contents.pop("", None)  # journals of version 0.1 have no pixels
        known = next((content for content in contents if content in first), None)
        if known is None:
            first |= dict.fromkeys(contents, outcome.image)
        else:
            copies.append(Copy(outcome.image, first[known], contents[known]))
    return copies


def mark_duplicates(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Turn the outcomes of copies into failures; of equal images the first is kept."""
    copies = {copy.image: copy for copy in find_copies(outcomes)}
    return [
        replace(
            outcome,
            reason=str(FailureReason.DUPLICATE),
            detail=f"The file has the same {copy.same} as {copy.original}.",
        )
        if (copy := copies.get(outcome.image)) is not None
        else outcome
        for outcome in outcomes
    ]


def label_hints(outcomes: Sequence[Outcome], identity_of: Mapping[str, str]) -> list[str]:
    """A sentence if copies lie under another identity than their originals; else nothing.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of all images.
    identity_of : mapping of str to str
        Identity by image.
    """
    wrong = [
        copy
        for copy in find_copies(outcomes)
        if identity_of[copy.image] != identity_of[copy.original]
    ]
    if not wrong:
        return []
    image, original, _ = wrong[0]
    return [
        f"{len(wrong)} images lie under two identities, such as {image} and {original}: one of the "
        "labels is wrong; the first is kept"
    ]
