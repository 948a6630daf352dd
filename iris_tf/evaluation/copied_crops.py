"""Crops with the same content, which would be compared with themselves."""

import collections
from collections.abc import Sequence
from pathlib import Path

from iris_tf.data.manifest import ManifestRow
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import sha256


def refuse_copies(rows: Sequence[ManifestRow], crops: Sequence[Path]) -> None:
    """Refuse rows whose crops are copies of one file.

    `prepare` leaves copies of an image out; other manifests may hold them. Compared with each
    other they would be a perfect genuine comparison, or a false match of two identities.

    Parameters
    ----------
    rows : sequence of ManifestRow
        Of one dataset.
    crops : sequence of Path
        File of each row's crop.

    Raises
    ------
    DatasetError
        Names two images.
    """
    of_size = collections.defaultdict(list)
    for row, crop in zip(rows, crops, strict=True):
        if crop.is_file():  # reading it says what is wrong with another one
            of_size[crop.stat().st_size].append((row, crop))
    for alike in of_size.values():
        first: dict[str, ManifestRow] = {}
        for row, crop in alike if len(alike) > 1 else ():
            other = first.setdefault(sha256(crop), row)
            if other is not row:
                raise DatasetError(
                    f"{crop}: the crop of {row.image} ({row.identity}) is a copy of that of "
                    f"{other.image} ({other.identity}), and would be compared with itself; remove "
                    "either from the manifest."
                )
