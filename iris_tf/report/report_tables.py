"""The report's tables as HTML: the content of each, and how a table is written."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from iris_tf.config.names import FMRS
from iris_tf.metrics.differences import Difference
from iris_tf.metrics.figures import CMC_RANKS
from iris_tf.metrics.open_set import FPIRS
from iris_tf.report.report_data import ReportRow, TaughtModel
from iris_tf.report.report_words import (
    HEADINGS,
    NOTHING,
    interval,
    percent,
    table_cells,
    three_digits,
)

SLICE_THRESHOLD = "far_1e-2"  # strict enough to be useful, lenient enough for small sets
_METRIC_NAMES = {
    "eer": "EER", "vr_far_1e-2": "VR@FAR=1 %", "vr_far_1e-3": "VR@FAR=0.1 %",
    "fnmr_fmr_1e-2": "FNMR@FMR 1e-2", "fnmr_fmr_1e-3": "FNMR@FMR 1e-3",
    "fnmr_fmr_1e-4": "FNMR@FMR 1e-4", "fnmr_fmr_1e-5": "FNMR@FMR 1e-5",
    "auc": "AUC", "d_prime": "d′", "cmc_1": "CMC@1", "cmc_5": "CMC@5", "cmc_10": "CMC@10",
    "fnir_fpir_1e-1": "FNIR@FPIR 1e-1", "fnir_fpir_1e-2": "FNIR@FPIR 1e-2",
}  # fmt: skip
_HIGHER_IS_BETTER = ("vr_", "cmc_", "auc", "d_prime")
_OWN_UNITS = {"auc": "{:.4f}", "d_prime": "{:.3f}"}  # all others are shares
_MILLION = 1e6
_LEFT, _NUMERIC = ' class="left"', " data-numeric"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes
    ----------
    text : str
        Visible text.
    value : float, optional
        Unrounded number by which the column is sorted.
    small : str, optional
        Small print below the text.
    best : bool, optional
        True to set the text in bold.
    """

    text: str
    value: float | None = None
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class Column:
    """Heading of a column, which may contain a line break, and whether it holds numbers."""

    heading: str
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """Cells of one line, and its CSS classes."""

    cells: Sequence[Cell]
    classes: Sequence[str] = ()


def table(columns: Sequence[Column], lines: Iterable[Line], name: str, wide: bool = False) -> str:
    """Write a table that the page's script makes sortable.

    Parameters
    ----------
    columns : sequence of Column
        The first says what a line is about.
    lines : iterable of Line
        With one cell per column.
    name : str
        For screen readers.
    wide : bool, optional
        True to show each line as a card on a narrow screen, where other tables scroll
        sideways.
    """
    heads = "".join(
        f'<th scope="col"{_NUMERIC if column.numeric else _LEFT}>{escape(column.heading)}</th>'
        for column in columns
    )
    body = []
    for line in lines:
        classes = f' class="{" ".join(line.classes)}"' if line.classes else ""
        cells = zip(columns, line.cells, strict=True)
        body.append(f"<tr{classes}>" + "".join(_cell(i, *both) for i, both in enumerate(cells)))
    content = (
        f'<table class="sortable{" wide" if wide else ""}" aria-label="{escape(name)}">'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>"
        + "".join(f"{row}</tr>\n" for row in body)
        + "</tbody></table>"
    )
    if wide:
        return content
    region = f'class="scroll" role="region" tabindex="0" aria-label="{escape(name)}"'
    return f"<div {region}>{content}</div>"


def _cell(index: int, column: Column, cell: Cell) -> str:
    shown = escape(cell.text)
    if cell.best:
        shown = f'<span class="best">{shown}</span>'
    if cell.small:
        shown += f' <span class="ci">{escape(cell.small)}</span>'
    extra = "" if column.numeric else _LEFT
    if column.numeric and cell.value is not None:
        extra += f' data-sort="{cell.value!r}"'
    if index == 0:
        return f'<th scope="row"{extra}>{shown}</th>'
    return f'<td data-label="{escape(column.heading)}"{extra}>{shown}</td>'


def results_table(rows: Sequence[ReportRow]) -> str:
    """The table of `HEADINGS`, without times if none was measured.

    The lowest error of a trained model is bold.
    """
    shown = len(HEADINGS) - all(row.latency_ms is None for row in rows)
    least = min((row.eer for row in rows if row.trained), default=None)
    lines, previous = [], None
    for row in rows:
        figures = row.metrics.values
        values = (
            None,
            None,
            figures["eer"],
            figures["vr_far_1e-2"],
            figures["cmc_1"],
            row.bytes,
            row.latency_ms,
        )
        cells = [
            Cell(text, value, small, heading == "EER (%)" and row.eer == least and row.trained)
            for heading, (text, small), value in zip(
                HEADINGS, table_cells(row), values, strict=True
            )
        ]
        cells[0] = _named(row)
        classes = [
            name
            for name, on in (
                ("reference", row.reference),
                ("first", previous not in (None, row.model)),
            )
            if on
        ]
        previous = row.model
        lines.append(Line(cells[:shown], classes))
    columns = [Column(heading, i > 1) for i, heading in enumerate(HEADINGS[:shown])]
    return table(columns, lines, "Results", wide=True)


