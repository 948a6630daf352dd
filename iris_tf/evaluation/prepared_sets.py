"""Prepared datasets that are evaluated together, e.g. eyes of two cameras."""

import collections
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iris_tf.data.manifest import ManifestRow, read_settings
from iris_tf.support.errors import EvaluationError


@dataclass(frozen=True)
class PreparedSet:
    """A prepared dataset, alone or beside others.

    Attributes
    ----------
    manifest : Path
        Its manifest.
    name : str
        What tells it apart from the others; empty where there are none.
    """

    manifest: Path
    name: str = ""

    def named(self, rows: Iterable[ManifestRow]) -> list[ManifestRow]:
        """Rows with the set's name as dataset and before the image, and whole paths of crops."""
        rows = [
            replace(row, roi=str(self.manifest.parent / row.roi)) if row.roi else row
            for row in rows
        ]
        if not self.name:
            return rows
        return [replace(row, dataset=self.name, image=f"{self.name}/{row.image}") for row in rows]

    @property
    def settings(self) -> dict[str, Any] | None:
        """How its crops were made, None where no ``dataset.json`` tells it."""
        return read_settings(self._description) if self._description.is_file() else None

    @property
    def failures(self) -> dict[str, int]:
        """Images without a crop, by reason; of a set that has settings."""
        content = json.loads(self._description.read_text(encoding="utf-8"))
        return content.get("counts", {}).get("failures", {})

    @property
    def _description(self) -> Path:
        return self.manifest.with_name("dataset.json")


def prepared_sets(manifests: Sequence[str | Path]) -> list[PreparedSet]:
    """Sets by the names of their folders.

    Parameters
    ----------
    manifests : sequence of str or Path
        Manifests of prepared datasets, at least one.

    Raises
    ------
    EvaluationError
        When two folders have the same name, or crops were made in different ways.
    DatasetError
        When a ``dataset.json`` cannot be read.
    """
    if len(manifests) == 1:
        return [PreparedSet(Path(manifests[0]))]
    sets = [PreparedSet(Path(path), Path(path).resolve().parent.name) for path in manifests]
    name, times = collections.Counter(each.name for each in sets).most_common(1)[0]
    if times > 1:
        raise EvaluationError(
            f"{times} of the datasets lie in a folder called {name}, which is how they are told "
            "apart; give each once, and rename one of the folders where it is not the same."
        )
    known = [(each.manifest, settings) for each in sets if (settings := each.settings)]
    for manifest, settings in known[1:]:
        for key in ("roi_mode", "segmenter", "segmenter_version", "channels"):
            first, other = known[0][1].get(key), settings.get(key)
            if first != other:
                raise EvaluationError(
                    f"{known[0][0]} holds crops with {key} {first}, but {manifest} with {other}; "
                    "prepare the images alike."
                )
    return sets
