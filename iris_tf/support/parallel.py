"""Parallel execution of many independent calls, in processes or on a cluster."""

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import joblib

from iris_tf.support.errors import DatasetError

# Calls per process that joblib is given at a time. Rounds bound the number of results that wait
# to be consumed; idling at the end of a round costs less than 1 % of the time.
_CALLS_PER_ROUND = 256
_PARENT_CHECK_SECONDS = 1.0


def check_jobs(jobs: int, scheduler: str | None = None) -> None:
    """Validate a number of processes.

    Parameters
    ----------
    jobs : int
        At least 1, or -1 for one process per core.
    scheduler : str, optional
        Address of a cluster. The number of its workers is fixed, so `jobs` must be -1.

    Raises
    ------
    DatasetError
        If `jobs` is invalid, or is given together with a scheduler.
    """
    if type(jobs) is not int or (jobs < 1 and jobs != -1):
        raise DatasetError(f"jobs is {jobs}; choose 1 or more, or -1 for one process per core.")
    if scheduler is not None and jobs != -1:
        raise DatasetError(
            f"jobs is {jobs}, but the workers of {scheduler} do the work; leave jobs out."
        )


def run_in_processes(
    calls: Iterable, jobs: int, out: Path, scheduler: str | None = None
) -> Iterator[Any]:
    """Run delayed calls in processes or on a cluster, and yield their results in order.

    Exceptions that a call raises are passed on unchanged.

    Parameters
    ----------
    calls : iterable
        Results of ``joblib.delayed(function)(...)``; consumed lazily.
    jobs : int
        Number of processes; see `check_jobs`.
    out : Path
        Output folder of the calls, named in error messages.
    scheduler : str, optional
        Address ``tcp://host:port`` of a ``dask.distributed`` scheduler, whose workers are used
        instead of processes of this machine.

    Yields
    ------
    object
        The result of the next call.

    Raises
    ------
    DatasetError
        If a process is killed, or the cluster cannot be reached or is lost.
    """
    if scheduler is not None:
        # A local import, because dask is an optional dependency.
        from iris_tf.support.cluster import cluster_backend

        with cluster_backend(scheduler, out) as backend:
            parallel = joblib.Parallel(-1, backend, return_as="generator")
            yield from _in_rounds(parallel, calls, backend.effective_n_jobs(-1))
        return
    # No backend is named, so that callers can choose one with `joblib.parallel_config`.
    try:
        parallel = joblib.Parallel(
            jobs, return_as="generator", initializer=_end_with_parent, initargs=(os.getpid(),)
        )
        yield from _in_rounds(parallel, calls, joblib.effective_n_jobs(jobs))
    except BrokenProcessPool:
        raise DatasetError(
            f"{out}: a worker process was killed, often for lack of memory; "
            "run the command again to resume, with fewer jobs."
        ) from None


def _in_rounds(parallel: joblib.Parallel, calls: Iterable, processes: int) -> Iterator[Any]:
    calls = iter(calls)
    while batch := list(itertools.islice(calls, _CALLS_PER_ROUND * processes)):
        yield from parallel(batch)


def _end_with_parent(parent: int) -> None:
    """Let this worker process end soon after its parent.

    Joblib's workers outlive a killed parent by minutes, write on, and keep its pipes open.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_opencv_lock = threading.Lock()
_opencv_blocks, _opencv_threads = 0, 0  # active blocks; number of threads before the first


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Limit OpenCV to one thread while at least one such ``with`` block is active.

    Work is already spread over one process per core, and a single thread adds up floating-point
    numbers in a fixed order, so results are reproducible.
    """
    # OpenCV's setting is global, and a cluster worker may run several blocks in its threads.
    global _opencv_blocks, _opencv_threads
    with _opencv_lock:
        if _opencv_blocks == 0:
            _opencv_threads = cv2.getNumThreads()
            cv2.setNumThreads(1)
        _opencv_blocks += 1
    try:
        yield
    finally:
        with _opencv_lock:
            _opencv_blocks -= 1
            if _opencv_blocks == 0:
                cv2.setNumThreads(_opencv_threads)
