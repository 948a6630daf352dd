import io
import re
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


@pytest.fixture
def terminal(monkeypatch):
    """Maker of a terminal of some width on standard error; gives the lines that it showed."""

    def make(width):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width))
        for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            monkeypatch.delenv(name, raising=False)

        def lines():
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
            return [line.rstrip() for line in re.split(r"[\r\n]", text) if line.strip()]

        return lines

    return make


@pytest.mark.parametrize("width", [120, 80, 60, 50])
@pytest.mark.parametrize(
    ("description", "total", "note"),
    [
        ("Training mobile", 1200, "loss 0.123 epoch 12 val EER 12.34 %"),
        ("Embedding with a_model_of_a_long_name_float16.tflite", 200, ""),
        ("Cropping irises", 20000, "12 failed"),
    ],
)
def test_figures_are_whole_at_any_width(clock, terminal, width, description, total, note):
    lines = terminal(width)
    with StageProgress(description, total) as stage:
        for _ in range(5):
            clock.now += 36
            stage.advance(1, note)
    assert max(map(len, lines())) <= width
    last = lines()[-1]
    minutes, seconds = divmod(36 * (total - 5), 60)
    hours, minutes = divmod(minutes, 60)
    assert f" 5/{total} 0:00:00 left {hours}:{minutes:02}:{seconds:02}" in last
    if width >= 80:
        assert last.startswith(description[:17])
        assert note[:10] in last


def test_the_slow_first_step_is_left_out_of_the_estimate(clock, capsys):
    """A training of 60 steps, whose first takes 20 s and each other one 0.7 s, takes 61 s."""
    with StageProgress("Training", total=60) as stage:
        for _ in range(16):
            clock.now += 20 if stage.done == 0 else 0.7
            stage.advance()
        # The line after the first step has no estimate, where it would have been 1,180 s.
        first, second = capsys.readouterr().err.splitlines()
        assert first == "Training: 1/60"
        # 15 more steps after 10.5 s: 44 are left, of 0.7 s each.
        assert second == "Training: 16/60, 31 s left"


def test_an_estimate_needs_a_few_steps_or_seconds(clock):
    stage = StageProgress("Working", total=100)
    assert stage.seconds_left() is None
    for step in range(1, 5):
        clock.now += 1
        stage.advance()
        assert stage.seconds_left() == (pytest.approx(96) if step == 4 else None)
    slow = StageProgress("Working", total=100, done=50)
    clock.now += 6
    slow.advance()
    assert slow.seconds_left() is None
    clock.now += 6
    slow.advance()
    assert slow.seconds_left() == pytest.approx(48 * 6)


def test_a_status_is_shown_on_terminals_only(terminal, capsys):
    with progress.status("Loading TensorFlow"):
        pass
    assert capsys.readouterr().err == ""
    lines = terminal(80)
    with progress.status("Loading TensorFlow"):
        pass
    assert any("Loading TensorFlow" in line for line in lines())


def test_the_cursor_comes_back_when_a_stage_fails(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt), StageProgress("Working", total=4):
        raise KeyboardInterrupt
    shown = terminal.getvalue()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
