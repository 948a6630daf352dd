import hashlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest

from iris_tf.support.errors import ModelError
from iris_tf.tflite import probe
from iris_tf.tflite.flatbuffer import read_model
from iris_tf.tflite.litert_model import LiteRTModel
from iris_tf.tflite.signatures import EMBEDDING

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests/data/written_by_0_1_0/pipeline/student/models/student_float16.tflite"
# Found by fuzzing: the structure is sound, and LiteRT 2.3 ends by SIGSEGV.
CRASHING = {764: 136, 8222: 32}


@pytest.fixture
def unknown(tmp_path):
    shutil.copy(SMALL, tmp_path / "model.tflite")
    return tmp_path / "model.tflite"


@pytest.fixture
def crashing(tmp_path):
    content = bytearray(SMALL.read_bytes())
    for place, value in CRASHING.items():
        content[place] = value
    path = tmp_path / "crashing.tflite"
    path.write_bytes(content)
    read_model(path)
    return path


@pytest.fixture
def tried(monkeypatch):
    """Files that were run in a child process."""
    found, run = [], probe._try
    monkeypatch.setattr(probe, "_try", lambda path: found.append(path) or run(path))
    monkeypatch.setattr(probe, "_found", {})
    return found


def test_a_file_that_crashes_litert_is_one_sentence(crashing):
    """In a process of its own, in case that it is not."""
    code = (
        "import sys; from iris_tf.tflite.tflite_embedder import TFLiteEmbedder as T\n"
        "try: T(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, crashing], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert "ModelError" in ended.stdout
    assert str(crashing) in ended.stdout
    assert ended.stdout.count("\n") == 1


def test_a_file_without_a_card_is_tried_once(unknown, tried):
    for _ in range(2):
        LiteRTModel(unknown, EMBEDDING)
    assert tried == [unknown]


def test_a_file_that_its_card_knows_is_loaded_at_once(unknown, tried):
    digest = hashlib.sha256(unknown.read_bytes()).hexdigest()
    card = {"files": {"any name": {"sha256": digest}}}
    unknown.with_name("model_card.json").write_text(json.dumps(card))
    LiteRTModel(unknown, EMBEDDING)
    assert tried == []


@pytest.mark.parametrize("card", ["", "[]", '{"files": []}', '{"files": {"a": {"sha256": "0"}}}'])
def test_any_other_card_vouches_for_nothing(unknown, tried, card):
    unknown.with_name("model_card.json").write_text(card)
    LiteRTModel(unknown, EMBEDDING)
    assert tried == [unknown]


def test_released_models_are_loaded_at_once(tried, tmp_path):
    shutil.copy(ROOT / "models" / "mobiiris" / "mobiiris_float16.tflite", tmp_path / "renamed")
    assert probe.problem(tmp_path / "renamed") == ""
    assert tried == []


def test_threads_try_a_file_once(unknown, tried):
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: LiteRTModel(unknown, EMBEDDING), range(4)))
    assert len(models) == 4
    assert tried == [unknown]


def problem_in_worker(path):
    return probe.problem(path)


def test_worker_processes_try_files_too(crashing):
    with joblib.parallel_config("loky", n_jobs=1):
        [found] = joblib.Parallel()([joblib.delayed(problem_in_worker)(crashing)])
    assert found == "it crashes the runtime"


def test_the_child_imports_nothing_from_the_current_folder(unknown, tried, tmp_path, monkeypatch):
    for name in ("numpy.py", "iris_tf.py", "sitecustomize.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert probe.problem(unknown) == ""
    assert not (tmp_path / "imported").exists()


def test_what_the_child_says(unknown, tried, monkeypatch):
    def ending(code, output=b""):
        return lambda *_, **__: subprocess.CompletedProcess([], code, output)

    for code, output, expected in (
        (0, b"", ""),
        (3, b"Op X is\nnot supported.\n", "Op X is not supported"),
        (-11, b"", "it crashes the runtime"),
        (1, b"", "it crashes the runtime"),
    ):
        monkeypatch.setattr(subprocess, "run", ending(code, output))
        monkeypatch.setattr(probe, "_found", {})
        assert probe.problem(unknown) == expected


def test_where_no_child_can_be_started_the_file_is_loaded(unknown, tried, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError

    monkeypatch.setattr(subprocess, "run", refuse)
    assert LiteRTModel(unknown, EMBEDDING)(np.zeros((32, 32), np.uint8)).shape == (8,)


def test_a_reason_is_one_sentence(unknown, tried, monkeypatch):
    monkeypatch.setattr(probe, "_try", lambda path: "it crashes the runtime")
    with pytest.raises(ModelError, match=r"LiteRT cannot load it \(it crashes the runtime\)"):
        LiteRTModel(unknown, EMBEDDING)
    assert os.path.exists(unknown)
