"""DET curves on normal-deviate axes: `plot_det` for users, and what the report draws with it."""

import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from iris_tf.config.names import FMRS
from iris_tf.evaluation.evaluation_result import EvaluationResult
from iris_tf.metrics.evaluate_embeddings import Evaluation
from iris_tf.metrics.metrics import DetCurve, Metrics
from iris_tf.metrics.verification import ErrorCurve
from iris_tf.support.errors import ArgumentError

if TYPE_CHECKING:  # slow to import, and most commands draw nothing
    from matplotlib.axes import Axes

_TICKS = (1e-5, 1e-4, 0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
_LIMITS = (0.0005, 0.9)

DetSource = EvaluationResult | Evaluation | Metrics | DetCurve | ErrorCurve
"""What `plot_det` draws."""


def plot_det(
    source: DetSource, *, ax: "Axes | None" = None, name: str | None = None, **line: Any
) -> "Axes":
    """Plot the detection error trade-off: FNMR over FMR, both on normal-deviate axes in per cent.

    Parameters
    ----------
    source : EvaluationResult, Evaluation, Metrics, DetCurve or ErrorCurve
        What `evaluate` or `evaluate_embeddings` returns, or
        `iris_tf.metrics.verification.error_curve` of scores of any model. Of several models, each
        gets a curve of its own.
    ax : matplotlib Axes, optional
        Axes to draw on; None for those of a new figure. Further curves may be added to the same
        axes.
    name : str, optional
        Name in the legend; by default the model's, where `source` knows it.
    **line
        Properties of the line, such as ``color`` and ``linestyle``.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ArgumentError
        If `source` is anything else.

    Examples
    --------
    >>> from iris_tf import evaluate, plot_det
    >>> result = evaluate("mine_float16.tflite", "data/mine/manifest.csv")  # doctest: +SKIP
    >>> plot_det(result, name="mine").figure.savefig("det.png")  # doctest: +SKIP
    """
    if not isinstance(source, DetSource):
        raise ArgumentError(
            f"plot_det cannot draw {reprlib.repr(source)}; give what `evaluate` or "
            "`evaluate_embeddings` returns."
        )
    if ax is None:
        from matplotlib import pyplot

        ax = pyplot.figure(layout="constrained").add_subplot()
    lowest = lowest_fmr(source)
    if ax.lines:  # of earlier curves
        from scipy.special import ndtr

        lowest = min(lowest, float(ndtr(ax.get_xlim()[0])))
    for model, curve in _curves(source).items():
        label = name or model
        draw_curve(ax, curve, **({"label": label} if label else {}) | line)
    format_axes(ax, lowest)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="upper right")
    return ax


def draw_curve(axes: "Axes", curve: DetCurve | ErrorCurve, **line: Any) -> None:
    """Add a curve to axes of normal deviates."""
    from sklearn.metrics import DetCurveDisplay

    DetCurveDisplay(fpr=np.array(curve.fmr), fnr=np.array(curve.fnmr)).plot(ax=axes, **line)


def format_axes(axes: "Axes", lowest: float) -> None:
    """Set limits, ticks in per cent, labels and the line of equal errors.

    Parameters
    ----------
    axes : matplotlib Axes
        Of normal deviates.
    lowest : float
        Least FMR to show, 0..1.
    """
    from scipy.special import ndtri

    if not any(line.get_gid() == _EQUAL_ERRORS for line in axes.lines):
        equal = ndtri(_LIMITS)
        axes.plot(equal, equal, color="#B4B4B4", linewidth=0.6, zorder=0, gid=_EQUAL_ERRORS)
    ticks, labels = ndtri(_TICKS), [f"{100 * tick:g}" for tick in _TICKS]
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.set_xlim(*ndtri((lowest, _LIMITS[1])))
    axes.set_ylim(*ndtri(_LIMITS))
    axes.set_aspect("equal")
    axes.set_xlabel("false match rate, FMR (%)")
    axes.set_ylabel("false non-match rate, FNMR (%)")


_EQUAL_ERRORS = "equal errors"


def lowest_fmr(*sources: DetSource) -> float:
    """Least FMR to show: below the least that the comparisons of a source support."""
    supported = [
        FMRS[name]
        for source in sources
        for metrics in _metrics(source).values()
        for name in metrics.supported()
    ]
    return min([_LIMITS[0], *(fmr / 2 for fmr in supported)])


def _metrics(source: DetSource) -> Mapping[str, Metrics]:
    """Metrics of each model by its name, or ``""``; none of a bare curve."""
    if isinstance(source, EvaluationResult):
        return {found.model.name: found.metrics for found in source.models}
    if isinstance(source, Evaluation):
        return {"": source.metrics}
    return {"": source} if isinstance(source, Metrics) else {}


def _curves(source: DetSource) -> Mapping[str, DetCurve | ErrorCurve]:
    if isinstance(source, DetCurve | ErrorCurve):
        return {"": source}
    return {name: metrics.curves.det for name, metrics in _metrics(source).items()}
