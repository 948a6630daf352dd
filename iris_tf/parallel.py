"""Many like pieces of work over processes, the same way for drawing and for cropping eyes."""

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import joblib

from iris_tf.errors import DatasetError


def check_jobs(jobs: int) -> None:
    """Refuse a number of processes that is neither -1, for one a core, nor at least 1.

    Raises
    ------
    DatasetError
    """
    if jobs < 1 and jobs != -1:
        raise DatasetError(f"jobs is {jobs}; choose 1 or more, or -1 for one a core.")


def run_in_processes(calls: Iterable, jobs: int, out: Path) -> Iterator[Any]:
    """Run delayed calls in `jobs` processes and yield what they return, in order.

    Parameters
    ----------
    calls : iterable
        Of ``joblib.delayed(function)(...)``.
    jobs : int
        See `check_jobs`.
    out : Path
        Folder that the calls write to, for the error message.

    Yields
    ------
    object
        A call's result.

    Raises
    ------
    DatasetError
        When a process is killed. What a call itself raises comes through as it is.
    """
    # No backend is named, so that `joblib.parallel_config` can send the work to a cluster.
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator")
    try:
        yield from parallel(calls)
    except BrokenProcessPool:
        raise DatasetError(
            f"{out}: a worker process was killed, often for want of memory; "
            "run again to go on, with fewer jobs."
        ) from None


@contextlib.contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV to one thread for the length of a block.

    One process a core is parallel enough, and one thread sums in one order.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
