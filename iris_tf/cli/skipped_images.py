"""How commands tell which images of a folder could not be used."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iris_tf.cli.console import echo, listed

if TYPE_CHECKING:
    from iris_tf.recognition.embed_folder import FolderFailures


def print_failed(found: "FolderFailures") -> None:
    """Print how many images of a folder could not be used, and why."""
    print_failures(
        [
            (reason, count, next(image for image, why in found.failed if why == reason))
            for reason, count in found.failures.items()
        ]
    )
    if found.outside:
        number = len(found.outside)
        echo(f"  not in the layout {found.layout}: {number} ({listed(found.outside)})")
    if found.missing:
        number = len(found.missing)
        echo(f"  not enrolled for lack of a usable image: {number} ({listed(found.missing)})")


def print_failures(failures: Sequence[tuple]) -> None:
    """Print reasons, each with its count and possibly an example."""
    for reason, count, *example in failures:
        echo(f"  skipped, {reason}: {count}" + (f" ({example[0]})" if example else ""))
