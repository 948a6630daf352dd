"""`prepare` on a cluster of real processes that are killed."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prepared_eyes import contents, prepare

from iris_tf.preparation.extraction import CHUNK

pytest.importorskip("distributed", reason="the extra dask is not installed")

ROOT = Path(__file__).parents[2]
# Loaded by the workers, more than once: work that lasts until they are killed.
SLOW = """
import time
from iris_tf.preparation import extraction

def slower(process_image):
    def slowly(*args):
        time.sleep(0.1)
        return process_image(*args)

    return slowly

extraction._process_image = slower(extraction._process_image)
"""
PREPARE = (
    "import sys; from iris_tf.preparation.prepare_dataset import prepare; "
    "prepare(sys.argv[1], sys.argv[2], segmenter='opencv', scheduler=sys.argv[3])"
)


class Cluster:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.folder = folder
        self.preload = folder / "slow.py"
        self.preload.write_text(SLOW)
        self.started = []

    def _start(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process

    def scheduler(self):
        return self._start(
            "scheduler", "--host", "127.0.0.1", "--port", self.port, "--no-dashboard"
        )

    def worker(self):
        return self._start(
            "worker", self.address, "--no-nanny", "--nthreads", 1, "--no-dashboard",
            "--preload", self.preload, "--local-directory", self.folder,
        )  # fmt: skip

    def answers(self):
        """Wait until the scheduler does."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.05)
        raise AssertionError("the scheduler never started")


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    for process in cluster.started:
        process.kill()
        process.wait()


def start_prepare(eyes, out, cluster):
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(eyes), str(out), cluster.address],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def chunks_done(out):
    return len(list((out / ".journal").glob("[!.]*.jsonl")))


def wait_for_chunks(out, count, process):
    deadline = time.monotonic() + 120
    while chunks_done(out) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no more chunks were finished"
        time.sleep(0.01)


def test_a_killed_worker_and_a_restarted_scheduler_lose_nothing(tmp_path, eyes, prepared, cluster):
    out = tmp_path / "out"
    scheduler = cluster.scheduler()
    cluster.answers()
    first, second = cluster.worker(), cluster.worker()
    run = start_prepare(eyes, out, cluster)
    wait_for_chunks(out, 1, run)
    first.send_signal(signal.SIGKILL)
    wait_for_chunks(out, 2, run)  # the other worker goes on
    assert run.poll() is None
    scheduler.send_signal(signal.SIGKILL)
    _, errors = run.communicate(timeout=120)
    assert run.returncode != 0
    assert re.search(r"DatasetError: .*connection to the cluster .* was lost; .*to resume", errors)
    assert not (out / "manifest.csv").exists()
    second.kill()
    second.wait()
    done = chunks_done(out)
    assert 2 <= done < len(prepared.rows) / CHUNK
    kept = {path: path.stat().st_mtime_ns for path in (out / "roi").rglob("[!.]*.png")}

    cluster.scheduler()
    cluster.answers()
    third = cluster.worker()
    prepare(eyes, out, scheduler=cluster.address)
    assert third.poll() is None
    assert contents(out) == contents(prepared.folder)
    untouched = sum(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert untouched >= CHUNK * done


def test_a_worker_killed_mid_run_changes_no_byte(tmp_path, eyes, prepared, cluster):
    out = tmp_path / "out"
    cluster.scheduler()
    cluster.answers()
    killed, _ = cluster.worker(), cluster.worker()
    run = start_prepare(eyes, out, cluster)
    wait_for_chunks(out, 1, run)
    killed.send_signal(signal.SIGKILL)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert contents(out) == contents(prepared.folder)
