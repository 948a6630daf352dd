"""Parallel work on the workers of a dask.distributed cluster, through joblib."""

import asyncio
import concurrent.futures
import contextlib
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
_CHECK_SECONDS = 1.0  # between looks at which machines still have workers
_CHECKS = 10  # until a machine without workers is given up
_AGAIN = "run the command again"


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
    with _connected(scheduler) as client, _explained(scheduler, str(out), "to resume"):
        yield _ClusterBackend(client)


@contextlib.contextmanager
def open_cluster(scheduler: str, work: str) -> Iterator["Cluster"]:
    """Connect to a cluster whose machines have files of their own, for a ``with`` block.

    Parameters
    ----------
    scheduler : str
        Address of the scheduler, ``tcp://host:port``.
    work : str
        What is done on it, for messages, such as ``"The search"``.

    Raises
    ------
    DatasetError
        If no scheduler answers, or it has no workers.
    """
    with _connected(scheduler) as client:
        yield Cluster(client, scheduler, work)


class Cluster:
    """Calls functions on the machines of a cluster that have what they need.

    Machines are known by the host in the address of their workers, so a worker that was restarted
    takes the place of the one before. Made by `open_cluster`.
    """

    def __init__(self, client: Client, scheduler: str, work: str):
        self._client, self._scheduler, self._work = client, scheduler, work

    def everywhere(self, function: Callable, *arguments: Any) -> list[tuple[str, Any]]:
        """Call a function on every worker.

        Returns
        -------
        list of (host, result)
            One of each worker.

        Raises
        ------
        DatasetError
            If a worker or the connection is lost, or workers lack this package.
        """
        with self._explained():
            try:
                results = self._client.run(function, *arguments)
            except CommClosedError:
                raise
            except OSError as error:
                raise DatasetError(
                    f"{self._work}: a worker of {self._scheduler} gave no answer "
                    f"({first_line(error)}); {_AGAIN}."
                ) from None
        return [(_host(address), result) for address, result in results.items()]

    def on_hosts(self, calls: Sequence[tuple[Collection[str], tuple]]) -> list[Any]:
        """Call functions at once, each on some worker of some hosts.

        Parameters
        ----------
        calls : sequence of (hosts, call)
            A call is a function and its arguments. If the worker that runs it is killed, another
            one of these hosts does.

        Returns
        -------
        list
            The result of each call. What a call raises is passed on unchanged.

        Raises
        ------
        DatasetError
            If the hosts of a call have no more workers, workers are killed repeatedly by the same
            call, or the connection is lost.
        """
        with self._explained():
            futures = {
                self._client.submit(*call, workers=list(hosts), pure=False): hosts
                for hosts, call in calls
            }
            try:
                self._require_workers(futures)
                return [future.result() for future in futures]
            except BaseException:
                self._client.cancel(list(futures))
                raise

    def _require_workers(self, futures: Mapping[Future, Collection[str]]) -> None:
        """Wait until all calls have ended, or until one can no longer do so."""
        missed = 0
        while unfinished := [future for future in futures if not future.done()]:
            with contextlib.suppress(TimeoutError):
                unfinished[0].result(timeout=_CHECK_SECONDS)
                continue
            present = {_host(address) for address in self._client.ncores()}
            lost = {
                host
                for future in unfinished
                if not (future.done() or present.intersection(futures[future]))
                for host in futures[future]
            }
            missed = missed + 1 if lost else 0
            if missed > _CHECKS:  # it is not just restarting
                raise DatasetError(
                    f"{self._work} is not complete: {self._scheduler} has no more workers on "
                    f"{', '.join(sorted(lost))}; start them again and {_AGAIN}."
                )

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return _explained(self._scheduler, self._work)


@contextlib.contextmanager
def _explained(scheduler: str, work: str, again: str = "") -> Iterator[None]:
    """Turn what ends work on a cluster into one sentence."""
    again = f"{_AGAIN} {again}".rstrip()
    try:
        yield
    except KilledWorker:
        raise DatasetError(
            f"{work}: workers of {scheduler} were killed repeatedly on the same task, often for "
            f"lack of memory; give them more memory and {again}."
        ) from None
    except (
        CommClosedError,
        asyncio.CancelledError,
        concurrent.futures.CancelledError,
    ):
        raise DatasetError(
            f"{work}: the connection to the cluster {scheduler} was lost; "
            f"restart the cluster and {again}."
        ) from None
    except (ModuleNotFoundError, RuntimeError) as error:
        # A scheduler that cannot import what it is sent raises RuntimeError because of this.
        missing = error.__cause__ if isinstance(error, RuntimeError) else error
        name = missing.name or "" if isinstance(missing, ModuleNotFoundError) else ""
        if name.partition(".")[0] != "iris_tf":
            raise
        raise DatasetError(
            f"{scheduler}: the scheduler or its workers cannot import iris_tf ({name}); install "
            "this version of the package on all machines of the cluster."
        ) from None


def _host(address: str) -> str:
    return urlsplit(address).hostname or ""


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
