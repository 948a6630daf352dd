import json
from pathlib import Path

import pytest

from iris_tf.benchmark import comparison_speed as evaluation
from iris_tf.benchmark.comparison_speed import main, measure_evaluation, measure_here
from iris_tf.support.errors import BenchmarkError

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc")


@needs_proc
def test_both_evaluate_the_same(capsys):
    for name in ("iris_tf", "scikit-learn"):
        measure_here(name, 600)
    ours, theirs = map(json.loads, capsys.readouterr().out.splitlines())
    assert ours["comparisons"] == theirs["comparisons"] == 600 * 599 // 2
    assert 0.005 < ours["eer"] < 0.2
    assert ours["eer"] == pytest.approx(theirs["eer"], abs=1e-5)
    assert ours["peak_mib"] > 20
    assert ours["comparisons_per_s"] == pytest.approx(ours["comparisons"] / ours["seconds"])


def test_scikit_learn_gets_what_fits_into_our_memory(monkeypatch):
    # 100 MiB at the start; ours adds 50, scikit-learn's 1 for each 10,000 comparisons, and
    # from 400,000 on twice as much, which could not be foretold.
    asked = []

    def run(name, embeddings):
        asked.append((name, embeddings))
        comparisons = embeddings * (embeddings - 1) // 2
        theirs = comparisons / 10_000 * (2 if comparisons > 400_000 else 1)
        return {
            "name": name, "embeddings": embeddings, "comparisons": comparisons, "eer": 0.02,
            "comparisons_per_s": {"iris_tf": 3e6, "scikit-learn": 1e6}[name],
            "peak_mib": 100 + (50.05 if name == "iris_tf" else theirs),
        }  # fmt: skip

    monkeypatch.setattr(evaluation, "_PROBE", 800)
    monkeypatch.setattr(evaluation, "_run", run)
    result = measure_evaluation(5000)
    ours, theirs = result["rows"]
    assert (ours["name"], ours["embeddings"]) == ("iris_tf", 5000)
    # 500,500 comparisons would have fitted in 50 MiB had it gone on so.
    assert asked[3:] == [
        ("scikit-learn", 1000), ("scikit-learn", 900), ("scikit-learn", 800), ("iris_tf", 800),
    ]  # fmt: skip
    assert theirs["peak_mib"] <= ours["peak_mib"]
    assert (result["ratio"], result["eer_difference"]) == (3.0, 0.0)


def test_too_few_and_failing(monkeypatch):
    with pytest.raises(BenchmarkError, match="100 embeddings are evaluated too quickly"):
        measure_evaluation(100)
    monkeypatch.setattr(evaluation, "_CHILD", "raise MemoryError('no room')")
    with pytest.raises(BenchmarkError, match=r"900 embeddings with iris_tf failed: .*no room"):
        measure_evaluation(900)


def test_command(capsys, monkeypatch, tmp_path):
    row = {"embeddings": 1200, "comparisons": 719400, "seconds": 0.5, "peak_mib": 200.4,
           "comparisons_per_s": 1438800.0, "eer": 0.03}  # fmt: skip
    monkeypatch.setattr(evaluation, "measure_evaluation", lambda embeddings: {
        "rows": [row | {"name": "iris_tf"}, row | {"name": "scikit-learn"}],
        "ratio": embeddings / 1000, "eer_difference": 2e-7,
    })  # fmt: skip
    main(["--embeddings", "1200", "--out", str(tmp_path / "result.json")])
    out = capsys.readouterr().out
    assert "scikit-learn        1200       719400     0.50        1438800       200" in out
    assert "ratio: 1.20, difference of EER 2.0e-07" in out
    assert json.loads((tmp_path / "result.json").read_text())["ratio"] == 1.2
