"""Prepared datasets to evaluate, each read once: images, crops, failures and settings."""

import collections
import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from iris_tf.config.names import ALL_SPLITS, SPLITS
from iris_tf.data.crop_store import crop_path
from iris_tf.data.manifest import ManifestRow, read_manifest, read_settings
from iris_tf.data.splits import check_splits, world
from iris_tf.evaluation.failures import FailedImage, failures_of_split, read_failures
from iris_tf.preparation.other_roi_modes import cut_if_asked_for, folder_of_roi_mode
from iris_tf.support.errors import DatasetError, EvaluationError
from iris_tf.support.files import real_path
from iris_tf.support.foreign_files import Inside, read_object


@dataclass(frozen=True)
class PreparedSet:
    """A prepared dataset, alone or together with others.

    Attributes
    ----------
    manifest : Path
        Its manifest; crops are relative to its folder.
    rows : list of ManifestRow
        All rows of the manifest.
    settings : dict or None
        How its crops were made; None without a ``dataset.json``.
    failures : dict of str to int
        Number of images without a crop by reason, all splits.
    failed : list of FailedImage or None
        Those images, without copies of others; None where no ``failures.csv`` lists them.
    name : str
        What distinguishes it from the other sets: its images are called ``<name>/<image>``. Empty
        if there are no others.
    """

    manifest: Path
    rows: list[ManifestRow]
    settings: dict[str, Any] | None
    failures: dict[str, int]
    failed: list[FailedImage] | None
    name: str = ""

    @classmethod
    def read(cls, manifest: str | Path, name: str = "") -> Self:
        """Read the manifest and the files beside it; see also `cut_if_asked_for`.

        Raises
        ------
        DatasetError, EvaluationError
            If one of the files cannot be read.
        """
        manifest = Path(manifest)
        cut_if_asked_for(manifest.parent)
        description, table = (manifest.with_name(n) for n in ("dataset.json", "failures.csv"))
        rows, settings, failures, failed = read_manifest(manifest), None, {}, None
        if description.is_file():
            settings = read_settings(description)
            described = read_object(description)
            failures = _failure_counts(description, described)
            if table.is_file():
                dataset = str(described.get("name", settings["layout"]))
                failed = read_failures(table, settings["layout"], dataset)
        return cls(manifest, rows, settings, failures, failed, name)

    def in_roi_mode(self, roi_mode: str) -> Self:
        """The same images with crops of another ROI mode, without those that give none.

        Parameters
        ----------
        roi_mode : str
            One of `IRIS_ROI_MODES`.

        Raises
        ------
        DatasetError, EvaluationError, InUseError
            As for `iris_tf.preparation.other_roi_modes.folder_of_roi_mode`.
        """
        folder = folder_of_roi_mode(self.manifest.parent, roi_mode)
        cut = type(self).read(folder / "manifest.csv", self.name)
        # Labels and splits are those of this manifest.
        crops = {row.roi for row in cut.rows}
        return replace(cut, rows=[row for row in self.rows if row.roi in crops])

    def of_split(self, split: str) -> list[ManifestRow]:
        """Images of a split, or of all splits, under the names of this set.

        Parameters
        ----------
        split : {"train", "val", "test", "all"}

        Raises
        ------
        DatasetError
            If the split is unknown or empty, an image has no crop, or an eye is on both sides of
            the split.
        """
        if split not in (*SPLITS, ALL_SPLITS):
            raise DatasetError(f"split {split!r} is unknown; choose train, val, test or all.")
        rows = [row for row in self.rows if split in (ALL_SPLITS, row.split)]
        if not rows:
            raise DatasetError(f"{self.manifest}: no row belongs to the split {split}.")
        if split != ALL_SPLITS:
            check_splits(self.rows, str(self.manifest), world(self.settings or {}))
        for row in rows:
            if not row.roi:
                raise DatasetError(
                    f"{self.manifest}: {row.image} has no crop; run `iris-tf prepare` first."
                )
        return [self._named(row) for row in rows]

    def named_rows(self) -> list[ManifestRow]:
        """All of `rows`, under the names of this set."""
        return [self._named(row) for row in self.rows]

    def failed_of_split(self, split: str) -> list[FailedImage] | None:
        """Failed images of a split, or of all splits; None where they are not known."""
        if self.failed is None or self.settings is None:
            return None
        found = failures_of_split(self.failed, split, self.rows, self.settings)
        return [FailedImage(self._named(row), reason) for row, reason in found]

    def crop(self, row: ManifestRow) -> Path:
        """File of an image's crop.

        Raises
        ------
        DatasetError
            If it is not in the folder of the manifest.
        """
        return crop_path(row, self._folder)

    @functools.cached_property
    def _folder(self) -> Inside:
        return Inside(self.manifest.parent)

    def _named(self, row: ManifestRow) -> ManifestRow:
        if not self.name:
            return row
        return replace(row, dataset=self.name, image=f"{self.name}/{row.image}")


def _failure_counts(description: Path, described: dict[str, Any]) -> dict[str, int]:
    counts = described.get("counts", {})
    failures = counts.get("failures", {}) if isinstance(counts, dict) else None
    if not isinstance(failures, dict) or not all(type(n) is int for n in failures.values()):
        raise DatasetError(
            f"{description}: its counts are not those of `iris-tf prepare`; prepare the dataset "
            "again."
        )
    return failures


def read_prepared_sets(manifests: Sequence[str | Path]) -> list[PreparedSet]:
    """Read datasets that are to be evaluated together; several are named after their folders.

    Parameters
    ----------
    manifests : sequence of str or Path
        Manifests of prepared datasets, at least one.

    Raises
    ------
    EvaluationError
        If two folders have the same name, or crops were made in different ways.
    DatasetError
        If a file of a dataset cannot be read.
    """
    if len(manifests) == 1:
        return [PreparedSet.read(manifests[0])]
    names = [real_path(path).parent.name for path in manifests]
    name, times = collections.Counter(names).most_common(1)[0]
    if times > 1:
        raise EvaluationError(
            f"{times} of the datasets lie in a folder called {name}, by which they are "
            "distinguished; give each once, and rename one of the folders if they differ."
        )
    sets = [PreparedSet.read(path, name) for path, name in zip(manifests, names, strict=True)]
    known = [(each.manifest, each.settings) for each in sets if each.settings is not None]
    for manifest, settings in known[1:]:
        for key in ("roi_mode", "segmenter", "segmenter_version", "channels"):
            first, other = known[0][1].get(key), settings.get(key)
            if first != other:
                raise EvaluationError(
                    f"{known[0][0]} holds crops with {key} {first}, but {manifest} "
                    f"with {other}; prepare the images in the same way."
                )
    return sets
