"""Schema of a latency result: one JSON object, common to this package, the app and the page.

Times are in milliseconds, sizes in bytes. Statistics are named as in TFLite's
``benchmark_model``. Readers ignore unknown fields, so writers may add fields;
`SCHEMA_VERSION` changes if the meaning of a field changes.

==============================  ==========================================================
field                           meaning
==============================  ==========================================================
``schema``                      ``"iris_tf.latency"``
``schema_version``              1
``created``                     time of measurement, ISO 8601 in UTC: ``"2026-01-31T12:00:00Z"``
``created_by``                  program and version, e.g. ``"iris_tf 0.1.0"``
``runtime``                     interpreter and version, e.g. ``"ai-edge-litert 2.3.0"``
``machine.cpu``                 model name of the CPU; on a phone, of the SoC
``machine.cores``               logical cores
``machine.os``                  operating system with its version
``rows``                        one per model, backend and number of threads; not empty
``rows[].model.file``           name of the file, without folders
``rows[].model.sha256``         SHA-256 of the file, 64 lower-case hexadecimal digits
``rows[].model.bytes``          size of the file
``rows[].backend_requested``    e.g. ``"cpu-xnnpack"``; in browsers ``"wasm-xnnpack"``, ``"webgpu"``
                                or ``"webnn"``
``rows[].backend``              actual backend; differs after a fallback, or where a model was
                                divided between two: ``"webgpu+wasm-xnnpack"``
``rows[].threads``              requested threads, at least 1
``rows[].init``                 statistics of creating an interpreter from the file, including
                                allocation of tensors; a new interpreter per sample
``rows[].first``                statistics of the first inference of those interpreters
``rows[].warmup``               statistics of the warm-up inferences; null if none
``rows[].inference``            statistics of the timed inferences, in the same
                                interpreter as the warm-up
==============================  ==========================================================

Optional fields; the Android app writes all of them, the page for browsers what it can know:

==============================  ==========================================================
``machine.device``              manufacturer and model of a phone
``machine.abi``                 ABI of the executed code, e.g. ``"arm64-v8a"``
``machine.android_api``         API level of the system
``machine.memory_bytes``        memory of the device
``rows[].fallback``             why ``backend`` is not ``backend_requested``, one sentence
``rows[].invalid``              why the times must not be used, one sentence
``rows[].memory_bytes``         memory of the process after the last inference
``rows[].conditions_start``     state of the phone before the row: ``thermal`` (degree of
                                throttling: ``"none"``, ``"light"``, ``"moderate"``,
                                ``"severe"``, ``"critical"``, ``"emergency"`` or
                                ``"shutdown"``), ``battery_percent``, ``charging``,
                                ``battery_celsius``; each optional
``rows[].conditions_end``       the same after the row
``failures``                    rows that could not be measured: objects of ``model`` (the
                                file's name), ``backend_requested``, ``threads``, ``reason``
==============================  ==========================================================

Statistics are an object of ``count``, ``avg``, ``min``, ``max``, ``stddev`` (of the
population: divided by ``count``), ``median``, ``p5``, ``p90``, ``p95``, ``p99`` and
``samples``, all individual times in the order of measurement. The percentile p of n
sorted samples x[0..n-1] is interpolated linearly at the position (n - 1) p / 100, the
default of NumPy. An inference is timed from the filled input tensor to the filled
output tensor, excluding the copying of crop and embedding; in browsers, an accelerator's output
counts as filled when it has been copied from there.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from iris_tf.support.errors import BenchmarkError
from iris_tf.support.foreign_files import shown

SCHEMA = "iris_tf.latency"
SCHEMA_VERSION = 1
STATISTICS = ("avg", "min", "max", "stddev", "median", "p5", "p90", "p95", "p99")
_PERCENTILES = {"median": 50, "p5": 5, "p90": 90, "p95": 95, "p99": 99}
_LONGEST_TIME = 1e9  # milliseconds, eleven days; squares of such times are still finite
_TOLERANCE = 1e-4  # relative to the largest sample, because writers may round


def statistics(samples: Sequence[float]) -> dict[str, Any]:
    """Compute the statistics of times, in the format of the schema.

    Parameters
    ----------
    samples : sequence of float
        Times in milliseconds, at least one.
    """
    times = np.asarray(samples, np.float64)
    values = {
        "avg": times.mean(),
        "min": times.min(),
        "max": times.max(),
        "stddev": times.std(),
    } | {
        name: np.percentile(times, percent, method="linear")
        for name, percent in _PERCENTILES.items()
    }
    return {
        "count": len(times),
        **{name: float(value) for name, value in values.items()},
        "samples": times.tolist(),
    }


def validate_result(result: Any) -> None:
    """Check that a result follows the schema of this module.

    Parameters
    ----------
    result : object
        As returned by ``json.load``.

    Raises
    ------
    BenchmarkError
        If a field is missing, of the wrong type or invalid, or a statistic does not
        agree with its samples; names the first such field.
    """
    if not isinstance(result, dict):
        raise _problem("the whole", f"is {result!r:.40}, not an object")
    try:
        json.dumps(result, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold and no file
        raise _problem("the whole", "holds a text that is not Unicode") from None
    if _text(result, "", "schema") != SCHEMA:
        raise _problem("schema", f"is {shown(result['schema'])}, not {SCHEMA!r}")
    if _integer(result, "", "schema_version", 1) != SCHEMA_VERSION:
        raise _problem(
            "schema_version", f"is {shown(result['schema_version'])}, but this program reads 1"
        )
    _check_time(_text(result, "", "created"))
    _text(result, "", "created_by")
    _text(result, "", "runtime")
    machine = _object(result, "", "machine")
    _text(machine, "machine.", "cpu")
    _integer(machine, "machine.", "cores", 1)
    _text(machine, "machine.", "os")
    _check_texts_if_any(machine, "machine.", ("device", "abi"))
    rows = _get(result, "", "rows")
    if not isinstance(rows, list) or not rows:
        raise _problem("rows", "is not a list of at least one row")
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _problem(f"rows[{i}]", f"is {row!r:.40}, not an object")
        _check_row(row, f"rows[{i}].")
    failures = result.get("failures", [])
    if not isinstance(failures, list):
        raise _problem("failures", "is not a list")
    for i, failure in enumerate(failures):
        if not isinstance(failure, dict):
            raise _problem(f"failures[{i}]", f"is {failure!r:.40}, not an object")
        for name in ("model", "backend_requested", "reason"):
            _text(failure, f"failures[{i}].", name)
        _integer(failure, f"failures[{i}].", "threads", 1)


def _check_row(row: dict, where: str) -> None:
    model = _object(row, where, "model")
    file = _text(model, f"{where}model.", "file")
    if "/" in file or "\\" in file:
        raise _problem(f"{where}model.file", f"is {shown(file)}, not a file name without folders")
    digest = _text(model, f"{where}model.", "sha256")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise _problem(f"{where}model.sha256", f"is {shown(digest)}, not 64 hexadecimal digits")
    _integer(model, f"{where}model.", "bytes", 1)
    _text(row, where, "backend_requested")
    _text(row, where, "backend")
    _integer(row, where, "threads", 1)
    for name in ("init", "first", "warmup", "inference"):
        if name == "warmup" and _get(row, where, name) is None:
            continue
        _check_statistics(_object(row, where, name), f"{where}{name}.")
    _check_texts_if_any(row, where, ("fallback", "invalid"))
    for name in ("conditions_start", "conditions_end"):
        if row.get(name) is not None:
            conditions = _object(row, where, name)
            _check_texts_if_any(conditions, f"{where}{name}.", ("thermal",))


def _check_texts_if_any(parent: dict, where: str, names: tuple[str, ...]) -> None:
    for name in names:
        if parent.get(name) is not None:
            _text(parent, where, name)


def _check_statistics(found: dict, where: str) -> None:
    count = _integer(found, where, "count", 1)
    samples = _get(found, where, "samples")
    if not isinstance(samples, list) or not samples or not all(map(_is_time, samples)):
        raise _problem(f"{where}samples", "is not a list of times in milliseconds")
    if len(samples) != count:
        raise _problem(f"{where}count", f"is {shown(count)}, but there are {len(samples)} samples")
    expected = statistics(samples)
    for name in STATISTICS:
        value = _get(found, where, name)
        if not _is_time(value):
            raise _problem(f"{where}{name}", f"is {value!r:.40}, not a time in milliseconds")
        if abs(value - expected[name]) > _TOLERANCE * expected["max"]:
            raise _problem(
                f"{where}{name}", f"is {shown(value)}, but the samples give {expected[name]:.6g}"
            )


def _check_time(created: str) -> None:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        moment = None
    offset = None if moment is None else moment.utcoffset()
    if offset is None or offset.total_seconds():
        raise _problem("created", f"is {shown(created)}, not a time like '2026-01-31T12:00:00Z'")


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= _LONGEST_TIME


def _get(parent: dict, where: str, name: str) -> Any:
    if name not in parent:
        raise _problem(f"{where}{name}", "is missing")
    return parent[name]


def _object(parent: dict, where: str, name: str) -> dict:
    value = _get(parent, where, name)
    if not isinstance(value, dict):
        raise _problem(f"{where}{name}", f"is {value!r:.40}, not an object")
    return value


def _text(parent: dict, where: str, name: str) -> str:
    value = _get(parent, where, name)
    if not isinstance(value, str) or not value:
        raise _problem(f"{where}{name}", f"is {value!r:.40}, not a text")
    return value


def _integer(parent: dict, where: str, name: str, least: int) -> int:
    value = _get(parent, where, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise _problem(f"{where}{name}", f"is {value!r:.40}, not a whole number from {least} on")
    return value


def _problem(field: str, what: str) -> BenchmarkError:
    return BenchmarkError(
        f"Latency result: {field} {what}; measure again, or correct the program that wrote it "
        "(the fields are described in iris_tf/benchmark/schema.py)."
    )
