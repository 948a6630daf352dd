"""Collection of latency results from phones and hosts, as a table and a page."""

import csv
import hashlib
import html
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iris_tf.benchmark.schema import STATISTICS, validate_result
from iris_tf.support.errors import BenchmarkError
from iris_tf.support.files import write_json, write_text
from iris_tf.support.foreign_files import read_json

RESULTS, TABLE, PAGE = "results", "latency.csv", "latency.html"

# Android's names, coolest first.
_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_PARTS = ("init", "first", "warmup", "inference")
_CSS = """
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 72rem; color: #1b1b1b;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
thead th { border-top: 1.5px solid; border-bottom: 1px solid; }
tbody tr:last-child td { border-bottom: 1.5px solid; }
th, td { padding: .3rem .6rem; text-align: right; vertical-align: top; }
.left { text-align: left; }
.invalid td { color: #8a4500; }
.note, footer { color: #5a5a5a; font-size: .85rem; }
"""


@dataclass(frozen=True)
class Collection:
    """Contents of a folder of results after an import.

    Attributes
    ----------
    added : int
        Number of new results.
    results, rows, invalid, failures : int
        Number of results, of their rows, of invalid rows, and of rows that could not be
        measured.
    """

    added: int
    results: int
    rows: int
    invalid: int
    failures: int


def import_results(files: Sequence[str | os.PathLike], out: str | os.PathLike) -> Collection:
    """Add latency results to a folder and rewrite its table and page.

    All files are checked before anything is written. A result that is already in the
    folder is not added again.

    Parameters
    ----------
    files : sequence of path
        JSON files of `iris-tf benchmark latency` or of the Android app.
    out : path
        Folder with ``results/``, ``latency.csv`` (one line per row, without the
        individual times) and ``latency.html``.

    Returns
    -------
    Collection

    Raises
    ------
    BenchmarkError
        If a file is missing, is not JSON, or violates the schema.
    """
    folder = Path(out) / RESULTS
    fresh = {_digest(result): result for result in map(_read, files)}
    known = {path.stem for path in folder.glob("*.json")}
    for digest in fresh.keys() - known:
        write_json(folder / f"{digest}.json", fresh[digest])
    results = sorted(
        (_read(path) for path in folder.glob("*.json")),
        key=lambda result: (result["machine"]["cpu"], result["created"]),
    )
    write_text(Path(out) / TABLE, _table(results))
    write_text(Path(out) / PAGE, _page(results))
    rows = [row for result in results for row in result["rows"]]
    return Collection(
        added=len(fresh.keys() - known),
        results=len(results),
        rows=len(rows),
        invalid=sum(1 for row in rows if row.get("invalid")),
        failures=sum(len(result.get("failures", [])) for result in results),
    )


def _read(path: str | os.PathLike) -> dict[str, Any]:
    try:
        result = read_json(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise BenchmarkError(
            f"{path}: the latency result cannot be read ({reason}); give a JSON file of "
            "`iris-tf benchmark latency --out` or of the Android app."
        ) from None
    try:
        validate_result(result)
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from None
    return result


def _digest(result: dict[str, Any]) -> str:
    text = json.dumps(result, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _device(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return f"{machine['device']} ({machine['cpu']})" if machine.get("device") else machine["cpu"]


def _table(results: Iterable[dict[str, Any]]) -> str:
    machine, model = ("cpu", "cores", "os", "device"), ("file", "sha256", "bytes")
    row_fields = ("backend_requested", "backend", "threads", "invalid")
    statistics = ("count", *STATISTICS)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["created", "created_by", "runtime", *machine, *model, *row_fields]
        + [f"{part}_{name}" for part in _PARTS for name in statistics]
    )
    for result in results:
        for row in result["rows"]:
            cells = [result[name] for name in ("created", "created_by", "runtime")]
            cells += [result["machine"].get(name, "") for name in machine]
            cells += [row["model"][name] for name in model]
            cells += [row.get(name, "") for name in row_fields]
            for part in _PARTS:
                cells += [row[part][name] if row[part] else "" for name in statistics]
            writer.writerow(cells)
    return text.getvalue()


def _page(results: Sequence[dict[str, Any]]) -> str:
    lines = [line for result in results for line in _lines(result)]
    headings = ("device", "system, runtime", "model", "backend", "threads", "initialisation",
                "first", "median", "p90", "p95", "p99", "deviation", "runs")  # fmt: skip
    head = "".join(
        f'<th class="left">{name}</th>' if i < 4 else f"<th>{name}</th>"
        for i, name in enumerate(headings)
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Latency</title>'
        f"<style>{_CSS}</style><h1>Latency</h1><p>Milliseconds of one inference, from the filled "
        "input to the filled output; initialisation and first inference are medians.</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        f"{_failures(results)}<footer><p>All figures and single times: {TABLE} and "
        f"{RESULTS}/.</p></footer></html>\n"
    )


def _lines(result: dict[str, Any]) -> Iterable[str]:
    for row in result["rows"]:
        backend = row["backend_requested"]
        if row["backend"] != backend:
            backend += f", ran on {row['backend']}"
        times = row["inference"]
        texts = (
            _device(result),
            f"{result['machine']['os']}, {result['runtime']}",
            row["model"]["file"],
            backend,
        )
        figures = [row["init"]["median"], row["first"]["median"]]
        figures += [times[name] for name in ("median", "p90", "p95", "p99", "stddev")]
        cells = "".join(f'<td class="left">{html.escape(text)}</td>' for text in texts)
        cells += f"<td>{row['threads']}</td>"
        cells += "".join(f"<td>{figure:.2f}</td>" for figure in figures)
        cells += f"<td>{times['count']}</td>"
        notes = [row[name] for name in ("invalid", "fallback") if row.get(name)]
        thermal = _hottest(row)
        if thermal != _THERMAL[0]:
            notes.append(f"The phone slowed itself down (thermal status {thermal}).")
        yield f'<tr class="invalid">{cells}</tr>' if row.get("invalid") else f"<tr>{cells}</tr>"
        if notes:
            yield f'<tr><td class="left note" colspan="13">{html.escape(" ".join(notes))}</td></tr>'


def _hottest(row: dict[str, Any]) -> str:
    """The more severe thermal status of a row's start and end; unknown counts as none."""
    seen = [(row.get(f"conditions_{at}") or {}).get("thermal") for at in ("start", "end")]
    names = [name or _THERMAL[0] for name in seen]
    return max(names, key=lambda name: _THERMAL.index(name) if name in _THERMAL else 0)


def _failures(results: Iterable[dict[str, Any]]) -> str:
    items = "".join(
        f"<li>{html.escape(_device(result))}: {html.escape(failure['model'])} on "
        f"{html.escape(failure['backend_requested'])}, threads {failure['threads']}: "
        f"{html.escape(failure['reason'])}</li>"
        for result in results
        for failure in result.get("failures", [])
    )
    return f"<h2>Not measured</h2><ul>{items}</ul>" if items else ""
