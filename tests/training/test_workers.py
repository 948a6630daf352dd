import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from iris_tf.support.errors import RecipeError, TrainingError
from iris_tf.training import workers
from iris_tf.training.workers import Worker, this_worker

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


def set_config(monkeypatch, cluster, task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))


# -- TF_CONFIG ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "task", "index"),
    [
        ({"worker": TWO}, {"type": "worker", "index": 1}, 1),
        ({"chief": ["c:1"], "worker": TWO}, {"type": "chief", "index": 0}, 0),
        ({"chief": ["c:1"], "worker": TWO}, {"type": "worker", "index": 1}, 2),
    ],
)
def test_a_worker_knows_its_place(monkeypatch, cluster, task, index):
    set_config(monkeypatch, cluster, task)
    worker = this_worker("multi_worker")
    assert (worker.index, worker.is_chief) == (index, index == 0)
    assert worker.addresses == (*cluster.get("chief", ()), *TWO)


def test_a_training_in_one_process_asks_for_no_cluster(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "of another program")
    assert this_worker("mirrored") == Worker(0, ())
    Worker().meet({})  # nobody to wait for


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "cannot be read"),
        ('{"cluster": 1, "task": {}}', "cannot be read"),
        ('{"cluster": {"worker": 5}, "task": {}}', "cannot be read"),
        ({"worker": TWO}, "cannot be read"),
        (({"worker": TWO[:1]}, ("worker", 0)), "names 1 worker, and one needs no others"),
        (({}, ("worker", 0)), "names 0 worker"),
        (({"worker": TWO, "ps": ["p:1"]}, ("worker", 0)), "jobs that do not train (ps)"),
        (({"chief": ["c:1", "c:2"], "worker": TWO}, ("chief", 0)), "names several chiefs"),
        (({"worker": [TWO[0], "10.0.0.2"]}, ("worker", 0)), "'10.0.0.2', which is not host:port"),
        (({"worker": [TWO[0], ":1"]}, ("worker", 0)), "':1', which is not host:port"),
        (({"worker": [TWO[0], "a:70000"]}, ("worker", 0)), "'a:70000', which is not host:port"),
        (({"worker": [TWO[0], "a:" + "9" * 5000]}, ("worker", 0)), "which is not host:port"),
        (({"worker": [TWO[0], 7]}, ("worker", 0)), "'7', which is not host:port"),
        (({"worker": [TWO[0], TWO[0]]}, ("worker", 0)), "names an address twice"),
        (({"worker": TWO}, ("worker", 2)), "`task` that is not in its `cluster`"),
        (({"worker": TWO}, ("worker", -1)), "`task` that is not in its `cluster`"),
        (({"worker": TWO}, ("worker", "0")), "`task` that is not in its `cluster`"),
        (({"worker": TWO}, ("evaluator", 0)), "`task` that is not in its `cluster`"),
        (({"worker": TWO}, (["worker"], 0)), "`task` that is not in its `cluster`"),
    ],
)
def test_an_unusable_cluster_is_one_sentence(monkeypatch, config, problem):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if isinstance(config, tuple):
        cluster, (job, index) = config
        set_config(monkeypatch, cluster, {"type": job, "index": index})
    elif config is not None:
        monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(RecipeError) as caught:
        this_worker("multi_worker")
    message = str(caught.value)
    assert problem in message
    assert message.startswith("strategy is multi_worker, but the environment variable TF_CONFIG")
    assert len(message) < 400 and "\n" not in message


# -- The meeting ----------------------------------------------------------------------------------


@pytest.fixture
def addresses(monkeypatch):
    """Free ports for three workers, who wait for each other for a few seconds."""
    monkeypatch.setattr(workers, "MEETING_SECONDS", 5.0)
    monkeypatch.setattr(workers, "_RETRY_SECONDS", 0.02)
    taken = [socket.create_server(("", 0)) for _ in range(3)]
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return tuple(f"127.0.0.1:{port}" for port in ports)


def meet_all(addresses, starts):
    """What each worker's meeting ends with: None, or the message of its error."""

    def meet(index):
        try:
            Worker(index, addresses).meet(starts[index])
        except TrainingError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(starts)) as pool:
        return list(pool.map(meet, range(len(starts))))


def test_workers_who_start_from_the_same_go_on(addresses):
    assert meet_all(addresses, [{"recipe": "a", "dataset": "b"}] * 3) == [None] * 3
    # The ports are free again at once, for TensorFlow.
    for address in addresses:
        socket.create_server(("", int(address.rpartition(":")[2]))).close()


def test_what_a_worker_does_not_have_yet_is_not_compared(addresses):
    starts = [{"recipe": "a", "dataset": "b"}, {"recipe": "a"}, {"recipe": "a"}]
    assert meet_all(addresses, starts) == [None] * 3


def test_all_are_told_who_starts_from_something_else(addresses):
    same = {"recipe": "a", "dataset": "b", "checkpoint": "2"}
    found = meet_all(addresses, [same, same, same | {"recipe": "c", "checkpoint": "1"}])
    assert found == [
        "Worker 2 does not start from the same recipe and checkpoint as worker 0; give all "
        "workers the same."
    ] * 3  # fmt: skip


@pytest.mark.parametrize("present", [0, 1])
def test_a_worker_who_does_not_come_is_missed(addresses, present, monkeypatch):
    monkeypatch.setattr(workers, "MEETING_SECONDS", 0.3)
    two = addresses[:2]
    with pytest.raises(TrainingError) as caught:
        Worker(present, two).meet({"recipe": "a"})
    assert str(caught.value) == (
        f"Worker {1 - present} ({two[1 - present]}) of 2 did not start within 0.3 s; start all "
        "workers of TF_CONFIG, and check their addresses."
    )


def test_a_port_in_use_is_one_sentence(addresses):
    with (
        socket.create_server(("", int(addresses[1].rpartition(":")[2]))),
        pytest.raises(TrainingError, match=r"cannot listen at its port .*change TF_CONFIG\.$"),
    ):
        Worker(1, addresses).meet({})


def test_strangers_and_workers_who_were_restarted_do_not_count(addresses):
    chief = threading.Thread(target=Worker(0, addresses).meet, args=({"recipe": "a"},))
    chief.start()
    host, port = addresses[0].rsplit(":", 1)

    def connected(text):
        for _ in range(200):
            try:
                connection = socket.create_connection((host, int(port)))
            except OSError:
                threading.Event().wait(0.02)
            else:
                connection.sendall(text)
                return connection
        raise AssertionError("the chief does not listen")

    for text in (b"GET / HTTP/1.0\r\n\r\n", b"[" * 4000 + b"\n", b"1\n", b'{"index": 7}\n',
                 b'{"index": true}\n', b"\xff\n", b""):  # fmt: skip
        connected(text).close()
    connected(b'{"index": 1, "start": {"recipe": "stale"}}\n').close()  # killed while it waited
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(Worker(i, addresses).meet, {"recipe": "a"}) for i in (2, 1)]
        assert [other.result() for other in others] == [None, None]
    chief.join(10)
    assert not chief.is_alive()