def verification_table(rows: Sequence[ReportRow]) -> str:
    """FNMR at several FMRs, area under the ROC curve and d-prime."""
    columns = [
        *_MODEL, *(Column(f"FNMR@FMR\n{name.removeprefix('fmr_')} (%)") for name in FMRS),
        Column("AUC"), Column("d′"),
    ]  # fmt: skip
    return table(
        columns,
        [
            _line(
                row,
                *(_rate(row, f"fnmr_{name}") for name in FMRS),
                *(_number(row, name, form) for name, form in _OWN_UNITS.items()),
            )
            for row in rows
        ],
        "Verification",
    )


def thresholds_table(rows: Sequence[ReportRow]) -> str:
    """Threshold and errors at the EER and at each operating point that is supported."""
    lines = []
    for row in rows:
        points = {} if row.metrics.eer_point is None else {"eer": row.metrics.eer_point}
        points |= row.metrics.supported()
        for name, point in points.items():
            both = row.generalised["points"].get(name, {}) if row.generalised else {}
            cells = [
                Cell("EER" if name == "eer" else f"FMR {name.removeprefix('fmr_')}"),
                Cell(f"{point.threshold:.4f}", point.threshold),
                _small_share(point.fmr),
                _share(point.fnmr),
                _small_share(both.get("gfar")),
                _share(both.get("gfrr")),
            ]
            lines.append(_line(row, *cells, first=name == "eer"))
    columns = [
        *_MODEL, Column("at", False), Column("threshold"), Column("FMR (%)"),
        Column("FNMR (%)"), Column("GFAR (%)"), Column("GFRR (%)"),
    ]  # fmt: skip
    return table(columns, lines, "Operating points")


def identification_table(rows: Sequence[ReportRow]) -> str:
    """CMC at several ranks and FNIR at several FPIRs; "" without identification."""
    rows = [row for row in rows if row.metrics.values["cmc_1"] is not None]
    if not rows:
        return ""
    columns = [
        *_MODEL, *(Column(f"CMC@{rank} (%)") for rank in CMC_RANKS),
        *(Column(f"FNIR@FPIR\n{name.removeprefix('fpir_')} (%)") for name in FPIRS),
    ]  # fmt: skip
    return table(
        columns,
        [
            _line(
                row,
                *(_rate(row, f"cmc_{rank}") for rank in CMC_RANKS),
                *(_fnir(row, name) for name in FPIRS),
            )
            for row in rows
        ],
        "Identification",
    )


def cost_table(rows: Sequence[ReportRow]) -> str:
    """Size, operations and latency; "" if only sizes are known, which are among the results."""
    rows = [
        row for row in rows
        if {row.parameters, row.macs, row.latency_p95_ms} != {None}
    ]  # fmt: skip
    if not rows:
        return ""
    timed = any(row.latency_p95_ms is not None for row in rows)

    def cell(number: float | None, unit: float, form: str) -> Cell:
        return Cell(NOTHING) if number is None else Cell(form.format(number / unit), number)

    columns = [
        *_MODEL, Column("MiB"), Column("parameters\n(million)"), Column("MACs\n(million)"),
        *(Column(f"latency\n{name} (ms)") for name in ("p50", "p95") if timed),
    ]  # fmt: skip
    return table(
        columns,
        [
            _line(
                row,
                cell(row.bytes, 2**20, "{:.2f}"),
                cell(row.parameters, _MILLION, "{:.3f}"),
                cell(row.macs, _MILLION, "{:,.1f}"),
                *(
                    cell(time, 1, "{:.2f}")
                    for time in (row.latency_ms, row.latency_p95_ms)
                    if timed
                ),
            )
            for row in rows
        ],
        "Cost",
    )


def differences_table(differences: Mapping[str, Mapping[str, Difference]]) -> str:
    """Differences of the other models to the first, figure by figure."""
    lines: list[Line] = []
    for model, metrics in differences.items():
        # Not in the order of a JSON file, which is alphabetical.
        for name, found in ((name, metrics[name]) for name in _METRIC_NAMES if name in metrics):
            low_high, better = "", "no difference shown"
            form = _OWN_UNITS.get(name, "{:.2f}").replace(":", ":+")
            unit = 1 if name in _OWN_UNITS else 100
            if found.interval is not None:
                low_high = " to ".join(form.format(unit * bound) for bound in found.interval)
            if found.significant:
                up = found.difference > 0
                better = "better" if up == name.startswith(_HIGHER_IS_BETTER) else "worse"
            cells = [
                Cell(model), Cell(_METRIC_NAMES[name]),
                Cell(form.format(unit * found.difference), found.difference),
                Cell(low_high or NOTHING), Cell(better),
            ]  # fmt: skip
            lines.append(Line(cells, ["first"] if name == "eer" and lines else []))
    columns = [
        Column("model", False), Column("figure", False), Column("difference"),
        Column("90 % interval", False), Column("than the first", False),
    ]  # fmt: skip
    return table(columns, lines, "Differences")


