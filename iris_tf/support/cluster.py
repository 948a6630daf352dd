"""Parallel work on the workers of a dask.distributed cluster, through joblib."""

import asyncio
import concurrent.futures
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joblib.parallel import ParallelBackendBase

from iris_tf.support.errors import DatasetError, first_line

try:
    from distributed import Client, Future
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker
except ModuleNotFoundError as error:
    if error.name != "distributed":
        raise
    raise DatasetError(
        "A scheduler needs dask.distributed, which is not installed; install the package with "
        "the extra dask: iris_tf[dask]."
    ) from None

CONNECT_SECONDS = 5.0  # time limit for reaching the scheduler
_WORKERS_SECONDS = 30.0  # time limit for the first worker to register


@contextlib.contextmanager
def cluster_backend(scheduler: str, out: Path) -> Iterator[ParallelBackendBase]:
    """Connect to a dask.distributed cluster for the duration of a ``with`` block.

    Parameters
    ----------
    scheduler : str
        Address of the scheduler, ``tcp://host:port``.
    out : Path
        Output folder of the work, named in error messages.

    Yields
    ------
    ParallelBackendBase
        Backend to pass to `joblib.Parallel`.

    Raises
    ------
    DatasetError
        If no scheduler answers, if it has no workers or workers without this package, if workers
        are killed repeatedly on the same task, or if the connection is lost.
    """
    with _connected(scheduler) as client:
        try:
            yield _ClusterBackend(client)
        except KilledWorker:
            raise DatasetError(
                f"{out}: workers of {scheduler} were killed repeatedly on the same task, often for "
                "lack of memory; give them more memory and run the command again to resume."
            ) from None
        except (
            CommClosedError,
            asyncio.CancelledError,
            concurrent.futures.CancelledError,
        ):
            raise DatasetError(
                f"{out}: the connection to the cluster {scheduler} was lost; "
                "restart the cluster and run the command again to resume."
            ) from None
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "iris_tf":
                raise
            raise DatasetError(
                f"{scheduler}: the workers cannot import iris_tf ({error.name}); install this "
                "version of the package on all machines of the cluster."
            ) from None


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    try:
        # Probe the address first: a Client whose connection failed deadlocks if it is garbage
        # collected while another one starts.
        address = urlsplit(scheduler)
        if address.scheme != "inproc":  # a cluster within this process
            if not address.hostname or not address.port:
                raise ValueError("not of the form tcp://host:port")
            socket.create_connection((address.hostname, address.port), CONNECT_SECONDS).close()
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise DatasetError(
            f"{scheduler}: no scheduler answers at this address ({first_line(error)}); start "
            "one with `dask scheduler` and pass the tcp://host:port that it prints."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_SECONDS)
        except TimeoutError:
            raise DatasetError(
                f"{scheduler}: this scheduler has no workers; start some with "
                f"`dask worker {scheduler}`."
            ) from None
        yield client


class _ClusterBackend(ParallelBackendBase):
    """joblib backend on dask.distributed.

    joblib's own dask backend waits forever for tasks whose workers were killed or whose
    scheduler is gone; here the task's exception is raised.
    """

    supports_retrieve_callback = True

    def __init__(self, client: Client):
        super().__init__()
        self._client = client

    def effective_n_jobs(self, n_jobs: int) -> int:
        # Given a single job, joblib would run the calls in this process.
        return max(sum(self._client.ncores().values()), 2)

    def submit(self, func: Callable, callback: Callable[[Future], Any] | None = None) -> Future:
        future = self._client.submit(func, pure=False)
        future.add_done_callback(callback)
        return future

    apply_async = submit  # the name of `submit` before joblib 1.5

    def retrieve_result_callback(self, out: Future) -> Any:
        return out.result()
