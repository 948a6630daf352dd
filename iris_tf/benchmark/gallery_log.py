"""What the measurement of a growing gallery has found so far: it can be continued at any moment."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from iris_tf.support.errors import BenchmarkError
from iris_tf.support.files import write_json

_CONFIDENCE = 0.95


class GalleryLog:
    """Keeps single results by the size of the gallery, in a file that is replaced as a whole.

    Parameters
    ----------
    path : Path
    about : dict
        What the results depend on.

    Raises
    ------
    BenchmarkError
        When the file is of another measurement, or is none.
    """

    def __init__(self, path: Path, about: dict[str, Any]):
        self._path, self._about = path, about
        self._sizes: dict[str, SizeLog] = {}
        if path.is_file():
            try:
                kept = json.loads(path.read_text("utf-8"))
                if kept["about"] != json.loads(json.dumps(about)):
                    raise BenchmarkError(
                        f"{path}: was measured with another model, card or version; give another "
                        "folder, or remove it."
                    )
                self._sizes = {size: SizeLog(**values) for size, values in kept["sizes"].items()}
            except (ValueError, KeyError, TypeError, AttributeError):
                raise BenchmarkError(
                    f"{path}: is no log of this benchmark; give another folder, or remove it."
                ) from None

    def of(self, size: int) -> "SizeLog":
        """Results at a size."""
        return self._sizes.setdefault(str(size), SizeLog())

    def save(self) -> None:
        """Write the file."""
        sizes = {size: vars(log) for size, log in self._sizes.items()}
        write_json(self._path, {"about": self._about, "sizes": sizes})


class SizeLog:
    """Results at one size of the gallery.

    Attributes
    ----------
    enrolment : dict
        Number of ``templates``, ``seconds`` and ``processor_seconds`` that their enrolment took.
    timing : dict
        Figures of single calls; empty until they were timed.
    mated : dict of str to list of [float, bool]
        By block of eyes: score of each probe with its mate, and whether the search returned it
        first.
    strangers : dict of str to list of float
        By block of eyes that are not enrolled: highest score of each search.
    """

    def __init__(
        self,
        enrolment: dict[str, float] | None = None,
        timing: dict[str, Any] | None = None,
        mated: dict[str, list] | None = None,
        strangers: dict[str, list] | None = None,
    ):
        self.enrolment = enrolment or {"templates": 0, "seconds": 0.0, "processor_seconds": 0.0}
        self.timing, self.mated, self.strangers = timing or {}, mated or {}, strangers or {}


def spread(total: int, blocks: Sequence[int]) -> dict[str, int]:
    """Numbers of searches by block, equal ones that are at least `total` together."""
    return dict.fromkeys(map(str, blocks), -(-total // len(blocks)))


def missing(wanted: dict[str, int], done: dict[str, list]) -> Iterator[tuple[int, int, int]]:
    """Searches that are still to be made: block, the first, and the one after the last."""
    for block, count in wanted.items():
        start = len(done.setdefault(block, []))
        if start < count:
            yield int(block), start, count


def results(wanted: dict[str, int], done: dict[str, list]) -> list[Any]:
    """What was found in the searches that are wanted."""
    return [found for block, count in wanted.items() for found in done[block][:count]]


def positive_rate(scores: Sequence[float], threshold: float, claimed: float) -> dict[str, Any]:
    """False positive identification rate (FPIR, ISO/IEC 19795-1) of searches for strangers.

    Parameters
    ----------
    scores : sequence of float
        Highest score of each search.
    threshold : float
        Least score that is accepted.
    claimed : float
        Rate that the operating point promises.

    Returns
    -------
    dict
        ``searches``, ``accepted`` of them, ``rate`` and its exact 95 % ``interval`` (Clopper and
        Pearson, 1934), ``claimed`` and ``threshold``.
    """
    accepted = sum(score >= threshold for score in scores)
    interval = binomtest(accepted, len(scores)).proportion_ci(_CONFIDENCE, "exact")
    return {
        "searches": len(scores),
        "accepted": accepted,
        "rate": accepted / len(scores),
        "interval": [float(interval.low), float(interval.high)],
        "claimed": claimed,
        "threshold": threshold,
    }
