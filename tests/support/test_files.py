import errno
import hashlib
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from iris_tf.support.errors import ExportError, InUseError
from iris_tf.support.files import (
    atomic_path,
    check_writable,
    replace_folder,
    sha256,
    sole_user,
    write_bytes,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "er" / "scores.tar.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.parent == target.parent  # a rename across disks is no rename
        assert temporary.name.endswith(".tar.gz")
        assert temporary.name.startswith(".")
    assert target.read_text() == "whole"
    assert names(target.parent) == ["scores.tar.gz"]


def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("earlier")
    for interruption in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):
        with pytest.raises(type(interruption)), atomic_path(target) as temporary:
            temporary.write_text("half")
            raise interruption
    assert target.read_text() == "earlier"
    assert names(tmp_path) == ["a.json"]


def test_a_full_disk_is_reported_with_the_file_that_did_not_fit(tmp_path):
    target = tmp_path / "a.json"
    with pytest.raises(OSError, match=r"full: .*a\.json") as caught, atomic_path(target):
        raise OSError(errno.ENOSPC, "full")
    assert pickle.loads(pickle.dumps(caught.value)).filename == str(target)
    with pytest.raises(OSError) as caught, atomic_path(target) as temporary:
        temporary.read_bytes()
    assert caught.value.filename == str(target)  # nobody else knows the temporary one
    with pytest.raises(OSError) as caught, atomic_path(target):
        (tmp_path / "input").read_bytes()
    assert caught.value.filename == str(tmp_path / "input")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(OSError) as caught:
        write_bytes(tmp_path / "a.npz", b"1")
    assert caught.value.filename == str(tmp_path / "a.npz")
    assert caught.value.filename2 is None


def test_an_interrupted_first_write_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.npy") as temporary:
        np.save(temporary, np.zeros(3))
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_a_writer_killed_midway_leaves_nothing_under_the_final_name(tmp_path):
    code = (
        "import sys, time\n"
        "from iris_tf.support.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    target = tmp_path / "a.txt"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not target.exists()
    write_text(target, "whole")  # and the leftover does not stand in the way
    assert target.read_text() == "whole"


@pytest.mark.parametrize(
    "name", ("x" * 240 + ".png", "1." + "x" * 200 + ".jpg", "No.1 " + "\u773c" * 80 + ".png")
)
def test_long_names_fit_the_file_system(tmp_path, name):
    write_bytes(tmp_path / name, b"1")
    assert names(tmp_path) == [name]


def test_a_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "runs" / "models"
    with replace_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert names(target) == ["a"]
    assert names(target.parent) == ["models"]


def test_the_folder_that_a_link_leads_to_is_replaced(tmp_path):
    (tmp_path / "disk" / "models").mkdir(parents=True)
    (tmp_path / "disk" / "models" / "old").write_text("old")
    link = tmp_path / "models"
    link.symlink_to(tmp_path / "disk" / "models")
    with replace_folder(link) as folder:
        (folder / "new").write_text("new")
    assert link.is_symlink() and names(link) == ["new"]
    assert names(tmp_path / "disk") == ["models"]


def test_a_folder_replaces_the_earlier_one_as_a_whole(tmp_path):
    target = tmp_path / "models"
    target.mkdir()
    (target / "old").write_text("old")
    with replace_folder(target) as folder:
        assert names(folder) == []
        (folder / "new").write_text("new")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(tmp_path) == ["models"]


def test_an_interrupted_replacement_leaves_the_earlier_folder(tmp_path):
    target = tmp_path / "models"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), replace_folder(target) as folder:
        (folder / "new").write_text("new")
        raise KeyboardInterrupt
    assert names(target) == ["old"]
    assert names(tmp_path) == ["models"]


def test_a_replacement_that_the_disk_refuses_leaves_the_earlier_folder(tmp_path, monkeypatch):
    target = tmp_path / "models"
    target.mkdir()
    (target / "old").write_text("old")
    rename, calls = Path.rename, []

    def refuse_the_second(self, to):
        calls.append(self)
        if len(calls) == 2:
            raise OSError(errno.EIO, "broken")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse_the_second)
    with pytest.raises(OSError, match="broken"), replace_folder(target) as folder:
        (folder / "new").write_text("new")
    assert names(target) == ["old"]
    assert names(tmp_path) == ["models"]


