"""The paper's tables, against lines written by hand."""

import pytest
from results_by_hand import metrics_of

from iris_tf.report.paper_tables import MODELS, PAPER, paper_tables
from iris_tf.report.report_data import ReportRow
from iris_tf.support.errors import EvaluationError


def row(model, precision, eer):
    metrics = metrics_of(
        metrics={"eer": eer, "vr_far_1e-2": 0.9, "cmc_1": 0.8125},
        intervals={"bounds": {"eer": [eer - 0.01, eer + 0.01]}},
    )
    return ReportRow(model, precision, metrics, bytes=3 * 2**20, latency_ms=1.239)


def all_rows(*precisions):
    return [row(name, precision, 0.05) for precision in precisions for name in MODELS]


def test_lines_by_hand():
    text = paper_tables(all_rows("float32", "float16", "int8"), "Synthetic eyes", "a machine")
    assert "Measured on: Synthetic eyes, milliseconds on a machine." in text
    three, four, eight = text.split("\n## ")[1:]
    assert three.startswith("Table 3: full precision")
    assert (
        "| attention and distilled | 5.00 (4.00–6.00) / 1.409 | 90.00 / 98.184 | 81.25 / 94.785 "
        "| 3.00 / 12.0 | 1.24 / 27.1 |" in three
    )
    assert (
        "| ResNet-50 | 5.00 (4.00–6.00) / 6.335 | 90.00 / 82.271 | 81.25 / 75.039 | 3.00 / 45.3 "
        "| 1.24 / 163.5 |" in four
    )
    assert "| only distilled | 5.00 (4.00–6.00) / – | 90.00 / – |" in eight


def test_models_stand_in_the_papers_order():
    text = paper_tables(all_rows("float32"), "x", "y")
    places = [text.index(f"| {name} |") for name in MODELS.values()]
    assert places == sorted(places)


def test_precision_that_a_model_lacks_has_no_table():
    rows = [*all_rows("float32"), *all_rows("float16")[:-1]]
    text = paper_tables(rows, "x", "y")
    assert "Table 3" in text and "Table 4: float16" not in text


def test_missing_model_is_named():
    with pytest.raises(EvaluationError, match="need a model called attention"):
        paper_tables([r for r in all_rows("float32") if r.model != "attention"], "x", "y")


def test_paper_loses_points_in_float16_for_every_model():
    # The copied figures hold together: 4.7 to 6 points of EER, as the paper says of its own.
    for name in MODELS:
        assert 4.7 < PAPER["float16"][name].eer - PAPER["float32"][name].eer < 6.0
