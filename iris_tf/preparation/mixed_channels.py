"""Folders of grey and colour images, whose crops need channels that somebody chose."""

from collections.abc import Sequence
from pathlib import Path

from iris_tf.imaging.images import COLOUR_TO_GREY
from iris_tf.preparation.journal import Outcome
from iris_tf.support.errors import DatasetError


def refuse_mixed_channels(images: Path, outcomes: Sequence[Outcome]) -> None:
    """Refuse images of which some are grey and some in colour.

    Colour faces beside grey ones differ by more than the subject, so that whoever prepares them
    should know it, and choose. An image of three equal channels is grey.

    Parameters
    ----------
    images : Path
        Folder of the images.
    outcomes : sequence of Outcome
        Of all images, cropped in grey; failed ones are left out.

    Raises
    ------
    DatasetError
        If both kinds occur; names the first image of the rarer kind, and counts both.
    """
    colour: list[str] = []
    grey: list[str] = []
    for outcome in outcomes:
        if not outcome.reason:
            found = colour if COLOUR_TO_GREY in outcome.note.split("; ") else grey
            found.append(outcome.image)
    if not colour or not grey:
        return
    kind, rare = min(("grey", grey), ("colour", colour), key=lambda images: len(images[1]))
    others = f" and {len(rare) - 1} more" if len(rare) > 1 else ""
    raise DatasetError(
        f"{images}: holds {len(grey)} grey and {len(colour)} colour images ({kind}: {rare[0]}"
        f"{others}); choose the channels of all crops with `--channels`, in recipes "
        "`dataset.channels`: 1 converts colour to grey, 3, into another folder, gives grey images "
        "three equal channels."
    )
