"""What became of each image of a dataset run, kept so that a killed run can go on."""

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

FOLDER = ".journal"
_COMPACTED = "finished.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one eye image.

    Attributes
    ----------
    image : str
        Path relative to the image folder.
    stamp : str
        Size and time of change of the file when it was processed; another
        stamp means that the outcome is out of date.
    sha256 : str
        Of the file's bytes; ``""`` after a failure.
    note : str
        What was converted on reading.
    reason, detail : str
        Why there is no crop, or ``""``.
    pupil, iris : Ellipse or None
        Geometry in pixels of the eye image; None after a failure.
    visible : float
        Visible share of the ring between both, as far as it is in the frame, 0..1.
    confidence : float
        Of the segmenter in its result, 0..1; 0 after a failure.
    quality : IrisQuality or None
        Quality figures; None after a failure.
    overlay : bool
        Whether there is a thumbnail, which takes a readable image.
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


class Journal:
    """Outcomes on disk, one file a chunk of images, under ``out/.journal``.

    Each file appears whole or not at all, so a killed writer leaves no lie.

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
        """Outcome by image. Of several for one image, the latest chunk's counts.

        A file that a power cut, or another version, left unreadable is passed
        over: its images are processed again.
        """
        outcomes = {}
        files = [f for f in self._folder.glob("*.jsonl") if not f.name.startswith(".")]
        for file in sorted(files, key=lambda f: f.stat().st_mtime_ns):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                lines = file.read_text(encoding="utf-8").splitlines()
                chunk = [_from_line(line) for line in lines]
                outcomes.update((outcome.image, outcome) for outcome in chunk)
        return outcomes

    def compact(self, outcomes: Iterable[Outcome]) -> None:
        """Replace all chunks by one file that holds `outcomes`."""
        compacted = self._folder / _COMPACTED
        write_text(compacted, _to_lines(outcomes))
        for file in self._folder.iterdir():
            if file != compacted:
                file.unlink()


def _to_lines(outcomes: Iterable[Outcome]) -> str:
    return "".join(json.dumps(dataclasses.asdict(outcome)) + "\n" for outcome in outcomes)


def _from_line(line: str) -> Outcome:
    values = json.loads(line)
    for name in ("pupil", "iris"):
        if values[name] is not None:
            values[name] = Ellipse(**values[name])
    if values["quality"] is not None:
        values["quality"] = IrisQuality(**values["quality"])
    return Outcome(**values)
