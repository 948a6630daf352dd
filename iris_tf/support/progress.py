"""Progress of long-running stages: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")
_SECONDS_BETWEEN_LOG_LINES = 10.0


class StageProgress:
    """Context manager that counts the steps of a stage and shows the estimated time left.

    Everything is written to standard error.

    Parameters
    ----------
    description : str
        Label of the stage, e.g. ``"Synthesizing eyes"``.
    total : int
        Number of steps of the stage.
    done : int, optional
        Steps completed by an earlier, interrupted run; they do not enter the estimate.
    """

    def __init__(self, description: str, total: int, done: int = 0):
        self.description, self.total, self.done = description, total, done
        self._already = done
        self._started = time.monotonic()
        self._last_line = self._started
        self._bar: Progress | None = None

    def __enter__(self) -> "StageProgress":
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self.description, total=self.total, completed=self.done, note=""
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif exc_info[0] is None:
            seconds = time.monotonic() - self._started
            print(
                f"{self.description}: {self.done}/{self.total} in {seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count `steps` more as done.

        Parameters
        ----------
        steps : int, optional
        note : str, optional
            Text shown after the bar or at the end of the line, e.g. the current loss.
        """
        self.done += steps
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=note)
            return
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LOG_LINES and self.done < self.total:
            self._last_line = now
            per_step = (now - self._started) / max(self.done - self._already, 1)
            left = per_step * (self.total - self.done)
            print(
                f"{self.description}: {self.done}/{self.total}, {left:.0f} s left {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield `items` and show the progress of a stage of `total` steps, one per item."""
    with StageProgress(description, total) as progress:
        for item in items:
            yield item
            progress.advance()
