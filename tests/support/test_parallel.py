import os

import cv2
import joblib
import pytest

from iris_tf.support.errors import DatasetError
from iris_tf.support.parallel import check_jobs, one_opencv_thread, run_in_processes
from iris_tf.synthetic import dataset_writer as writer


def test_jobs_are_one_or_more_or_one_a_core():
    for jobs in (-1, 1, 2, 64):
        check_jobs(jobs)
    for jobs in (0, -2):
        with pytest.raises(DatasetError, match=f"jobs is {jobs};"):
            check_jobs(jobs)


def test_results_come_in_order_from_other_processes(tmp_path):
    calls = (joblib.delayed(lambda i: (i, os.getpid()))(i) for i in range(20))
    results = list(run_in_processes(calls, 2, tmp_path))
    assert [number for number, _ in results] == list(range(20))
    assert os.getpid() not in {process for _, process in results}


def test_what_a_call_raises_comes_through(tmp_path):
    def fail():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(run_in_processes([joblib.delayed(fail)()], 2, tmp_path))


def test_a_killed_process_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_write_identity", lambda *args: os._exit(1))
    with pytest.raises(DatasetError, match=r"worker process was killed.*again to resume"):
        writer.synthesize(tmp_path / "eyes", 2, 1, 0, jobs=2)


def test_opencv_gets_its_threads_back():
    before = cv2.getNumThreads()
    with pytest.raises(ZeroDivisionError), one_opencv_thread():
        assert cv2.getNumThreads() == 1
        raise ZeroDivisionError
    assert cv2.getNumThreads() == before


def test_opencv_keeps_to_one_thread_until_the_last_block_ends():
    before = cv2.getNumThreads()
    first, second = one_opencv_thread(), one_opencv_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == before
