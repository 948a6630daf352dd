"""Removing crops, masks and thumbnails that a dataset no longer needs, and nothing else."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from iris_tf.preparation.kept_segmentation import mask_path
from iris_tf.preparation.overlay import overlay_path
from iris_tf.support.temporary_names import sweep

# Temporary names of version 0.1, which do not tell their owner: a dot, the name or its beginning,
# eight digits.
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}(\..*)?")


def remove_leftovers(
    out: Path, images: Iterable[str], kept: set[str], tables: Iterable[str]
) -> None:
    """Remove the crops, masks and thumbnails of some images, and temporary files of killed writers.

    Files that `prepare` cannot have written stay, whatever folder they are in: users put notes
    beside crops, and link folders from elsewhere.

    Parameters
    ----------
    out : Path
        Dataset folder.
    images : iterable of str
        All images that this or an earlier run has processed, relative to the image folder.
    kept : set of str
        Crops, masks and thumbnails that the dataset needs, relative to `out`.
    tables : iterable of str
        Names of the files in `out` itself, whose temporary files are removed as well.
    """
    own = {path for image in images for path in _written_for(image)}
    names: dict[PurePosixPath, list[str]] = defaultdict(list)
    names[PurePosixPath()] = list(tables)
    for path in map(PurePosixPath, own):
        names[path.parent].append(path.name)
    for outdated in own - kept:
        (out / outdated).unlink(missing_ok=True)
    for folder, beginnings in names.items():
        sweep(out / folder)
        for hidden in (out / folder).glob(".*"):
            found = _TEMPORARY.fullmatch(hidden.name)
            if found and any(name.startswith(found["name"]) for name in beginnings):
                hidden.unlink(missing_ok=True)


def _written_for(image: str) -> Iterable[str]:
    """Crop, masks and thumbnail of an image under each name that they may have."""
    for name in (image.rpartition(".")[0], image):
        roi = f"roi/{name}.png"
        yield roi
        yield mask_path(roi)
        yield overlay_path(roi)
