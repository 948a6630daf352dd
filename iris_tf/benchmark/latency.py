"""Latency of one embedding on this machine, with LiteRT on the CPU."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from iris_tf.benchmark.schema import SCHEMA, SCHEMA_VERSION, statistics
from iris_tf.support.errors import BenchmarkError
from iris_tf.support.files import sha256
from iris_tf.support.machine import machine_description, package_version
from iris_tf.support.quiet import quiet
from iris_tf.support.version import __version__
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

MIN_RUNS = 50  # the p95 of fewer runs would depend on one or two samples
BACKEND = "cpu-xnnpack"  # LiteRT's default on all supported CPUs
_INITIALISATIONS = 5


def measure_latency(
    model_path: str | os.PathLike,
    threads: Sequence[int] = (1, 2),
    runs: int = 100,
    warmup: int = 10,
) -> dict[str, Any]:
    """Time initialisation and inference of a model for each number of threads.

    The input is a noise image. Nothing else should run on the machine.

    Parameters
    ----------
    model_path : path
        A ``.tflite`` file from `iris_tf.exporting`.
    threads : sequence of int, optional
        Numbers of threads to request from LiteRT, each at least 1.
    runs : int, optional
        Timed inferences, at least 50.
    warmup : int, optional
        Warm-up inferences before them.

    Returns
    -------
    dict
        JSON values in the format of `iris_tf.benchmark.schema`, with one row per entry
        of `threads`; e.g. ``result["rows"][0]["inference"]["median"]`` in milliseconds.

    Raises
    ------
    ModelError
        If the file is missing or is not a model of this project.
    BenchmarkError
        If `threads`, `runs` or `warmup` are invalid.
    """
    if runs < MIN_RUNS:
        raise BenchmarkError(f"runs is {runs}; at least {MIN_RUNS} are needed for percentiles.")
    if warmup < 0:
        raise BenchmarkError(f"warmup is {warmup}; give 0 or more.")
    if not threads or min(threads) < 1:
        raise BenchmarkError(f"threads is {list(threads)}; give one number or more, from 1 on.")
    path = Path(model_path)
    embedder = TFLiteEmbedder(path)
    shape = (1, *embedder.input_size, embedder.channels)
    crop = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    model = {"file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}
    rows = [
        {
            "model": model,
            "backend_requested": BACKEND,
            "backend": BACKEND,
            "threads": count,
            **_time_starts(path, count, crop),
            **_time_inferences(path, count, crop, runs, warmup),
        }
        for count in threads
    ]
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "created_by": f"iris_tf {__version__}",
        "runtime": f"ai-edge-litert {package_version('ai-edge-litert')}",
        "machine": machine_description(),
        "rows": rows,
    }


def _milliseconds_since(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1e6


def _start(path: Path, threads: int) -> Interpreter:
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter


def _time_starts(path: Path, threads: int, crop: np.ndarray) -> dict[str, Any]:
    init, first = [], []
    for _ in range(_INITIALISATIONS):
        with quiet(2):
            start = time.perf_counter_ns()
            interpreter = _start(path, threads)
            init.append(_milliseconds_since(start))
        first.append(_time_inference(interpreter, crop))
    return {"init": statistics(init), "first": statistics(first)}


def _time_inferences(
    path: Path, threads: int, crop: np.ndarray, runs: int, warmup: int
) -> dict[str, Any]:
    with quiet(2):
        interpreter = _start(path, threads)
    warm = [_time_inference(interpreter, crop) for _ in range(warmup)]
    samples = [_time_inference(interpreter, crop) for _ in range(runs)]
    return {"warmup": statistics(warm) if warm else None, "inference": statistics(samples)}


def _time_inference(interpreter: Interpreter, crop: np.ndarray) -> float:
    # Set the input each time: the interpreter may reuse its memory for other tensors.
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crop)
    start = time.perf_counter_ns()
    interpreter.invoke()
    return _milliseconds_since(start)
