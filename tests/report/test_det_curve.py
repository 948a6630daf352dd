import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot
from scipy.special import ndtri

from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.verification import error_curve
from iris_tf.report.det_curve import plot_det


@pytest.fixture(autouse=True)
def no_figure_left():
    yield
    pyplot.close("all")


@pytest.fixture
def evaluation(population):
    return evaluate_embeddings(*population(6, 3), resamples=0, matcher=Matcher())


def curves(axes):
    """All lines but that of equal errors."""
    return [line for line in axes.lines if line.get_gid() is None]


def test_it_returns_axes_with_the_curve_in_normal_deviates(evaluation):
    axes = plot_det(evaluation)
    [line] = curves(axes)
    det = evaluation.metrics.curves.det
    inside = (np.array(det.fmr) > 0) & (np.array(det.fmr) < 1)  # elsewhere it is infinite
    np.testing.assert_allclose(line.get_xdata()[inside], ndtri(det.fmr)[inside])
    inside = (np.array(det.fnmr) > 0) & (np.array(det.fnmr) < 1)
    np.testing.assert_allclose(line.get_ydata()[inside], ndtri(det.fnmr)[inside])
    assert axes.get_xlabel() == "false match rate, FMR (%)"
    assert axes.get_legend() is None
    # A tick at normal deviate z is labelled with its rate in per cent.
    at = {label.get_text(): tick for label, tick in
          zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}  # fmt: skip
    assert at["2"] == pytest.approx(ndtri(0.02))


def test_it_draws_on_given_axes_with_a_name_and_a_style(evaluation):
    _, axes = pyplot.subplots()
    figures = pyplot.get_fignums()
    assert plot_det(evaluation, ax=axes, name="mine", color="red", linestyle="--") is axes
    assert plot_det(evaluation.metrics, ax=axes, name="again") is axes
    assert pyplot.get_fignums() == figures
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["mine", "again"]
    first, _ = curves(axes)
    assert (first.get_color(), first.get_linestyle()) == ("red", "--")
    assert len(axes.lines) == 3  # one line of equal errors


def test_scores_of_any_model_are_drawn():
    rng = np.random.default_rng(0)
    curve = error_curve(rng.normal(2, 1, 200), rng.normal(0, 1, 5000))
    [line] = curves(plot_det(curve, name="other"))
    inside = (curve.fmr > 0) & (curve.fmr < 1)
    np.testing.assert_allclose(line.get_xdata()[inside], ndtri(curve.fmr)[inside])


def test_the_axes_reach_as_far_as_any_of_their_curves_supports(population, evaluation):
    """300,000 impostor comparisons support an FMR of 1e-4: 30 false matches are expected."""
    large = evaluate_embeddings(*population(100, 4), resamples=0, matcher=Matcher())
    assert min(large.metrics.supported()) == "fmr_1e-2"
    assert "fmr_1e-4" in large.metrics.supported()
    axes = plot_det(large)
    assert axes.get_xlim()[0] == pytest.approx(ndtri(5e-5))
    plot_det(evaluation, ax=axes)
    assert axes.get_xlim()[0] == pytest.approx(ndtri(5e-5))
