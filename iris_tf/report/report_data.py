"""The report of a run: one HTML page that needs nothing else, and a table for the terminal."""

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from iris_tf.data.manifest import SPLITS, ManifestRow
from iris_tf.evaluation.saliency import OcclusionMap
from iris_tf.metrics.scores import label_images
from iris_tf.support.errors import EvaluationError
from iris_tf.support.files import write_text

HEADINGS = ("model", "precision", "EER (%)", "VR@FAR=1% (%)", "CMC@1 (%)", "MiB", "ms")
NOTHING = "–"
_SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
_ALIKE_IN_SIZE = 1.1  # attention adds a few KiB, which is no reason to prefer a model without


@dataclass(frozen=True)
class ReportRow:
    """One line of the result table.

    Attributes
    ----------
    model : str
        Name for a reader, e.g. ``"MobiIris (attention, distilled)"``.
    precision : str
        ``"float32"``, ``"float16"``, or ``""`` where there is no model file.
    evaluation : dict
        What `evaluate_embeddings` returned, or its JSON read again.
    bytes : int, optional
        Size of the model file.
    latency_ms : float, optional
        Median time of one crop on one thread of the machine in the report, in milliseconds.
    latency_p95_ms : float, optional
        95th percentile of the same times.
    latency_runs : int, optional
        Number of them.
    reference : bool, optional
        True for a line that has learnt nothing (untrained network, raw pixels).
    parameters, macs : int, optional
        Constants of the model, and multiply-accumulate operations of one inference.
    generalised : mapping, optional
        What `generalised_rates` returned, where failures to extract are known.
    slices : mapping, optional
        What `slice_figures` returned.
    """

    model: str
    precision: str
    evaluation: Mapping[str, Any]
    bytes: int | None = None
    latency_ms: float | None = None
    reference: bool = False
    parameters: int | None = None
    macs: int | None = None
    latency_p95_ms: float | None = None
    latency_runs: int | None = None
    generalised: Mapping[str, Any] | None = None
    slices: Mapping[str, Any] | None = None

    @property
    def eer(self) -> float:
        """Equal error rate, 0..1."""
        return self.evaluation["metrics"]["eer"]

    @property
    def label(self) -> str:
        """Model and precision in one."""
        return f"{self.model}, {self.precision}" if self.precision else self.model


@dataclass(frozen=True)
class TrainingCurve:
    """How one model learnt.

    Attributes
    ----------
    model : str
        Name, the same as in the result table.
    epochs : list of int
        Counted from 1.
    loss : list of float
        Mean training loss of each epoch.
    val_eer : list of float
        Equal error rate on validation identities after each epoch, 0..1; empty when the
        run had none.
    """

    model: str
    epochs: list[int]
    loss: list[float]
    val_eer: list[float]

    @classmethod
    def read(cls, model: str, history: str | Path) -> "TrainingCurve":
        """Read a run's ``history.csv`` (columns epoch, loss, and val_eer if measured).

        Raises
        ------
        EvaluationError
            When the file is missing or has no such columns of numbers.
        """
        history = Path(history)
        try:
            with open(history, newline="", encoding="utf-8") as file:
                lines = list(csv.DictReader(file))
            measured = bool(lines) and "val_eer" in lines[0]
            return cls(
                model,
                [int(line["epoch"]) for line in lines],
                [float(line["loss"]) for line in lines],
                [float(line["val_eer"]) for line in lines] if measured else [],
            )
        except FileNotFoundError:
            raise EvaluationError(
                f"{history}: there is no such history; name the folder of a finished run."
            ) from None
        except (KeyError, TypeError, ValueError):
            raise EvaluationError(
                f"{history}: the columns epoch, loss and val_eer do not hold numbers; restore the "
                "file from its run with `--resume`."
            ) from None


