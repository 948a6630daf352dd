"""Accuracy over folds in the report, with figures that can be computed by hand."""

import itertools
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from iris_tf.metrics.fold_accuracy import fold_figures
from iris_tf.metrics.threshold_sweep import sweep_thresholds
from iris_tf.report.report_data import Report
from iris_tf.report.report_folds import draw_sweep, folds

# Two folds of four comparisons. From 0.45 on, 3 of 4 genuine ones and no impostor one are accepted.
SCORES = np.array([0.9, 0.6, 0.2, 0.1, 0.8, 0.4, 0.35, 0.0])
GENUINE = np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
THRESHOLDS = np.array([0.3, 0.45, 0.7])


@pytest.fixture
def found():
    figures = fold_figures(SCORES, GENUINE, np.repeat([1, 2], 4)).to_json()
    return figures | {
        "comparisons": len(SCORES),
        "sweep": sweep_thresholds(SCORES, GENUINE, THRESHOLDS),
    }


def page(found, **changes):
    report = Report("", "faces", "all", False, "whole", [], {}, {}, {}, folds=found, **changes)
    return "\n".join(folds(report, itertools.count(1), itertools.count(1)))


def test_tables_have_the_figures_of_each_model(found):
    html = page({"plain": found, "hybrid": found})
    text = re.sub(r"<[^>]+>", " ", html)
    # All are right at the best thresholds of the other folds, 0.375 and 0.4. The sweep accepts 5, 3
    # and 2 comparisons, of which 4, 3 and 2 are genuine. Best and mean of each figure:
    assert "8 comparisons in 2 folds" in text
    for model in ("plain", "hybrid"):
        assert re.search(rf"{model}\s+100\.00\s+± 0\.00\s+0\.00\s+0\.00\s+100\.00\s+1\.0000", text)
    assert re.search(r"87\.5\s+83\.3", text)  # accuracy: 7, 7 and 6 of 8
    assert re.search(r"100\.0\s+93\.3", text)  # precision: 4/5, 1, 1
    assert re.search(r"100\.0\s+75\.0", text)  # recall: 1, 3/4, 2/4
    assert re.search(r"88\.9\s+80\.4", text)  # F1: 8/9, 6/7, 4/6
    assert html.count("<img") == 4


def test_lines_show_the_values(found):
    axes = Figure().add_subplot()
    draw_sweep(axes, {"plain": found, "hybrid": found}, "precision")
    assert [line.get_label() for line in axes.get_lines()] == ["plain", "hybrid"]
    for line in axes.get_lines():
        np.testing.assert_allclose(line.get_xdata(), THRESHOLDS)
        np.testing.assert_allclose(line.get_ydata(), [80.0, 100.0, 100.0])
    assert axes.get_ylabel() == "precision (%)"


def test_no_folds_no_section():
    assert page({}) == ""
