"""Progress of long-running stages: a bar on a terminal, plain lines in a log."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

T = TypeVar("T")
_SECONDS_BETWEEN_LOG_LINES = 10.0
_SLOW_START = 2.0  # a first step that takes so many times the others is left out of the estimate
_STEPS_TO_TRUST, _SECONDS_TO_TRUST = 3, 5.0  # after the first; either is enough for an estimate
_TIMES = len("0:00:00") + len(" left 0:00:00")
_LEAST_BAR, _MOST_BAR = 4, 40


class StageProgress:
    """Context manager that counts the steps of a stage and shows the estimated time left.

    Everything is written to standard error. The estimate appears once it can be trusted: the first
    step of a stage may take far longer than the others, as TensorFlow traces and compiles in it.

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
        self._first: tuple[int, float] | None = None  # steps done after the first call, and when
        self._calls = 0
        self._bar: Progress | None = None

    def __enter__(self) -> "StageProgress":
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.fields[label]}", markup=False),
                BarColumn(_bar_width(console.width)),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(Column(no_wrap=True)),
                TextColumn("{task.fields[note]}", markup=False),
                console=console,
            )
            self._task = self._bar.add_task("", total=self.total, completed=self.done)
            self._show("")
            self._bar.start()
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
            0 to show another note only.
        note : str, optional
            Text shown after the bar or at the end of the line, e.g. the current loss.
        """
        self.done += steps
        now = time.monotonic()
        if steps:
            self._calls += 1
            self._first = self._first or (self.done, now)
        if self._bar is not None:
            self._show(note)
            return
        if now - self._last_line >= _SECONDS_BETWEEN_LOG_LINES and self.done < self.total:
            self._last_line = now
            seconds = self.seconds_left()
            left = "" if seconds is None else f", {seconds:.0f} s left"
            print(
                f"{self.description}: {self.done}/{self.total}{left} {note}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def seconds_left(self) -> float | None:
        """Estimate the time left; None while too little has been seen."""
        if self._first is None:
            return None
        done, at = self._first
        now = time.monotonic()
        steps, seconds = self.done - done, now - at
        trusted = self._calls > _STEPS_TO_TRUST or seconds >= _SECONDS_TO_TRUST
        if not steps or not trusted:
            return None
        per_step = (now - self._started) / (self.done - self._already)
        first = (at - self._started) / (done - self._already)
        if first > _SLOW_START * seconds / steps:
            per_step = seconds / steps
        return per_step * (self.total - self.done)

    def _show(self, note: str) -> None:
        """Update the bar, fitted to the terminal: first the note is cut, then the label."""
        assert self._bar is not None
        width = self._bar.console.width
        count = f"{self.done}/{self.total}"
        seconds = self.seconds_left()
        left = f"left {'-:--:--' if seconds is None else _clock(seconds)}"
        # Columns are one space apart.
        room = width - _bar_width(width) - len(count) - _TIMES - 4
        label = _cut(self.description, room)
        note = _cut(note, room - cell_len(label) - 1)
        self._bar.update(
            self._task,
            completed=self.done,
            label=label,
            count=count,
            note=f"{left} {note}".rstrip(),
        )


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield `items` and show the progress of a stage of `total` steps, one per item."""
    with StageProgress(description, total) as progress:
        for item in items:
            yield item
            progress.advance()


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """Show a line on a terminal for the duration of a ``with`` block; nothing in a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield


def _bar_width(width: int) -> int:
    return min(max(width // 5 - 4, _LEAST_BAR), _MOST_BAR)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _cut(text: str, width: int) -> str:
    """Text of at most `width` cells, an ellipsis in place of what is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 1 else ""
