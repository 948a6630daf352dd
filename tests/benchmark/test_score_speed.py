import numpy as np
import pytest
from typer.testing import CliRunner

from iris_tf.benchmark import score_speed
from iris_tf.benchmark.score_speed import ComparisonTime, measure_scores
from iris_tf.cli.app import app
from iris_tf.support.errors import BenchmarkError


def test_least_times_are_divided_by_comparisons(monkeypatch):
    # Scores take 1, 2, ... 5 ms, similarities 10, 20, ... 50 ms; then the same for 100 probes.
    laps = [step * unit for step in range(1, 6) for unit in (1_000_000, 10_000_000)]
    clock = iter(np.cumsum([value for lap in 2 * laps for value in (0, lap)]).tolist())
    monkeypatch.setattr(score_speed.time, "process_time_ns", lambda: next(clock))
    one, many = measure_scores(templates=100)
    assert one == ComparisonTime(1, 100, 10.0, 100.0)
    assert many == ComparisonTime(100, 100, pytest.approx(0.1), pytest.approx(1.0))
    assert one.ratio == pytest.approx(0.1)
    assert not list(clock)


def test_too_few_templates():
    with pytest.raises(BenchmarkError, match="99 templates are too few"):
        measure_scores(templates=99)


def test_command(monkeypatch):
    found = [ComparisonTime(1, 1000, 2.5, 7.5), ComparisonTime(1000, 1000, 3.3, 2.0)]
    monkeypatch.setattr(score_speed, "measure_scores", lambda model, templates: found)
    result = CliRunner().invoke(app, ["benchmark", "scores"])
    assert result.exit_code == 0, result.output
    assert [line.split() for line in result.output.splitlines()[1:]] == [
        ["1", "x", "1000", "2.50", "7.50", "0.33"], ["1000", "x", "1000", "3.30", "2.00", "1.65"],
    ]  # fmt: skip
