"""Evaluate models and write the results: metrics, saliency maps, scores and the report."""

from collections.abc import Mapping
from dataclasses import replace
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
from iris_tf.evaluation.evaluation_result import EvaluationResult, Latency
from iris_tf.evaluation.saliency import MAPS_NAME, write_maps
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.report.model_report import write_model_report
from iris_tf.support.files import atomic_path, check_writable, write_json


def evaluate_and_report(
    request: EvaluationRequest,
    out: str | Path,
    scores: str | Path | None = None,
    latency_runs: int = 0,
) -> EvaluationResult:
    """Evaluate models and write ``metrics.json``, ``report.html`` and ``occlusion.npz``.

    Parameters
    ----------
    request : EvaluationRequest
        What to evaluate.
    out : str or Path
        Folder of these files; created if missing. There is no report without the
        ``dataset.json`` beside each manifest, and no ``occlusion.npz`` unless maps are requested.
    scores : str or Path, optional
        ``.npz`` file to write: ``models`` (names), and for model number i, from 0,
        ``levels_i`` (distinct scores, rising), ``genuine_i`` and ``impostor_i`` (number of
        comparisons with each).
    latency_runs : int, optional
        Timed inferences of each ``.tflite`` file on one thread; 0 for no timing.

    Returns
    -------
    EvaluationResult
        The content of ``metrics.json``, including the latency of each model that was timed.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        If a model, a manifest, a list or a crop cannot be used.
    BenchmarkError
        If there are too few runs to time.
    OSError
        If `out` or `scores` cannot be written; raised before any work.
    """
    check_writable(out, folder=True)
    if scores is not None:
        check_writable(scores)
    out = Path(out)
    inputs = read_inputs(request)
    latencies = _latencies(inputs, latency_runs)
    found = evaluate_models(inputs)
    result = _with_latencies(found.result, latencies)
    if scores is not None:
        _write_scores(Path(scores), found.scores)
    write_json(out / "metrics.json", result.to_json())
    if found.occlusion:
        write_maps(out / MAPS_NAME, found.occlusion)
    else:  # those of an earlier evaluation are of other models or images
        (out / MAPS_NAME).unlink(missing_ok=True)
    write_model_report(out / "report.html", result, inputs.sets, found.occlusion)
    return result


def _latencies(inputs: EvaluationInputs, runs: int) -> dict[str, Latency]:
    files = {model.name: model.embedder.path for model in inputs.models}
    return {
        name: _single_thread_latency(path, runs)
        for name, path in files.items()
        if runs and path.suffix == ".tflite"
    }


def _single_thread_latency(path: Path, runs: int) -> Latency:
    timed = measure_latency(path, threads=(1,), runs=runs)
    (row,) = timed["rows"]
    times = row["inference"]
    return Latency(times["median"], times["p95"], times["count"], row["threads"], timed["runtime"])


def _with_latencies(result: EvaluationResult, latencies: Mapping[str, Latency]) -> EvaluationResult:
    models = [
        replace(found, model=replace(found.model, latency=latencies.get(found.model.name)))
        for found in result.models
    ]
    return replace(result, models=models)


def _write_scores(path: Path, scores: Mapping[str, ScoreCounts]) -> None:
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")  # as NumPy does, which would miss the rename
    arrays: dict[str, Any] = {"models": np.array(list(scores))}
    for i, counts in enumerate(scores.values()):
        for name in ("levels", "genuine", "impostor"):
            arrays[f"{name}_{i}"] = getattr(counts, name)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
