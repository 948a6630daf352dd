import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from iris_tf.support.files import atomic_path, replace_folder, write_text
from iris_tf.support.temporary_names import (
    owner_mark,
    sweep,
    temporary_files_together,
    temporary_folder,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def kill_midway(code, *arguments, **environment):
    """Run code until it prints a line, and kill it as `kill -9` does; the line."""
    code = f"import time\nfrom pathlib import Path\n{code}"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        line = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return line


KILLED_WRITING = """
import sys
from iris_tf.support.files import atomic_path, replace_folder
with atomic_path(Path(sys.argv[1], "a.weights.h5")) as file, \\
        replace_folder(Path(sys.argv[1], "epoch-0001")) as folder:
    file.write_text("half")
    (folder / "state.json").write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    kill_midway(KILLED_WRITING, tmp_path)
    assert len(names(tmp_path)) == 2
    users = [tmp_path / ".hidden", tmp_path / ".notes.0a1b2c3d.txt", tmp_path / ".iris_tf-old"]
    for file in users:
        file.write_text("kept")
    write_text(tmp_path / "other.txt", "whole")
    assert names(tmp_path) == sorted([*(file.name for file in users), "other.txt"])


def test_folders_are_swept_by_the_next_folder(tmp_path):
    kill_midway(KILLED_WRITING, tmp_path)
    with replace_folder(tmp_path / "epoch-0002"):
        pass
    assert names(tmp_path) == ["epoch-0002"]


def test_the_files_of_a_living_process_stay(tmp_path):
    with atomic_path(tmp_path / "a.txt") as mine:
        mine.write_text("half")
        sweep(tmp_path)
        assert mine.exists()
    # As the process with number 1 would be named, which lives as long as the machine.
    theirs = tmp_path / mine.name.replace(f"-{os.getpid()}-", "-1-")
    theirs.write_text("half")
    sweep(tmp_path)
    assert theirs.exists()


def test_the_files_of_another_machine_stay(tmp_path):
    kill_midway(KILLED_WRITING, tmp_path)
    for path in list(tmp_path.iterdir()):
        name, _, rest = path.name.partition("iris_tf-")
        path.rename(tmp_path / f"{name}iris_tf-{'0' * 12}{rest[12:]}")
    before = names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == before


@pytest.mark.skipif(sys.platform != "linux", reason="zombies are recognised on Linux")
def test_a_killed_process_that_its_parent_has_not_noticed_is_gone(tmp_path):
    code = f"from pathlib import Path\nimport time\n{KILLED_WRITING}"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.read()  # until it has ended
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        sweep(tmp_path)
        assert names(tmp_path) == []


def test_a_folder_killed_while_it_was_replaced_comes_back(tmp_path):
    code = """
import os, sys
from iris_tf.support import files
from iris_tf.support.files import replace_folder
def rename(self, target, rename=Path.rename):
    if self.name != "models":
        print("renamed", flush=True)
        time.sleep(60)
    return rename(self, target)
Path.rename = rename
with replace_folder(Path(sys.argv[1], "models")) as folder:
    (folder / "a.tflite").write_text("new")
"""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.tflite").write_text("old")
    kill_midway(code, tmp_path)
    assert "models" not in names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == ["models"]
    assert (tmp_path / "models" / "a.tflite").read_text() == "old"


def test_a_temporary_file_with_a_misleading_suffix_does_not_become_the_file(tmp_path):
    code = """
import sys
from iris_tf.support.files import atomic_path
with atomic_path(Path(sys.argv[1], "a-old")) as one, atomic_path(Path(sys.argv[1], "b.old")) as two:
    one.write_text("half")
    two.write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""
    kill_midway(code, tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_a_link_that_looks_like_a_leftover_is_not_followed(tmp_path):
    thesis = tmp_path / "elsewhere" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("kept")
    kill_midway(KILLED_WRITING, tmp_path / "out")
    (left,) = (path for path in (tmp_path / "out").iterdir() if path.is_dir())
    link = left.with_name(left.name[:-8] + "0a1b2c3d")
    link.symlink_to(thesis.parent)
    sweep(tmp_path / "out")
    assert names(tmp_path / "out") == []
    assert thesis.is_file()


def test_the_systems_folder_is_swept(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = """
from iris_tf.support.temporary_names import temporary_folder
with temporary_folder() as folder:
    (folder / "weights").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""
    left = Path(kill_midway(code, TMPDIR=str(tmp_path)))
    assert left.parent == tmp_path
    (tmp_path / "iris_tf-notes").mkdir()
    with temporary_folder() as mine, temporary_folder() as another:
        assert names(tmp_path) == sorted(["iris_tf-notes", mine.name, another.name])
    assert names(tmp_path) == ["iris_tf-notes"]


def test_temporary_files_of_libraries_are_removed_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    with pytest.raises(KeyboardInterrupt), temporary_files_together():
        tempfile.NamedTemporaryFile(delete=False).close()  # as TensorFlow's AutoGraph does
        child = "import tempfile; tempfile.mkdtemp()"
        subprocess.run([sys.executable, "-c", child], check=True)
        (folder,) = tmp_path.iterdir()
        assert len(names(folder)) == 2
        raise KeyboardInterrupt
    assert names(tmp_path) == []
    assert tempfile.gettempdir() == str(tmp_path)
    assert "TMPDIR" not in os.environ


def test_commands_run_without_a_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with temporary_files_together():
        assert tempfile.gettempdir() == str(tmp_path / "missing")


def test_marks_differ():
    assert owner_mark() != owner_mark()
