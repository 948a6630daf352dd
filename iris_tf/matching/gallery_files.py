"""The files of rows of a gallery folder: templates, and what searches need to know of each."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iris_tf.matching.gallery_vault import GalleryVault, SealedRowFile
from iris_tf.matching.phase_evidence import code_figures, figure_count
from iris_tf.matching.phase_signs import phase_signs, sign_size
from iris_tf.matching.row_file import DamagedRowsError, RowFile
from iris_tf.matching.template_records import TemplateKind, TemplateRecords

_FIGURES = np.dtype("<f4")  # see `CodeSet.figures`


class GalleryFiles:
    """The files of rows of one generation of a gallery folder; row `n` of each is template `n`.

    Signs and figures follow from the records; they are kept because searches need them of every
    template and of every candidate.

    Parameters
    ----------
    folder : Path
    generation : int
    kind : TemplateKind
        What the gallery holds.
    vault : GalleryVault or None
        Keys of an encrypted gallery.

    Attributes
    ----------
    sealed : bool
        Whether they are encrypted.
    records : RowFile
        Templates, see `TemplateRecords`.
    signs : RowFile
        See `iris_tf.matching.phase_signs`; of no size without a phase code.
    figures : RowFile
        What comparisons need to know of each phase code.
    """

    def __init__(
        self, folder: Path, generation: int, kind: TemplateKind, vault: GalleryVault | None
    ):
        self._kind, self._encoding = kind, TemplateRecords(kind)
        self.sealed = vault is not None
        self.records, self.signs, self.figures = (
            _row_file(folder, f"{name}-{generation:06d}", size, vault)
            for name, size in {
                "records": self._encoding.size,
                "signs": sign_size(kind.layout) if kind.layout else 0,
                "figures": figure_count(kind.levelling) * _FIGURES.itemsize,
            }.items()
        )

    @property
    def all(self) -> tuple[RowFile, ...]:
        """The files that there are."""
        return (self.records, self.signs, self.figures) if self._kind.layout else (self.records,)

    def encode(
        self, embeddings: np.ndarray, figures: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """Rows of each of `all` for unit vectors (n, D), whose figures may be known."""
        records = self._encoding.encode(embeddings)
        layout = self._kind.layout
        if layout is None:
            return (records,)
        # Signs and figures are those of what will be read.
        codes = self._encoding.decode(records)[:, -layout.size :]
        if figures is None:
            figures = code_figures(codes, layout, self._kind.levelling)
        rows = np.ascontiguousarray(figures, _FIGURES).view(np.uint8)
        return records, phase_signs(codes), rows

    def erase(self, slots: Sequence[int]) -> None:
        """Overwrite rows."""
        for file in self.all:
            file.erase(slots)

    def read(self, slots: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Templates in some rows of the first `count`.

        Returns
        -------
        embeddings : ndarray of shape (n, D), float32
        figures : ndarray of shape (n, 2) or (n, 3), float32, or None
            None without a phase code.

        Raises
        ------
        FileNotFoundError
            When there is no file.
        DamagedRowsError
            When there are no such rows, or a template is damaged or was erased.
        """
        if len(slots) and slots.max() >= count:
            raise DamagedRowsError(f"its journal names row {slots.max()} of {count}")
        records, figures = self.records.take(slots, count), None
        there = records.any(axis=1)
        if self._kind.layout is not None:
            figures = self.figures.take(slots, count).view(_FIGURES)
            there &= figures.any(axis=1)
        if not there.all():
            raise DamagedRowsError("a template was erased that its journal names")
        return self._encoding.decode(records), figures


def _row_file(folder: Path, name: str, size: int, vault: GalleryVault | None) -> RowFile:
    path = folder / f"{name}.bin"
    return RowFile(path, size) if vault is None else SealedRowFile(path, size, vault.cipher(name))