def teachers_table(taught: Sequence[TaughtModel]) -> str:
    """Distilled models with their teachers."""
    lines = []
    for found in taught:
        cells = [Cell(found.model), Cell(found.teacher), _share(found.teacher_eer)]
        cells += [Cell(three_digits(n), n) for n in (found.distance, found.alignment)]
        lines.append(Line(cells))
    columns = [Column("model", False), Column("teacher", False), Column("its EER %")]
    return table([*columns, Column("distance"), Column("CKA")], lines, "Teachers")


def splits_table(splits: Mapping[str, Mapping[str, int]]) -> str:
    """Subjects, identities and images of each split."""
    names = list(next(iter(splits.values())))
    return table(
        [Column("split", False), *map(Column, names)],
        [
            Line([Cell(split), *(Cell(f"{counts[name]:,}", counts[name]) for name in names)])
            for split, counts in splits.items()
        ],
        "Splits",
    )


def slices_table(rows: Sequence[ReportRow]) -> str:
    """Errors by eye, dataset and dilation; "" if there are none."""
    lines = []
    for row in rows:
        slices = row.slices or {}
        parts = [
            (field, name, part) for field in ("eye", "dataset")
            for name, part in slices.get(field, {}).items()
        ]  # fmt: skip
        if dilation := slices.get("dilation"):
            parts += [("dilation", name, dilation[name]) for name in ("same", "different")]
        for number, (field, name, part) in enumerate(parts):
            comparisons, fmr = part["genuine_comparisons"], part.get("fmr")
            cells = [
                Cell(f"{field}: {name}"),
                Cell(f"{comparisons:,}", comparisons),
                _share(part.get("eer")),
                _share(fmr and fmr[SLICE_THRESHOLD]),
                _share(part["fnmr"] and part["fnmr"][SLICE_THRESHOLD]),
            ]
            lines.append(_line(row, *cells, first=number == 0))
    columns = [
        *_MODEL, Column("slice", False), Column("genuine\ncomparisons"), Column("EER (%)"),
        Column("FMR (%)"), Column("FNMR (%)"),
    ]  # fmt: skip
    return table(columns, lines, "Slices") if lines else ""


def quality_table(rows: Sequence[ReportRow]) -> str:
    """FNMR by quarter of each quality figure; "" if the crops have none."""
    lines = []
    for row in rows:
        for number, (name, found) in enumerate((row.slices or {}).get("quality", {}).items()):
            quarters = [
                _share(quarter and quarter[SLICE_THRESHOLD]) for quarter in found["quartiles"]
            ]
            lines.append(_line(row, Cell(name.replace("_", " ")), *quarters, first=number == 0))
    names = ("worst quarter (%)", "second (%)", "third (%)", "best quarter (%)")
    columns = [*_MODEL, Column("quality figure", False), *map(Column, names)]
    return table(columns, lines, "FNMR by quality") if lines else ""


_MODEL = (Column("model", False), Column("precision", False))


def _line(row: ReportRow, *cells: Cell, first: bool = False) -> Line:
    classes = [name for name, on in (("reference", row.reference), ("first", first)) if on]
    return Line([_named(row), Cell(row.precision or NOTHING), *cells], classes)


def _named(row: ReportRow) -> Cell:
    return Cell(row.model + (" (reference)" if row.reference else ""))


def _share(rate: float | None) -> Cell:
    return Cell(percent(rate), rate)


def _small_share(rate: float | None) -> Cell:
    """With three significant digits: two decimals would hide an FMR of 1e-5, which is 0.001 %."""
    if not rate:
        return _share(rate)
    decimals = max(2, 2 - math.floor(math.log10(100 * rate)))
    return Cell(f"{100 * rate:.{decimals}f}", rate)


def _rate(row: ReportRow, metric: str) -> Cell:
    rate = row.metrics.values.get(metric)
    return Cell(percent(rate), rate, interval(row, metric) if rate is not None else "")


def _number(row: ReportRow, metric: str, form: str) -> Cell:
    number = row.metrics.values.get(metric)
    if number is None:
        return Cell(NOTHING)
    return Cell(form.format(number), number, interval(row, metric, form.format))


def _fnir(row: ReportRow, name: str) -> Cell:
    rate = row.metrics.values.get(f"fnir_{name}")
    if rate is None:
        return Cell(NOTHING)
    found = row.metrics.open_set
    enough = found is not None and found.rule_of_30[name]
    small = [interval(row, f"fnir_{name}"), "" if enough else "few probes"]
    return Cell(percent(rate), rate, ", ".join(filter(None, small)))