@dataclass(frozen=True)
class ComparedPair:
    """Two images and how alike a model finds them.

    Attributes
    ----------
    names : tuple of str
        Both images' names.
    score : float
        Similarity, -1..1.
    crops : tuple of ndarray of shape (height, width), uint8
        Both crops.
    """

    names: tuple[str, str]
    score: float
    crops: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class WorstPairs:
    """Where one model is most wrong.

    Attributes
    ----------
    model : str
        Name, the same as in the result table.
    genuine : sequence of ComparedPair
        Genuine comparisons of the lowest scores, the lowest first.
    impostor : sequence of ComparedPair
        Impostor comparisons of the highest scores, the highest first.
    """

    model: str
    genuine: Sequence[ComparedPair]
    impostor: Sequence[ComparedPair]


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes
    ----------
    title : str
        Heading.
    dataset : str
        Name of the images, e.g. ``"CASIA-IrisV4-Thousand"``.
    evaluated_on : str
        Which of them were compared, e.g. ``"test split: persons not seen in training"``.
    synthetic : bool
        True when the eyes were generated: every figure is then labelled as such.
    roi_mode : str
        How crops were cut.
    rows : sequence of ReportRow
        The result table.
    splits : mapping of str to mapping of str to int
        Persons, identities and images of each split, as `count_splits` gives them.
    failures : mapping of str to int
        Images without a crop, by reason.
    environment : mapping
        Machine and versions, as `iris_tf.support.machine.machine_description` gives them.
    curves : sequence of TrainingCurve
        One for each trained model.
    crops : sequence of ndarray of shape (height, width), uint8
        Some crops as the networks see them.
    notes : sequence of str
        What a reader must know besides, a sentence each.
    conclusion : str, optional
        The verdict; empty for what `verdict` says of the rows.
    differences : mapping of str to mapping
        By the name of another model: its differences to `compared_with`, as
        `paired_differences` gives them.
    compared_with : str, optional
        Name of that model; empty for the one of the first row.
    worst : sequence of WorstPairs
        One for each model of which the pairs shall be shown.
    occlusion : mapping of str to sequence of OcclusionMap
        By the name of a model, what its embedding of some eyes looks at.
    """

    title: str
    dataset: str
    evaluated_on: str
    synthetic: bool
    roi_mode: str
    rows: Sequence[ReportRow]
    splits: Mapping[str, Mapping[str, int]]
    failures: Mapping[str, int]
    environment: Mapping[str, Any]
    curves: Sequence[TrainingCurve] = ()
    crops: Sequence[np.ndarray] = ()
    notes: Sequence[str] = ()
    conclusion: str = ""
    differences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    compared_with: str = ""
    worst: Sequence[WorstPairs] = ()
    occlusion: Mapping[str, Sequence[OcclusionMap]] = field(default_factory=dict)


def count_splits(rows: Sequence[ManifestRow]) -> dict[str, dict[str, int]]:
    """Persons, identities and images of each split that has any."""
    counts = {}
    for split in SPLITS:
        if members := [row for row in rows if row.split == split]:
            labels = label_images(members)
            counts[split] = {
                "persons": labels.persons,
                "identities": labels.identities,
                "images": len(members),
            }
    return counts


def percent(rate: float | None) -> str:
    """A share as per cent with two decimals, without the sign: ``"3.14"``."""
    return NOTHING if rate is None else f"{100 * rate:.2f}"


def interval(row: ReportRow, metric: str, written: Callable[[float], str] = percent) -> str:
    """Confidence interval of a metric, in per cent unless said otherwise, or nothing.

    Examples
    --------
    ``"2.95–3.40"``; with `written` as ``"{:.4f}".format``, ``"0.9876–0.9912"``.
    """
    bounds = (row.evaluation["intervals"] or {}).get("bounds", {}).get(metric)
    return "–".join(map(written, bounds)) if bounds else ""


def table_cells(row: ReportRow) -> list[tuple[str, str]]:
    """The line as (value, confidence interval or nothing) under each of `HEADINGS`."""
    metrics = row.evaluation["metrics"]
    return [
        (row.model, ""),
        (row.precision or NOTHING, ""),
        (percent(metrics["eer"]), interval(row, "eer")),
        (percent(metrics["vr_far_1e-2"]), interval(row, "vr_far_1e-2")),
        (percent(metrics["cmc_1"]), interval(row, "cmc_1")),
        (NOTHING if row.bytes is None else f"{row.bytes / 2**20:.2f}", ""),
        (NOTHING if row.latency_ms is None else f"{row.latency_ms:.1f}", ""),
    ]


def format_table(rows: Sequence[ReportRow], title: str = "") -> Table:
    """The result table for a terminal.

    Parameters
    ----------
    rows : sequence of ReportRow
        Lines in the order wanted; reference lines are dimmed and marked.
    title : str, optional
        Line above the table, e.g. the dataset and the split.
    """
    small_print = any(interval(row, "eer") for row in rows)
    table = Table(
        title=title or None,
        caption="second lines: 90 % confidence intervals" if small_print else None,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for i, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if i < 2 else "right", no_wrap=i > 0)
    for row in rows:
        cells = [Text(f"{value}\n{ci}" if ci else value) for value, ci in table_cells(row)]
        if row.reference:
            cells[0].append(" (reference)")
        table.add_row(*cells, style="dim" if row.reference else None)
    return table


def verdict(rows: Sequence[ReportRow]) -> str:
    """Up to three sentences: the best model, the best small one, and whether they learnt.

    "Clearly better" than a reference means that the confidence intervals of the two EERs
    do not touch.
    """
    trained = [row for row in rows if not row.reference]
    references = [row for row in rows if row.reference]
    if not trained:
        return "No trained model was evaluated."

    def size(row: ReportRow) -> float:
        return float("inf") if row.bytes is None else row.bytes

    def bounds(row: ReportRow) -> list[float]:
        found = (row.evaluation["intervals"] or {}).get("bounds", {}).get("eer")
        return found or [row.eer, row.eer]

    def figures(row: ReportRow) -> str:
        ci = interval(row, "eer")
        parts = f"EER {percent(row.eer)}{_SPACE}%" + (f" (90{_SPACE}% CI {ci})" if ci else "")
        return parts if row.bytes is None else f"{parts} at {row.bytes / 2**20:.2f}{_SPACE}MiB"

    best = min(trained, key=lambda row: (row.eer, size(row)))
    least = min(map(size, trained))
    small = [row for row in trained if size(row) <= _ALIKE_IN_SIZE * least]
    compact = min(small, key=lambda row: (row.eer, size(row)))
    text = f"Lowest error: {best.label}, {figures(best)}."
    if compact.model != best.model:
        text += f" Best of the smallest files: {compact.label}, {figures(compact)}."
    if references:
        against = " and ".join(f"{row.model} {percent(row.eer)}{_SPACE}%" for row in references)
        floor = min(bounds(row)[0] for row in references)
        better = [row for row in trained if bounds(row)[1] < floor]
        if len(better) == len(trained):
            clause = "All trained models are clearly better than the references"
        elif better:
            clause = (
                f"{len(better)} of {len(trained)} lines of trained models are clearly better "
                "than the references"
            )
        else:
            clause = "No trained model is clearly better than the references"
        text += f" {clause} ({against})."
    return text


def write_report(path: str | Path, report: Report) -> None:
    """Write the page: text, tables and pictures in one HTML file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, e.g. ``runs/demo/report.html``.
    report : Report
        What to show; it needs at least one row.
    """
    # Matplotlib takes half a second to import, which a table in a terminal can do without.
    from iris_tf.report.report_page import render

    if not report.rows:
        raise EvaluationError("a report needs at least one evaluated model; evaluate one first.")
    write_text(path, render(report))
