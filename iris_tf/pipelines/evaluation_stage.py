"""Evaluate models and write the results: metrics, saliency maps, scores and the report."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.benchmark.latency import measure_latency
from iris_tf.config.names import ALL_PAIRS
from iris_tf.evaluation.evaluate_model import (
    EvaluationInputs,
    EvaluationOutcome,
    EvaluationRequest,
    evaluate_models,
    read_inputs,
)
from iris_tf.evaluation.evaluation_result import EvaluationResult, Latency
from iris_tf.evaluation.saliency import MAPS_NAME, OcclusionMap, write_maps
from iris_tf.metrics.counts import ScoreCounts
from iris_tf.metrics.evaluate_embeddings import RESAMPLES
from iris_tf.report.model_report import write_model_report
from iris_tf.support.errors import ArgumentError, OutputError
from iris_tf.support.files import atomic_path, check_writable, path_given, write_json
from iris_tf.support.foreign_files import shown
from iris_tf.support.own_files import check_replaceable

METRICS_NAME = "metrics.json"
REPORT_NAME = "report.html"


def evaluate(
    models: str | Path | Sequence[str | Path],
    manifests: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    split: str = "test",
    protocol: str = ALL_PAIRS,
    resamples: int = RESAMPLES,
    by_similarity: bool = False,
) -> EvaluationResult:
    """Evaluate models on prepared datasets: `iris-tf evaluate` without its rarer options.

    Those (pair lists, baselines, saliency maps, timing) are in `evaluate_and_report`.

    Parameters
    ----------
    models : str, Path, or a sequence of these
        ``.tflite`` or ``.keras`` files, or run folders. The others are compared with the first.
    manifests : str, Path, or a sequence of these
        ``manifest.csv`` of prepared datasets; several are evaluated together.
    out : str or Path, optional
        Folder for ``metrics.json`` and ``report.html``; None writes nothing.
    split : {"train", "val", "test", "all"}
        Which rows to compare.
    protocol : {"all-pairs", "same-eye", "across-datasets"}
        Which comparisons to make, see `iris_tf.evaluation.protocols`.
    resamples : int
        Resamples of the bootstrap over subjects; 0 for no confidence intervals.
    by_similarity : bool
        Whether to compare by similarity also where a model's card has scores.

    Returns
    -------
    EvaluationResult
        ``result.first.metrics`` has the figures of the first model.

    Raises
    ------
    ModelError, DatasetError, EvaluationError, OutputError
        See `evaluate_and_report`.
    ArgumentError
        Without a model or manifest.

    Examples
    --------
    >>> from iris_tf import evaluate
    >>> result = evaluate("mine_float16.tflite", "data/mine/manifest.csv")  # doctest: +SKIP
    >>> print(result.first.metrics.eer)  # doctest: +SKIP
    """
    request = EvaluationRequest(
        _several(models, "models"),
        _several(manifests, "manifests"),
        split,
        protocol=protocol,
        resamples=resamples,
        by_similarity=by_similarity,
    )
    return evaluate_and_report(request, out)


def _several(paths: str | Path | Sequence[str | Path], what: str) -> Sequence[str | Path]:
    if isinstance(paths, str | os.PathLike):
        return [path_given(paths, what)]
    if not isinstance(paths, Sequence) or not paths:
        raise ArgumentError(
            f"{what} is {shown(paths)}; give a path, or a sequence of at least one."
        )
    return [path_given(path, f"One of {what}") for path in paths]


def evaluate_and_report(
    request: EvaluationRequest,
    out: str | Path | None,
    scores: str | Path | None = None,
    latency_runs: int = 0,
) -> EvaluationResult:
    """Evaluate models and write ``metrics.json``, ``report.html`` and ``occlusion.npz``.

    Parameters
    ----------
    request : EvaluationRequest
        Models and images to evaluate.
    out : str or Path or None
        Output folder; created if missing. None writes none of these files. The report is only
        written if each manifest has a ``dataset.json`` beside it, and ``occlusion.npz`` only if
        saliency maps are requested.
    scores : str or Path, optional
        ``.npz`` file to write: ``models`` (names), and for model i, from 0, ``levels_i``
        (distinct scores, ascending), ``genuine_i`` and ``impostor_i`` (number of comparisons
        with each score).
    latency_runs : int, optional
        Timed inferences of each ``.tflite`` file on one thread; 0 for no timing.

    Returns
    -------
    EvaluationResult
        Content of ``metrics.json``, including the latency of each timed model.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        If a model, a manifest, a list or a crop cannot be used.
    BenchmarkError
        If there are too few runs to time.
    OutputError
        If `out` or `scores` would overwrite what no evaluation has written; raised before any
        work, as is OSError if they cannot be written.
    """
    return evaluate_and_write(request, out, scores, latency_runs).result


def evaluate_and_write(
    request: EvaluationRequest,
    out: str | Path | None,
    scores: str | Path | None = None,
    latency_runs: int = 0,
) -> EvaluationOutcome:
    """As `evaluate_and_report`, with the scores and resamples that the figures come from."""
    if out is not None:
        check_writable(out, folder=True)
        _check_folder(Path(out))
    if scores is not None:
        scores = _npz_path(Path(scores))
        check_writable(scores)
        check_replaceable(scores, ["models", "levels_0"])
    inputs = read_inputs(request)
    latencies = _latencies(inputs, latency_runs)
    found = evaluate_models(inputs)
    found = replace(found, result=_with_latencies(found.result, latencies))
    if scores is not None:
        counts = {name: one.comparisons.counts for name, one in found.evaluations.items()}
        _write_scores(scores, counts)
    if out is not None:
        _write(Path(out), found.result, inputs, found.occlusion)
    return found


def _write(
    out: Path,
    result: EvaluationResult,
    inputs: EvaluationInputs,
    occlusion: dict[str, list[OcclusionMap]],
) -> None:
    write_json(out / METRICS_NAME, result.to_json())
    if occlusion:
        write_maps(out / MAPS_NAME, occlusion)
    else:  # maps of an earlier evaluation may be of other models or images
        (out / MAPS_NAME).unlink(missing_ok=True)
    if not write_model_report(out / REPORT_NAME, result, inputs.sets, occlusion):
        (out / REPORT_NAME).unlink(missing_ok=True)  # that of an earlier evaluation


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


def _check_folder(out: Path) -> None:
    """Refuse a folder with a report or maps that no evaluation has written."""
    metrics = out / METRICS_NAME
    check_replaceable(metrics, ["evaluation", "model"])
    for name in (REPORT_NAME, MAPS_NAME):
        # An evaluation writes its metrics first.
        if (out / name).exists() and not metrics.exists():
            raise OutputError(
                f"{out / name}: is not an evaluation's, so it is not overwritten; choose another "
                "folder."
            )


def _npz_path(path: Path) -> Path:
    # NumPy appends the suffix, too, which would break the rename of the temporary file.
    return path if path.suffix == ".npz" else path.with_name(path.name + ".npz")


def _write_scores(path: Path, scores: Mapping[str, ScoreCounts]) -> None:
    arrays: dict[str, Any] = {"models": np.array(list(scores))}
    for i, counts in enumerate(scores.values()):
        for name in ("levels", "genuine", "impostor"):
            arrays[f"{name}_{i}"] = getattr(counts, name)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
