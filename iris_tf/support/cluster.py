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

CONNECT_SECONDS = 5.0  # a scheduler that does not answer by then is not there
_WORKERS_SECONDS = 30.0  # that workers may take to start


@contextlib.contextmanager
def cluster_backend(scheduler: str, out: Path) -> Iterator[ParallelBackendBase]:
    """Connect to a cluster for the length of a block.

    Parameters
    ----------
    scheduler : str
        Address, ``tcp://host:port``.
    out : Path
        Folder that the work goes to, for error messages.

    Yields
    ------
    ParallelBackendBase
        To be given to `joblib.Parallel`.

    Raises
    ------
    DatasetError
        When no scheduler answers, it has no workers, a worker is killed over
        and over, or the cluster goes away.
    """
    with _connected(scheduler) as client:
        try:
            yield _ClusterBackend(client)
        except KilledWorker:
            raise DatasetError(
                f"{out}: workers of {scheduler} were killed over and over at the same piece of "
                "work, often for want of memory; give them more, and run again to go on."
            ) from None
        except (
            CommClosedError,
            asyncio.CancelledError,
            concurrent.futures.CancelledError,
        ):
            raise DatasetError(
                f"{out}: the connection to the cluster {scheduler} was lost; "
                "start it again, and run again to go on."
            ) from None
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "iris_tf":
                raise
            raise DatasetError(
                f"{scheduler}: its workers cannot import iris_tf ({error.name}); install this "
                "version of the package on all machines of the cluster."
            ) from None


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    try:
        # Asked for first, because a half-made Client, when it is collected while
        # another one starts, waits for a lock for ever.
        place = urlsplit(scheduler)
        if place.scheme != "inproc":  # a cluster of this very process
            if not place.hostname or not place.port:
                raise ValueError("it is not of the form tcp://host:port")
            socket.create_connection((place.hostname, place.port), CONNECT_SECONDS).close()
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise DatasetError(
            f"{scheduler}: no scheduler answers at this address ({first_line(error)}); start "
            "one with `dask scheduler`, and give the tcp://host:port that it prints."
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
    """joblib on dask.distributed.

    joblib has a backend of that kind, but one that waits for ever for a piece
    of work that never ends because workers were killed or the scheduler is gone.
    """

    supports_retrieve_callback = True

    def __init__(self, client: Client):
        super().__init__()
        self._client = client

    def effective_n_jobs(self, n_jobs: int) -> int:
        # joblib would do the work itself if it heard of one job.
        return max(sum(self._client.ncores().values()), 2)

    def submit(self, func: Callable, callback: Callable[[Future], Any] | None = None) -> Future:
        future = self._client.submit(func, pure=False)
        future.add_done_callback(callback)
        return future

    apply_async = submit  # its name before joblib 1.5

    def retrieve_result_callback(self, out: Future) -> Any:
        return out.result()
