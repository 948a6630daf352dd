"""Searches in a gallery folder, in its state at one moment."""

import hashlib
import json
import threading
from collections.abc import Iterator

import numpy as np

from iris_tf.matching.gallery import Gallery
from iris_tf.matching.gallery_files import GalleryFiles
from iris_tf.matching.gallery_names import EnrolledImage
from iris_tf.matching.gallery_state import Snapshot
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_signs import nearest
from iris_tf.matching.row_file import DamagedRowsError, RowFile
from iris_tf.matching.template_records import TemplateKind
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_CHUNK = 2048  # templates that are decoded at a time


class GalleryMoment:
    """A gallery folder at one moment.

    Its methods raise FileNotFoundError or DamagedRowsError where a writer has removed since then
    what they need, or where the gallery is damaged.

    Parameters
    ----------
    snapshot : Snapshot
        Of its journal.
    files : GalleryFiles
        Of the generation of the snapshot.
    kind : TemplateKind
        Of its templates.
    signs : OpenSigns
        Signs that are kept in memory.
    """

    def __init__(
        self, snapshot: Snapshot, files: GalleryFiles, kind: TemplateKind, signs: "OpenSigns"
    ):
        self.snapshot, self._files, self._kind = snapshot, files, kind
        self._signs = signs

    def gallery(self, slots: np.ndarray, enrolled: dict[int, EnrolledImage]) -> Gallery:
        """Gallery of those of some rows that are enrolled, in their order."""
        live = slots[[slot in enrolled for slot in slots.tolist()]]
        embeddings, figures = self._files.read(live, self.snapshot.slots)
        images = [enrolled[slot] for slot in live.tolist()]
        return Gallery(
            embeddings,
            tuple(image.identity for image in images),
            tuple(image.image for image in images),
            self._kind.origin,
            figures,
            self._kind.levelling,
        )

    def parts(self) -> Iterator[Gallery]:
        """The whole gallery, a part at a time."""
        found = 0
        for start in range(0, self.snapshot.slots, _CHUNK):
            enrolled = self.snapshot.between(start, start + _CHUNK)
            if enrolled:
                found += len(enrolled)
                yield self.gallery(np.array(sorted(enrolled), np.int64), enrolled)
        if found != self.snapshot.images:
            raise _names_missing(found, self.snapshot)

    def nearest(
        self, embedding: np.ndarray, layout: PhaseCodeLayout, count: int, wide: bool
    ) -> Gallery:
        """The `count` nearest templates by signs."""
        code, signs = embedding[-layout.size :], self._all_signs()
        # Erased signs are as near as a code has ones, thus farther than many strangers' signs,
        # which are compared at their best rotation; but for a few codes they are not.
        asked = count + min(count, self.snapshot.slots - self.snapshot.images)
        while True:
            slots = nearest(code, signs, layout, asked, wide)[0]
            enrolled = self.snapshot.at(slots.tolist())
            live = slots[[slot in enrolled for slot in slots.tolist()]]
            if len(live) >= count or asked >= len(signs):
                return self.gallery(live[:count], enrolled)
            asked *= 4

    def best(
        self, embedding: np.ndarray, matcher: Matcher, count: int, figures: np.ndarray | None
    ) -> Gallery:
        """The best templates by the matcher, which compares all."""
        parts, values = [], []
        for part in self.parts():
            parts.append(part)
            if matcher.has_scores:
                values.append(part.scores(embedding, matcher, figures).values[0])
            else:
                values.append(part.similarities(embedding, matcher))
            if sum(map(len, values)) > count + _CHUNK:
                parts, values = _best(parts, values, count)
        parts, _ = _best(parts, values, count)
        return parts[0]

    def _all_signs(self) -> np.ndarray:
        if self._files.sealed:
            return self._signs.of(self.snapshot, self._files.signs)
        return self._files.signs.rows(self.snapshot.slots)

    def first_digest(self) -> str:
        """SHA-256 of the first image and its template."""
        first = self.snapshot.first()
        template = self.gallery(np.array(list(first), np.int64), first)
        names = json.dumps([template.identities, template.images]).encode()
        return hashlib.sha256(names + template.embeddings.tobytes()).hexdigest()


class OpenSigns:
    """Signs of an encrypted gallery, decrypted in memory for the first stage of searches.

    Those of templates that are removed stay until the next compaction; the journal says that they
    are. Threads may share it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file, self._rows = "", np.empty((0, 0), np.uint8)

    def of(self, snapshot: Snapshot, file: RowFile) -> np.ndarray:
        """Signs (slots, bytes), uint8, of a snapshot; those that are new to it are decrypted.

        Raises
        ------
        FileNotFoundError
            When there is no file.
        DamagedRowsError
            When a row was changed, or the journal does not name as many images as there are.
        """
        with self._lock:
            known = self._rows if file.path.name == self._file else self._rows[:0]
            if len(known) < snapshot.slots:
                known = self._extended(known, snapshot, file)
                self._file, self._rows = file.path.name, known
            return known[: snapshot.slots]

    @staticmethod
    def _extended(known: np.ndarray, snapshot: Snapshot, file: RowFile) -> np.ndarray:
        if (found := snapshot.count()) != snapshot.images:
            raise _names_missing(found, snapshot)
        slots = np.arange(len(known), snapshot.slots)
        new = file.take(slots, snapshot.slots)
        erased = slots[~new.any(axis=1)]
        if snapshot.at(erased.tolist()):
            raise DamagedRowsError(f"a template was removed from {file.path.name} alone")
        return np.concatenate([known, new]) if len(known) else new


def _names_missing(found: int, snapshot: Snapshot) -> DamagedRowsError:
    return DamagedRowsError(f"its journal names {found} of its {snapshot.images} images")


def _best(
    parts: list[Gallery], values: list[np.ndarray], count: int
) -> tuple[list[Gallery], list[np.ndarray]]:
    """The images of the highest values, as one part."""
    joined = np.concatenate(values)
    order = np.argsort(-joined, kind="stable")[:count]
    return [Gallery.joined(parts)[order]], [joined[order]]