def test_a_folder_is_one_processs_until_it_ends_however(tmp_path):
    code = (
        "import sys\n"
        "from iris_tf.support.files import sole_user\n"
        "with sole_user(sys.argv[1]):\n"
        "    print('in', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    folder = tmp_path / "deep" / "run"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "in\n"
        with pytest.raises(InUseError, match=f"{folder}: another process"), sole_user(folder):
            raise AssertionError("two are in it")
        with sole_user(tmp_path / "deep"):  # another folder
            pass
        process.kill()
    with pytest.raises(ZeroDivisionError), sole_user(folder):
        raise ZeroDivisionError
    with sole_user(folder):
        assert names(folder) == []


@pytest.mark.parametrize("name", ["new.npz", "old.txt", "deep/er/new.npz"])
def test_what_can_be_written_passes_and_nothing_is_left(tmp_path, name):
    (tmp_path / "old.txt").write_text("old")
    check_writable(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"
    check_writable(tmp_path, folder=True)
    check_writable(tmp_path / "deep" / "er", folder=True)


def test_what_cannot_be_written_is_told_before_as_it_would_be_after(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path, found in ((tmp_path / "folder", "folder"), (tmp_path / "file" / "a" / "b", "file")):
        with pytest.raises(OSError) as after:
            write_text(path, "text")
        with pytest.raises(OSError) as before:
            check_writable(path)
        assert before.value.filename == str(tmp_path / found)
        # The system says "exists" of a file where folders are to be made.
        known = {errno.EEXIST: errno.ENOTDIR}
        assert before.value.errno == known.get(after.value.errno, after.value.errno)
    with pytest.raises(NotADirectoryError):
        check_writable(tmp_path / "file", folder=True)


def test_a_folder_without_permission_is_told_before(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may all
    with pytest.raises(PermissionError) as error:
        check_writable(tmp_path / "new" / "file")
    assert error.value.filename == str(tmp_path)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no folder that refuses files from root")
def test_a_folder_that_takes_no_files_is_told_before():
    with pytest.raises(PermissionError) as error:
        check_writable("/proc/x/calibration.json")
    assert error.value.filename == "/proc"


def test_json_is_stable_and_strict(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1.5, "a": [None, "ä"]})
    text = (tmp_path / "a.json").read_text("utf-8")
    assert json.loads(text) == {"a": [None, "ä"], "b": 1.5}
    assert text.index('"a"') < text.index('"b"')
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"nan": float("nan")})  # no reader must take NaN
    assert (tmp_path / "a.json").read_text("utf-8") == text


def test_sha256_is_that_of_the_bytes(tmp_path):
    data = bytes(range(256)) * 1000
    write_bytes(tmp_path / "a", data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("private", [False, True])
def test_a_replaced_file_keeps_its_permissions(tmp_path, private):
    path = tmp_path / "file"
    for permissions in (0o600, 0o640, 0o444):
        path.unlink(missing_ok=True)
        path.write_text("old")
        path.chmod(permissions)
        with atomic_path(path, private) as temporary:
            temporary.write_text("new")
        assert (path.read_text(), mode(path)) == ("new", permissions)


def test_a_new_file_has_the_permissions_of_any_other_unless_it_is_private(tmp_path):
    umask = os.umask(0o022)
    try:
        for name, private, expected in (("open", False, 0o644), ("private", True, 0o600)):
            with atomic_path(tmp_path / name, private) as temporary:
                if private:
                    assert mode(temporary) == 0o600  # also while it is written
                with open(temporary, "wb") as file:
                    file.write(b"new")
            assert mode(tmp_path / name) == expected
    finally:
        os.umask(umask)


def test_a_link_to_a_file_stays_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("old")
    for target in ("elsewhere/file", "elsewhere/none_yet"):
        link = tmp_path / target.replace("/", "-")
        link.symlink_to(target)
        write_text(link, "new")
        assert link.is_symlink()
        assert (tmp_path / target).read_text() == "new"
    assert sorted(p.name for p in (tmp_path / "elsewhere").iterdir()) == ["file", "none_yet"]


@pytest.mark.parametrize("writer", [replace_folder, atomic_path])
def test_a_sentence_about_what_was_written_names_the_final_path(tmp_path, writer):
    target = tmp_path / "models"
    with pytest.raises(ExportError) as error, writer(target) as temporary:
        raise ExportError(f"{temporary}: is wrong; choose another.")
    assert str(error.value) == f"{target}: is wrong; choose another."
