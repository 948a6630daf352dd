import os
import signal
import subprocess
import sys
import time

import joblib
import pytest

pytest.importorskip("distributed", reason="the extra dask is not installed")

import dask
import distributed

from iris_tf.support import cluster
from iris_tf.support.errors import DatasetError
from iris_tf.support.parallel import check_jobs, run_in_processes


@pytest.fixture(scope="module")
def two_workers():
    """Address of a scheduler with two worker processes, which gives up work that killed two."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),  # by default 3
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as local,
    ):
        yield local.scheduler_address


def test_results_come_in_order_from_two_worker_processes(two_workers, tmp_path):
    def number(i):
        time.sleep(0.02 if i % 2 else 0.0)
        return i, os.getpid()

    calls = (joblib.delayed(number)(i) for i in range(40))
    results = list(run_in_processes(calls, -1, tmp_path, two_workers))
    assert [i for i, _ in results] == list(range(40))
    processes = {process for _, process in results}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_rounds_change_nothing(two_workers, tmp_path, monkeypatch):
    monkeypatch.setattr("iris_tf.support.parallel._CALLS_PER_ROUND", 3)
    for scheduler in (two_workers, None):
        calls = (joblib.delayed(pow)(i, 2) for i in range(20))
        results = run_in_processes(calls, -1 if scheduler else 2, tmp_path, scheduler)
        assert list(results) == [i * i for i in range(20)]


def test_no_more_than_a_round_of_calls_is_taken_ahead(two_workers, tmp_path, monkeypatch):
    monkeypatch.setattr("iris_tf.support.parallel._CALLS_PER_ROUND", 3)
    for scheduler in (two_workers, None):
        taken = []
        calls = (taken.append(i) or joblib.delayed(abs)(i) for i in range(100))
        results = run_in_processes(calls, -1 if scheduler else 2, tmp_path, scheduler)
        for given in range(20):
            assert next(results) == given
            assert len(taken) <= given + 1 + 2 * 3
        results.close()


def test_what_a_call_raises_comes_through(two_workers, tmp_path):
    def fail(i):
        if i == 3:
            raise OSError(28, "No space left on device", "disk")
        return i

    calls = [joblib.delayed(fail)(i) for i in range(8)]
    with pytest.raises(OSError, match="No space left on device") as caught:
        list(run_in_processes(calls, -1, tmp_path, two_workers))
    assert caught.value.filename == "disk"


def test_a_worker_killed_once_costs_only_time(two_workers, tmp_path):
    def number(i, mark):
        if i == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return i

    calls = [joblib.delayed(number)(i, tmp_path / "killed") for i in range(12)]
    assert list(run_in_processes(calls, -1, tmp_path, two_workers)) == list(range(12))
    assert (tmp_path / "killed").exists()


def test_work_that_kills_every_worker_is_one_sentence(two_workers, tmp_path):
    def number(i):
        if i == 1:
            os._exit(1)
        return i

    calls = [joblib.delayed(number)(i) for i in range(4)]
    with pytest.raises(DatasetError, match=r"killed repeatedly.*run the command again to resume"):
        list(run_in_processes(calls, -1, tmp_path, two_workers))


def test_workers_without_the_package_are_one_sentence(two_workers, tmp_path):
    def absent():
        raise ModuleNotFoundError("No module named 'iris_tf'", name="iris_tf")

    with pytest.raises(DatasetError, match=r"cannot import iris_tf .*on all machines"):
        list(run_in_processes([joblib.delayed(absent)()], -1, tmp_path, two_workers))


def test_a_cluster_that_goes_away_is_one_sentence(tmp_path):
    address_file = tmp_path / "address"
    code = (
        "import sys, time, pathlib, distributed\n"
        "if __name__ == '__main__':\n"
        "    local = distributed.LocalCluster(n_workers=1, threads_per_worker=1,"
        " processes=False, dashboard_address=None, protocol='tcp')\n"
        "    pathlib.Path(sys.argv[1]).write_text(local.scheduler_address)\n"
        "    time.sleep(300)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(address_file)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (address_file.exists() and address_file.read_text()):
            assert time.monotonic() < deadline, "the cluster never started"
            time.sleep(0.05)
        calls = (joblib.delayed(time.sleep)(0.05) for _ in range(10_000))
        results = run_in_processes(calls, -1, tmp_path, address_file.read_text())
        next(results)
        process.kill()
        with pytest.raises(DatasetError, match=r"connection to the cluster .* was lost.*resume"):
            list(results)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("address", ("tcp://127.0.0.1:9", "tcp://127.0.0.1", "nonsense", ""))
def test_an_address_where_no_scheduler_answers(tmp_path, address, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(DatasetError, match="no scheduler answers at this address"):
        list(run_in_processes([joblib.delayed(abs)(1)], -1, tmp_path, address))


def test_a_scheduler_without_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_WORKERS_SECONDS", 0.2)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None) as local,
        pytest.raises(DatasetError, match=r"has no workers; start some with `dask worker"),
    ):
        list(run_in_processes([joblib.delayed(abs)(1)], -1, tmp_path, local.scheduler_address))


def test_without_dask_one_sentence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "iris_tf.support.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DatasetError, match=r"not installed.*iris_tf\[dask\]"):
        list(run_in_processes([joblib.delayed(abs)(1)], -1, tmp_path, "tcp://127.0.0.1:8786"))


def test_jobs_and_a_scheduler_do_not_go_together():
    check_jobs(-1, "tcp://127.0.0.1:8786")
    with pytest.raises(DatasetError, match="leave jobs out"):
        check_jobs(2, "tcp://127.0.0.1:8786")


def test_a_scheduler_without_the_package_is_one_sentence():
    """It unpickles what it is sent, and raises this error where that fails."""
    absent = RuntimeError("Error during deserialization of the task graph.")
    absent.__cause__ = ModuleNotFoundError("No module named 'iris_tf'", name="iris_tf.support")
    with (
        pytest.raises(DatasetError, match=r"cannot import iris_tf \(iris_tf\.support\)"),
        cluster._explained("tcp://here:1", "The search"),
    ):
        raise absent
    with (
        pytest.raises(RuntimeError, match="something else"),
        cluster._explained("tcp://here:1", "The search"),
    ):
        raise RuntimeError("something else")


def test_a_worker_that_gives_no_answer_is_one_sentence(two_workers):
    def silent():
        raise OSError("Timed out trying to connect to tcp://127.0.0.1:9")

    with (
        cluster.open_cluster(two_workers, "The search") as opened,
        pytest.raises(DatasetError, match=r"^The search: a worker of tcp://.*Timed out.*again\.$"),
    ):
        opened.everywhere(silent)


def test_calls_run_on_the_hosts_that_they_name(two_workers):
    with cluster.open_cluster(two_workers, "The search") as opened:
        assert set(opened.everywhere(abs, -2)) == {("127.0.0.1", 2)}  # workers may just restart
        assert opened.on_hosts([(["127.0.0.1"], (pow, n, 2)) for n in range(5)]) == [0, 1, 4, 9, 16]
        with pytest.raises(ZeroDivisionError):
            opened.on_hosts([(["127.0.0.1"], (divmod, 1, 0))])
