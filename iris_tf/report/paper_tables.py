"""Tables 3 and 4 of the MobiIris paper, with its own figures beside measured ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iris_tf.config.precision import PRECISIONS
from iris_tf.report.report_data import ReportRow
from iris_tf.report.report_words import NOTHING, interval, percent
from iris_tf.support.errors import EvaluationError

MODELS = {
    "baseline": "MobileNetV3-L (BASE)",
    "attention": "only attention",
    "distilled": "only distilled",
    "mobiiris": "attention and distilled",
    "resnet50": "ResNet-50",
}
"""Name of each model in a recipe, and in the paper, in the paper's order."""


BASELINE = "baseline"
"""The model that the others are compared with."""


@dataclass(frozen=True)
class PaperRow:
    """One line of Table 3 or 4: per cent, megabytes and milliseconds on the authors' phone."""

    eer: float
    vr: float
    cmc_1: float
    megabytes: float
    milliseconds: float


PAPER: Mapping[str, Mapping[str, PaperRow]] = {
    "float32": {  # Table 3
        "baseline": PaperRow(1.699, 97.678, 93.073, 11.9, 25.2),
        "attention": PaperRow(1.484, 97.993, 93.949, 12.0, 27.1),
        "distilled": PaperRow(1.535, 97.951, 94.466, 11.9, 25.2),
        "mobiiris": PaperRow(1.409, 98.184, 94.785, 12.0, 27.1),
        "resnet50": PaperRow(1.567, 98.092, 95.103, 90.9, 188.1),
    },
    "float16": {  # Table 4
        "baseline": PaperRow(7.587, 77.512, 67.515, 5.93, 12.7),
        "attention": PaperRow(7.089, 78.590, 67.794, 5.94, 13.2),
        "distilled": PaperRow(6.417, 81.086, 72.611, 5.93, 12.7),
        "mobiiris": PaperRow(7.173, 79.726, 70.143, 5.94, 13.2),
        "resnet50": PaperRow(6.335, 82.271, 75.039, 45.3, 163.5),
    },
}
_TITLES = {"float32": "Table 3: full precision", "float16": "Table 4: float16"}
_PAPERS_SET = "CASIA-Iris-Thousand"


def paper_tables(rows: Sequence[ReportRow], dataset: str, machine: str) -> str:
    """Write the paper's tables as Markdown, measured figures beside the paper's.

    Parameters
    ----------
    rows : sequence of ReportRow
        Exported models; others, such as references, are ignored.
    dataset : str
        What the models were measured on, e.g. ``"Synthetic eyes"``.
    machine : str
        Where the milliseconds were measured, e.g. ``"AMD EPYC, one thread"``.

    Returns
    -------
    str
        One table for each precision that all five models of `MODELS` have.

    Raises
    ------
    EvaluationError
        If one of the five models is missing.
    """
    measured = {(row.model, row.precision): row for row in rows}
    missing = [name for name in MODELS if not any(row.model == name for row in rows)]
    if missing:
        raise EvaluationError(
            f"The paper's tables need a model called {missing[0]}; name the recipe's models "
            f"{', '.join(MODELS)}."
        )
    parts = [
        f"# MobiIris, Tables 3 and 4\n\nMeasured on: {dataset}, milliseconds on {machine}. The "
        f"paper's own figures (after the slash): {_PAPERS_SET}, milliseconds on its phone. In "
        "brackets 90 % confidence intervals by bootstrap over subjects.\n"
    ]
    for precision, facts in PRECISIONS.items():
        if all((name, precision) in measured for name in MODELS):
            lines = [
                _line(MODELS[name], measured[name, precision], PAPER.get(precision, {}).get(name))
                for name in MODELS
            ]
            unpublished = f"{facts.summary} (the paper has no such table)"
            parts.append(
                f"## {_TITLES.get(precision, unpublished)}\n\n"
                "| model | EER % | VR@FAR=1 % | CMC@1 % | MB | ms |\n"
                "|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
            )
    return "\n".join(parts)


def _line(name: str, row: ReportRow, paper: PaperRow | None) -> str:
    values = row.metrics.values
    cells = [name]
    for metric, theirs in (
        ("eer", paper and f"{paper.eer:.3f}"),
        ("vr_far_1e-2", paper and f"{paper.vr:.3f}"),
        ("cmc_1", paper and f"{paper.cmc_1:.3f}"),
    ):
        bounds = interval(row, metric)
        own = percent(values[metric]) + (f" ({bounds})" if bounds else "")
        cells.append(f"{own} / {theirs or NOTHING}")
    # The paper's megabytes are 2**20 bytes: MobileNetV3-Large of this size has 11.9 of them.
    size = NOTHING if row.bytes is None else f"{row.bytes / 2**20:.2f}"
    time = NOTHING if row.latency_ms is None else f"{row.latency_ms:.2f}"
    cells.append(f"{size} / {paper.megabytes if paper else NOTHING}")
    cells.append(f"{time} / {paper.milliseconds if paper else NOTHING}")
    return f"| {' | '.join(cells)} |"
