"""`android_demo/write_agreement.py` writes the tests of changed models only."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "android_demo"


@pytest.fixture
def write(monkeypatch, tmp_path):
    """The script's variables, with models and tests in a folder of their own."""
    variables = runpy.run_path(str(DEMO / "write_agreement.py"))
    shutil.copytree(DEMO / "app" / "src" / "main" / "assets" / "agreement", tmp_path / "agreement")
    functions = variables["main"].__globals__
    functions |= {
        "OUT": tmp_path / "agreement",
        "test_of": lambda path, card, eyes: {"file": path.name, "sha256": "new"},
        "test_of_eyes": lambda eyes: {"file": "eyes", "sha256": "new"},
        "synthesize": lambda *arguments: None,
    }
    return functions["main"]


def contents(folder):
    return {path.name: path.read_text("utf-8") for path in folder.iterdir()}


def test_nothing_is_written_while_the_models_are_the_same(write, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "agreement").iterdir()}
    write(False)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "agreement").iterdir()} == before
    assert len(before) == 4


def test_the_test_of_a_changed_model_is_written(write, tmp_path):
    folder = tmp_path / "agreement"
    before = contents(folder)
    changed = folder / "mobiiris_float16.tflite.json"
    changed.write_text(json.dumps(json.loads(before[changed.name]) | {"sha256": "old"}))
    (folder / "iris_segmenter_float16.tflite.json").unlink()
    (folder / "removed_float16.tflite.json").write_text("{}")
    write(False)
    after = contents(folder)
    assert after.keys() == before.keys()
    unchanged = {name for name in before if after[name] == before[name]}
    assert unchanged == {"eyes.json", "iris_segmenter_int8.tflite.json"}
    assert json.loads(after[changed.name])["sha256"] == "new"


def test_all_are_written_when_asked_for(write, tmp_path):
    write(True)
    assert {json.loads(text)["sha256"] for text in contents(tmp_path / "agreement").values()} == {
        "new"
    }
