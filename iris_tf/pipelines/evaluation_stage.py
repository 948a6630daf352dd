"""Evaluate models and write what was found: metrics, saliency maps, scores and the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.benchmark.latency import measure_latency
from iris_tf.evaluation.evaluate_model import (
    EvaluationInputs,
    EvaluationRequest,
    evaluate_models,
    read_inputs,
)
from iris_tf.evaluation.saliency import MAPS_NAME, write_maps
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.report.model_report import write_model_report
from iris_tf.support.files import atomic_path, check_writable, write_json


def evaluate_and_report(
    request: EvaluationRequest,
    out: str | Path,
    scores: str | Path | None = None,
    latency_runs: int = 0,
) -> dict[str, Any]:
    """Evaluate models and write ``metrics.json``, ``report.html`` and ``occlusion.npz``.

    Parameters
    ----------
    request : EvaluationRequest
        What to evaluate.
    out : str or Path
        Folder of these files; created when missing. There is no report on a manifest
        without its ``dataset.json``, and no ``occlusion.npz`` where no map was asked for.
    scores : str or Path, optional
        ``.npz`` file to write: ``models`` (names), and for the model number i, from 0,
        ``levels_i`` (distinct scores, rising), ``genuine_i`` and ``impostor_i`` (number of
        comparisons with each).
    latency_runs : int, optional
        Timed inferences of each ``.tflite`` file on one thread; 0 for no timing.

    Returns
    -------
    dict
        The content of ``metrics.json``: ``result`` of `EvaluationOutcome`, and of each model
        ``latency``: median and p95 in milliseconds, runs, threads, runtime; None where it was
        not timed.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        When model, manifest, a list or a crop cannot be used.
    BenchmarkError
        When there are too few runs to time.
    OSError
        Before the work, where `out` or `scores` cannot be written.
    """
    check_writable(out, folder=True)
    if scores is not None:
        check_writable(scores)
    out = Path(out)
    inputs = read_inputs(request)
    latencies = _latencies(inputs, latency_runs)
    found = evaluate_models(inputs)
    result = found.result
    for entry in (result, *result["others"]):
        entry["model"]["latency"] = latencies.get(entry["model"]["name"])
    if scores is not None:
        _write_scores(Path(scores), found.scores)
    write_json(out / "metrics.json", result)
    if found.occlusion:
        write_maps(out / MAPS_NAME, found.occlusion)
    else:  # an earlier evaluation's are of other models or images
        (out / MAPS_NAME).unlink(missing_ok=True)
    write_model_report(out / "report.html", result, inputs.sets, found.occlusion)
    return result


def _latencies(inputs: EvaluationInputs, runs: int) -> dict[str, dict[str, Any]]:
    files = {model.name: model.embedder.path for model in inputs.models}
    return {
        name: _single_thread(measure_latency(path, threads=(1,), runs=runs))
        for name, path in files.items()
        if runs and path.suffix == ".tflite"
    }


def _single_thread(timed: Mapping[str, Any]) -> dict[str, Any]:
    (row,) = timed["rows"]
    return {
        "median": row["inference"]["median"],
        "p95": row["inference"]["p95"],
        "runs": row["inference"]["count"],
        "threads": row["threads"],
        "runtime": timed["runtime"],
    }


def _write_scores(path: Path, scores: Mapping[str, ScoreCounts]) -> None:
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")  # as NumPy does, which would miss the rename
    arrays: dict[str, Any] = {"models": np.array(list(scores))}
    for i, counts in enumerate(scores.values()):
        for name in ("levels", "genuine", "impostor"):
            arrays[f"{name}_{i}"] = getattr(counts, name)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
