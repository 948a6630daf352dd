"""Many like pieces of work over processes, the same way for drawing and for cropping eyes."""

import contextlib
import itertools
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import joblib

from iris_tf.support.errors import DatasetError

# Calls handed to joblib at a time, per process: results that nobody has taken
# yet cannot pile up, and waiting for the last of a round costs under 1 %.
_ROUND = 256


def check_jobs(jobs: int, scheduler: str | None = None) -> None:
    """Refuse a number of processes that is neither -1, for one a core, nor at least 1.

    Parameters
    ----------
    jobs : int
    scheduler : str, optional
        Address of a cluster, whose workers there are as many of as it has.

    Raises
    ------
    DatasetError
    """
    if jobs < 1 and jobs != -1:
        raise DatasetError(f"jobs is {jobs}; choose 1 or more, or -1 for one a core.")
    if scheduler is not None and jobs != -1:
        raise DatasetError(
            f"jobs is {jobs}, but the workers of {scheduler} do the work; leave jobs out."
        )


def run_in_processes(
    calls: Iterable, jobs: int, out: Path, scheduler: str | None = None
) -> Iterator[Any]:
    """Run delayed calls in `jobs` processes, or on a cluster, and yield their results in order.

    Parameters
    ----------
    calls : iterable
        Of ``joblib.delayed(function)(...)``.
    jobs : int
        See `check_jobs`.
    out : Path
        Folder that the calls write to, for the error message.
    scheduler : str, optional
        Address ``tcp://host:port`` of a ``dask.distributed`` scheduler, whose
        workers do the work instead of processes of this machine.

    Yields
    ------
    object
        A call's result.

    Raises
    ------
    DatasetError
        When a process is killed, or the cluster cannot be reached or is lost.
        What a call itself raises comes through as it is.
    """
    if scheduler is not None:
        # Imported when asked for: dask is an extra.
        from iris_tf.support.cluster import cluster_backend

        with cluster_backend(scheduler, out) as backend:
            parallel = joblib.Parallel(-1, backend, return_as="generator")
            yield from _in_rounds(parallel, calls, backend.effective_n_jobs(-1))
        return
    # No backend is named, so that `joblib.parallel_config` can choose one.
    try:
        parallel = joblib.Parallel(jobs, return_as="generator")
        yield from _in_rounds(parallel, calls, joblib.effective_n_jobs(jobs))
    except BrokenProcessPool:
        raise DatasetError(
            f"{out}: a worker process was killed, often for want of memory; "
            "run again to go on, with fewer jobs."
        ) from None


def _in_rounds(parallel: joblib.Parallel, calls: Iterable, processes: int) -> Iterator[Any]:
    calls = iter(calls)
    while some := list(itertools.islice(calls, _ROUND * processes)):
        yield from parallel(some)


_opencv_lock = threading.Lock()
_opencv_blocks, _opencv_threads = 0, 0  # blocks being run, and threads before the first


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV to one thread for the length of a block, and of others at the same time.

    One process a core is parallel enough, and one thread sums in one order.
    """
    # A worker of a cluster may run several blocks at once, and OpenCV's number is for all.
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
