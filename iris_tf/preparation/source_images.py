"""The images that a dataset was prepared from, read again only if they are still the same.

``dataset.json`` names their folder. A dataset from others can name any folder of this machine, and
crops and reports that are passed on would then show its images. A dataset's author knows the
SHA-256 of no image but the author's own.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from iris_tf.config.names import IRIS_ROI_MODES
from iris_tf.data.manifest import ManifestRow
from iris_tf.preparation.journal import FOLDER, Journal, Outcome
from iris_tf.support.errors import DatasetError
from iris_tf.support.files import sha256
from iris_tf.support.progress import track


class SourceImages:
    """Images of a prepared dataset.

    Parameters
    ----------
    dataset : Path
        Folder of a dataset, or of one of its other ROI modes (see `other_roi_modes`).
    settings : mapping
        Its settings, which name the folder of the images.

    Attributes
    ----------
    dataset, folder : Path
        Folder of the dataset, and of its images.
    """

    def __init__(self, dataset: Path, settings: Mapping[str, Any]):
        self.dataset, self.folder = dataset, Path(settings["images"])
        cut = dataset.name in IRIS_ROI_MODES and not (dataset / FOLDER).is_dir()
        self._outcomes = Journal(dataset.parent if cut else dataset).read()

    def outcome(self, row: ManifestRow) -> Outcome:
        """What the dataset's journal says of an image, which is still the same.

        Raises
        ------
        DatasetError
            If the journal does not know it, or it is missing or has another content.
        """
        outcome, image = self._outcomes.get(row.image), self.folder / row.image
        if outcome is None:
            raise DatasetError(
                f"{self.dataset}: its journal does not know {row.image}, so it cannot be read "
                "again; prepare the images into a new folder."
            )
        if not image.is_file() or sha256(image) != outcome.sha256:
            raise DatasetError(
                f"{image}: is missing or has changed since {self.dataset} was prepared; run "
                "`iris-tf prepare` again."
            )
        return outcome

    def require(self, rows: Iterable[ManifestRow]) -> None:
        """Refuse a dataset of which one image is no longer the same.

        Raises
        ------
        DatasetError
            See `outcome`.
        """
        if not self.folder.is_dir():
            raise DatasetError(
                f"{self.folder}: the image folder that {self.dataset} was prepared from is "
                "missing; restore it, or prepare the dataset again."
            )
        listed = list(rows)
        for row in track(listed, "Checking images", len(listed)):
            self.outcome(row)
