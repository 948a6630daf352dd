"""The outcome of each image of a preparation run, recorded so that a killed run can resume."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.quality import IrisQuality
from iris_tf.support.files import write_text
from iris_tf.support.foreign_files import (
    MAX_TABLE_BYTES,
    UNUSABLE,
    leaves_folder,
    parse_json,
    read_text,
)

FOLDER = ".journal"
_COMPACTED = "finished.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one image.

    Attributes
    ----------
    image : str
        Path relative to the image folder.
    stamp : str
        `file_stamps.file_stamp` of the file when it was processed.
    sha256 : str
        Of the file's bytes; ``""`` after a failure.
    note : str
        What was converted on reading.
    reason, detail : str
        Why there is no crop, or ``""``.
    pupil, iris : Ellipse or None
        Outlines in pixels of the image; None after a failure or without a segmenter.
    visible : float
        Visible share of the ring between the outlines, as far as it is inside the image, 0..1.
    confidence : float
        The segmenter's confidence in its result, 0..1; 0 where `quality` is None.
    quality : IrisQuality or None
        Quality figures; None after a failure or without a segmenter.
    overlay : bool
        Whether there is a thumbnail, which requires a readable image.
    pixels : str
        SHA-256 of the decoded pixels; ``""`` after a failure and in journals of version 0.1.
    tilt : float
        `SegmentedEye.tilt`; 0 after a failure or without a segmenter.
    """

    image: str
    stamp: str
    sha256: str = ""
    note: str = ""
    reason: str = ""
    detail: str = ""
    pupil: Ellipse | None = None
    iris: Ellipse | None = None
    visible: float = 0.0
    confidence: float = 0.0
    quality: IrisQuality | None = None
    overlay: bool = False
    pixels: str = ""
    tilt: float = 0.0


class Journal:
    """Outcomes on disk, one file per chunk of images, under ``out/.journal``.

    Files are written atomically, so a killed writer leaves no partial record.

    Parameters
    ----------
    out : Path
        The dataset folder.
    """

    def __init__(self, out: Path):
        self._folder = out / FOLDER

    def write_chunk(self, outcomes: list[Outcome]) -> None:
        """Record a chunk; the same images always go to the same file."""
        images = "\n".join(outcome.image for outcome in outcomes)
        name = f"{hashlib.sha256(images.encode()).hexdigest()[:16]}.jsonl"
        write_text(self._folder / name, _to_lines(outcomes))

    def read(self) -> dict[str, Outcome]:
        """Read the outcome of each image; if there are several, that of the latest chunk.

        A file that is unreadable after a power cut, or because another version wrote it, is
        skipped: its images are processed again.
        """
        outcomes: dict[str, Outcome] = {}
        files = [f for f in self._folder.glob("*.jsonl") if not f.name.startswith(".")]
        for file in sorted(files, key=lambda f: f.stat().st_mtime_ns):
            with contextlib.suppress(*UNUSABLE):
                lines = read_text(file, MAX_TABLE_BYTES).splitlines()
                chunk = [_from_line(line) for line in lines]
                outcomes.update((outcome.image, outcome) for outcome in chunk)
        return outcomes

    def compact(self, outcomes: Iterable[Outcome]) -> None:
        """Replace all chunks with one file that holds `outcomes`."""
        compacted = self._folder / _COMPACTED
        write_text(compacted, _to_lines(outcomes))
        for file in self._folder.iterdir():
            if file != compacted:
                file.unlink()


def _to_lines(outcomes: Iterable[Outcome]) -> str:
    return "".join(json.dumps(dataclasses.asdict(outcome)) + "\n" for outcome in outcomes)


def _from_line(line: str) -> Outcome:
    values = parse_json(line, finite=False)
    for name in ("pupil", "iris"):
        if values[name] is not None:
            values[name] = Ellipse(**values[name])
    if values["quality"] is not None:
        values["quality"] = IrisQuality(**values["quality"])
    outcome = Outcome(**values)
    # Crops of images that are gone are removed, but never files outside the dataset.
    if leaves_folder(outcome.image):
        raise ValueError(f"{outcome.image} is not in the image folder")
    return outcome
