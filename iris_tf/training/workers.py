"""Workers of a training on several machines: who they are, and their meeting before it starts."""

import contextlib
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iris_tf.support.errors import RecipeError, TrainingError, first_line

MEETING_SECONDS = 600.0
"""Time limit for all workers to start: a cluster may first have to find machines for them."""

_VARIABLE = "TF_CONFIG"
_RETRY_SECONDS = 0.5
_ANSWER_SECONDS = 10.0  # time limit for a worker that has connected to say who it is
_LONGEST_MESSAGE = 4096  # bytes


@dataclass(frozen=True)
class Worker:
    """This process among those that train together.

    Attributes
    ----------
    index : int
        From 0; worker 0 is the chief, the only one that writes into the run folder.
    addresses : tuple of str
        ``host:port`` of all workers; empty for a training in one process.
    """

    index: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.index == 0

    def meet(self, start: Mapping[str, str]) -> None:
        """Wait until all workers are there and check that they start from the same.

        TensorFlow waits for an hour without a word, and cannot be interrupted meanwhile.

        Parameters
        ----------
        start : mapping of str to str
            What must be the same for all workers, by its name in error messages. What a worker
            does not have yet is not compared.

        Raises
        ------
        TrainingError
            If a worker does not come in time or starts from something else, or this worker's port
            is in use.
        """
        if not self.addresses:
            return
        digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in start.items()}
        deadline = time.monotonic() + MEETING_SECONDS
        with self._own_port() as listener:
            if self.is_chief:
                self._receive(listener, digests, deadline)
                return
        self._report(digests, deadline)

    @contextlib.contextmanager
    def _own_port(self) -> Iterator[socket.socket]:
        """Listen at this worker's port, which TensorFlow will use afterwards."""
        _, port = _host_and_port(self.addresses[self.index])
        try:
            listener = socket.create_server(("", port))
        except OSError as error:
            raise TrainingError(
                f"{self.addresses[self.index]}: this worker cannot listen at its port "
                f"({first_line(error)}); end the process that uses it, or change {_VARIABLE}."
            ) from None
        with listener:
            yield listener

    def _receive(
        self, listener: socket.socket, digests: Mapping[str, str], deadline: float
    ) -> None:
        """Chief's part of the meeting: wait for all reports, compare them, and answer."""
        others = set(range(1, len(self.addresses)))
        reports: dict[int, tuple[socket.socket, Any]] = {}
        with contextlib.ExitStack() as opened:
            while missing := {i for i in others if i not in reports or _closed(reports[i][0])}:
                listener.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    connection = opened.enter_context(listener.accept()[0])
                except TimeoutError:
                    raise self._absent(missing) from None
                report = _read(connection)
                if type(index := report.get("index")) is int and index in others:
                    reports[index] = connection, report.get("start")  # in place of one that ended
            problem = _difference({i: start for i, (_, start) in reports.items()}, digests)
            for connection, _ in reports.values():
                _write(connection, {"problem": problem})
            for connection, _ in reports.values():
                # The side that closes first occupies its port for a while: not the chief's.
                with contextlib.suppress(OSError):
                    connection.recv(1)
        if problem:
            raise TrainingError(problem)

    def _report(self, digests: Mapping[str, str], deadline: float) -> None:
        """The part of all other workers: report to the chief and wait for its answer."""
        while time.monotonic() < deadline:
            try:
                connection = socket.create_connection(
                    _host_and_port(self.addresses[0]), _ANSWER_SECONDS
                )
            except OSError:
                time.sleep(_RETRY_SECONDS)
                continue
            with connection:
                _write(connection, {"index": self.index, "start": dict(digests)})
                answer = _read(connection, max(deadline - time.monotonic(), 0.001))
            if "problem" not in answer:  # a chief that ended, or the one of an earlier attempt
                time.sleep(_RETRY_SECONDS)
                continue
            if answer["problem"]:
                raise TrainingError(str(answer["problem"]))
            return
        raise self._absent({0})

    def _absent(self, missing: set[int]) -> TrainingError:
        names = ", ".join(f"{index} ({self.addresses[index]})" for index in sorted(missing))
        return TrainingError(
            f"Worker {names} of {len(self.addresses)} did not start within {MEETING_SECONDS:g} s; "
            f"start all workers of {_VARIABLE}, and check their addresses."
        )


def _difference(starts: Mapping[int, Any], digests: Mapping[str, str]) -> str:
    """Sentence on the first worker that starts from something else; empty if there is none."""
    for index, start in sorted(starts.items()):
        start = start if isinstance(start, dict) else dict.fromkeys(digests)
        different = [name for name in digests if start.get(name, digests[name]) != digests[name]]
        if different:
            return (
                f"Worker {index} does not start from the same {' and '.join(different)} as worker "
                "0; give all workers the same."
            )
    return ""


def _closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection, on which it has nothing more to say."""
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _write(connection: socket.socket, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # its end has been closed, which is noticed elsewhere
        connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket, seconds: float = _ANSWER_SECONDS) -> dict[str, Any]:
    """Read a message; empty if there is none, or it is not from a worker."""
    connection.settimeout(seconds)
    try:
        with connection.makefile("rb") as stream:
            message = json.loads(stream.readline(_LONGEST_MESSAGE))
    except (OSError, ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def this_worker(strategy: str) -> Worker:
    """Worker that this process is by the environment variable ``TF_CONFIG``.

    Parameters
    ----------
    strategy : {"single", "mirrored", "multi_worker"}
        Of the recipe; the first two train in one process.

    Raises
    ------
    RecipeError
        If the variable is missing or does not name several workers and this one.
    """
    if strategy != "multi_worker":
        return Worker()
    text = os.environ.get(_VARIABLE)
    if not text:
        raise _unusable("is not set")
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        jobs = [name for name in ("chief", "worker") if name in cluster]
        addresses = [address for name in jobs for address in cluster[name]]
        job, place = task["type"], task["index"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _unusable("cannot be read as JSON with `cluster` and `task`") from None
    if others := set(cluster) - set(jobs):
        raise _unusable(f"names jobs that do not train ({', '.join(sorted(map(str, others)))})")
    if len(cluster.get("chief", ())) > 1:
        raise _unusable("names several chiefs")
    for address in addresses:
        if not isinstance(address, str) or _host_and_port(address)[1] == 0:
            raise _unusable(f"has the address {str(address)[:80]!r}, which is not host:port")
    if len(set(addresses)) < len(addresses):
        raise _unusable("names an address twice")
    if len(addresses) < 2:
        raise _unusable(f"names {len(addresses)} worker, and one needs no others")
    if job not in jobs or type(place) is not int or not 0 <= place < len(cluster[job]):
        raise _unusable("has a `task` that is not in its `cluster`")
    before = len(cluster["chief"]) if job == "worker" and "chief" in jobs else 0
    return Worker(before + place, tuple(addresses))


def _host_and_port(address: str) -> tuple[str, int]:
    """Host and port of an address; port 0 if it has none."""
    host, _, port = address.rpartition(":")
    usable = host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
    return host.strip("[]"), int(port) if usable else 0


def _unusable(problem: str) -> RecipeError:
    return RecipeError(
        f"strategy is multi_worker, but the environment variable {_VARIABLE} {problem}; set it on "
        "each worker to the addresses of at least two workers and its own task, or use "
        "`strategy: mirrored` on one machine."
    )
