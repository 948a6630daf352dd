import os

import pytest

from fuzz.targets import TARGETS, run


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_and_hostile_files_are_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, defects = run(name, 0, TARGETS[name].in_suite, tmp_path / "a" / "files")
    assert defects == []
    assert os.listdir(tmp_path) == ["a"]  # nothing was written outside
    assert os.listdir(tmp_path / "a") == ["files"]
