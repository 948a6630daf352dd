import io
import sys

import pytest

from iris_tf.support import progress
from iris_tf.support.progress import StageProgress, track


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock.monotonic)
    return clock


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(clock, capsys):
    with StageProgress("Working", total=100, done=40) as stage:
        clock.now += 1
        stage.advance(5)
        assert capsys.readouterr().err == ""
        clock.now += 19
        stage.advance(5, note="loss 0.2")
        # 10 steps took 20 s, 50 are left; the 40 of an earlier run took none of them.
        assert capsys.readouterr().err == "Working: 50/100, 100 s left loss 0.2\n"
        clock.now += 1
        stage.advance(5)
        assert capsys.readouterr().err == ""
        clock.now += 20
        stage.advance(45)
    assert capsys.readouterr().err == "Working: 100/100 in 41 s\n"


def test_a_failed_stage_does_not_claim_its_end(capsys):
    with pytest.raises(ZeroDivisionError), StageProgress("Working", total=2) as stage:
        stage.advance()
        raise ZeroDivisionError
    assert "in" not in capsys.readouterr().err


def test_track_yields_everything_and_counts(capsys):
    assert list(track(iter("abc"), "Spelling", 3)) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.err.startswith("Spelling: 3/3 in")
    assert captured.out == ""  # results of a command stay alone on standard output


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    with StageProgress("Working", total=4) as stage:
        stage.advance(3, note="loss 0.2")
    shown = terminal.getvalue()
    for part in ("Working", "3/4", "left", "loss 0.2"):
        assert part in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_the_cursor_comes_back_when_a_stage_fails(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt), StageProgress("Working", total=4):
        raise KeyboardInterrupt
    shown = terminal.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
