"""One table of all distillation methods of a recipe, with the papers' figures beside it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from iris_tf.metrics.differences import Difference
from iris_tf.metrics.fold_accuracy import FoldFigures
from iris_tf.metrics.plausible_rates import contradiction
from iris_tf.metrics.repeats import MeanFigure
from iris_tf.report.report_words import NOTHING, three_digits

PLAIN = "plain"
"""Name in the recipe of the student without distillation, which the others are compared with."""

_FOLD_FIGURES = {"f1": "F1, %", "far": "FAR, %", "frr": "FRR, %"}
_FIGURES = {"eer": "EER, %", "vr_far_1e-2": "VR@FAR=1 %, %", "auc": "AUC, %"}


@dataclass(frozen=True)
class PrintedFigures:
    """Figures of a method as its paper prints them, in per cent.

    Attributes
    ----------
    method, data : str
        What was trained, and on which data it was measured.
    accuracy : float
        Best accuracy of verification.
    f1, far, frr, eer, auc : float or None
        None where the paper prints none.
    """

    method: str
    data: str
    accuracy: float
    f1: float | None = None
    far: float | None = None
    frr: float | None = None
    eer: float | None = None
    auc: float | None = None


_AFL, _LFW = "AFL-KD, its own pairs", "AFL-KD, LFW with ArcFace's protocol"
PRINTED = (
    PrintedFigures("teacher (ResNet, ArcFace)", _AFL, 97.2, f1=91.7),
    PrintedFigures("AFL-KD", _AFL, 95.7, f1=86.9),
    PrintedFigures("plain MobileNet", _AFL, 87.3, f1=62.8),
    PrintedFigures("teacher", _LFW, 98.5),
    PrintedFigures("AFL-KD", _LFW, 97.0),
    PrintedFigures("DKD", _LFW, 95.3),
    PrintedFigures("AdaDistill", _LFW, 95.1),
    PrintedFigures("RKD", _LFW, 94.8),
    PrintedFigures(
        "hybrid, MobileFaceNet", "Remma et al., LFW", 90.40,
        far=0.87, frr=18.33, eer=18.66, auc=96.25,
    ),
)  # fmt: skip
_ROUNDING = 0.00005


@dataclass(frozen=True)
class DistilledModel:
    """One line of the table.

    Attributes
    ----------
    figures : mapping of str to MeanFigure
        Of the trainings of the model.
    differences : mapping of str to Difference
        To the first model of the table; empty for that itself.
    teacher_distance : float or None
        Mean cosine distance between the embeddings of model and teacher, 0..2; None without a
        teacher, or where sizes differ.
    teacher_alignment : float or None
        Linear centred kernel alignment of both, see `iris_tf.metrics.kernel_alignment.linear_cka`;
        None without a teacher.
    folds : FoldFigures or None
        Over the folds of the protocol, if it has any.
    accuracy_difference : tuple of two float, or None
        Difference in accuracy over these folds to the first model of the table, and its standard
        error.
    """

    figures: Mapping[str, MeanFigure]
    differences: Mapping[str, Difference]
    teacher_distance: float | None = None
    teacher_alignment: float | None = None
    folds: FoldFigures | None = None
    accuracy_difference: tuple[float, float] | None = None


def distillation_table(models: Mapping[str, DistilledModel], data: str) -> str:
    """Write the table as Markdown, with the papers' figures.

    Parameters
    ----------
    models : mapping of str to DistilledModel
        By the models' names in the recipe, or what external teachers are called; the first is the
        plain student.
    data : str
        What the models were measured on.
    """
    own = comparison_table(models, f"Distillation, measured on {data}")
    return "\n".join([own, *_printed()]) + "\n"


def comparison_table(models: Mapping[str, DistilledModel], title: str) -> str:
    """Write the models' mean figures, and their differences to the first, as Markdown.

    Parameters
    ----------
    models : mapping of str to DistilledModel
        By name.
    title : str
        Heading.
    """
    first = next(iter(models))
    heads = ["model", *(f"{name} (90 % interval)" for name in _FIGURES.values())]
    heads += [f"{name.split(',')[0]}, difference to {first}" for name in _FIGURES.values()]
    heads += ["distance to its teacher", "CKA with its teacher"]
    lines = [f"## {title}", "", _line(heads), _line(["---"] * len(heads))]
    for name, model in models.items():
        cells = [name, *(_figure(model.figures.get(figure)) for figure in _FIGURES)]
        cells += [_difference(model.differences.get(figure)) for figure in _FIGURES]
        cells += map(three_digits, (model.teacher_distance, model.teacher_alignment))
        lines.append(_line(cells))
    lines += [
        *_repeated(models.values()),
        "",
        f"Differences are of the same images and the same resamples of subjects as {first}'s; an "
        "interval without 0 is a difference at that level.",
        *_fold_table(models, first),
    ]
    return "\n".join(lines) + "\n"


def _fold_table(models: Mapping[str, DistilledModel], first: str) -> Iterable[str]:
    """Figures over folds; nothing if the protocol has none."""
    found = {name: model for name, model in models.items() if model.folds is not None}
    if not found:
        return
    heads = ["model", "accuracy, % (± standard error)", f"accuracy, difference to {first}"]
    heads += _FOLD_FIGURES.values()
    yield from ("", _line(heads), _line(["---"] * len(heads)))
    for name, model in found.items():
        folds = model.folds
        assert folds is not None
        cells = [name, f"{100 * folds.accuracy:.2f} ± {100 * folds.standard_error:.2f}", NOTHING]
        if model.accuracy_difference is not None:
            difference, error = model.accuracy_difference
            cells[2] = f"{100 * difference:+.2f} ± {100 * error:.2f}"
        cells += [f"{100 * getattr(folds, figure):.2f}" for figure in _FOLD_FIGURES]
        yield _line(cells)
    number = max(len(model.folds.accuracies) for model in found.values() if model.folds)
    yield ""
    yield (
        f"Means over {number} folds, each of which is decided at the threshold with the highest "
        "accuracy on the others. As thresholds differ, a model's EER, which is of one threshold, "
        "may lie slightly outside its FAR and FRR here."
    )


def _repeated(models: Iterable[DistilledModel]) -> list[str]:
    """Explanation of means over trainings, if there are several of a model."""
    trainings = max(len(figure.each) for model in models for figure in model.figures.values())
    if trainings == 1:
        return []
    return [
        "",
        f"Means of {trainings} trainings (of a teacher: one) with different seeds; in square "
        "brackets the figure of each. Intervals are of these means, over other subjects.",
    ]


def _printed() -> Sequence[str]:
    columns = ("accuracy", "f1", "far", "frr", "eer", "auc")
    heads = ["method", "data", "accuracy, %", "F1, %", "FAR, %", "FRR, %", "EER, %", "AUC, %"]
    lines = ["## As printed in the papers, on their data", "", _line(heads)]
    lines.append(_line(["---"] * len(heads)))
    notes = []
    for row in PRINTED:
        values = [getattr(row, column) for column in columns]
        cells = [NOTHING if value is None else f"{value:.2f}" for value in values]
        lines.append(_line([row.method, row.data, *cells]))
        if row.far is not None and row.frr is not None and row.eer is not None:
            found = contradiction(row.far / 100, row.frr / 100, row.eer / 100, _ROUNDING)
            if found:
                notes.append(f"The printed rates of {row.method} contradict each other. {found}")
    return [*lines, "", *notes]


def _figure(found: MeanFigure | None) -> str:
    if found is None:
        return NOTHING
    interval = ""
    if found.interval:
        interval = f" ({100 * found.interval[0]:.2f} to {100 * found.interval[1]:.2f})"
    each = ", ".join(f"{100 * value:.2f}" for value in found.each)
    return f"{100 * found.value:.2f}{interval}" + (f" [{each}]" if len(found.each) > 1 else "")


def _difference(found: Difference | None) -> str:
    if found is None:
        return NOTHING
    interval = ""
    if found.interval:
        low, high = found.interval
        interval = f" ({100 * low:+.2f} to {100 * high:+.2f})"
    return f"{100 * found.difference:+.2f}{interval}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
