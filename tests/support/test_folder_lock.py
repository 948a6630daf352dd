import errno
import fcntl
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from iris_tf.support import folder_lock
from iris_tf.support.errors import InUseError
from iris_tf.support.files import sole_user

EYE = Path(__file__).parents[2] / "web_demo" / "examples" / "example-1.png"


def locking(descriptor, mode, nbytes):
    """What msvcrt's function of that name does, with POSIX locks."""
    assert (mode, nbytes) == ("non-blocking", 1)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EACCES, "Permission denied") from None


@pytest.fixture
def windows(monkeypatch):
    """The module as it is on Windows, where there is msvcrt and no fcntl."""
    msvcrt = types.SimpleNamespace(LK_NBLCK="non-blocking", locking=locking)
    monkeypatch.setattr(folder_lock, "fcntl", None)
    monkeypatch.setattr(folder_lock, "msvcrt", msvcrt)


def test_on_windows_a_folder_is_one_users_until_the_block_ends(tmp_path, windows):
    folder = tmp_path / "run"
    with sole_user(folder):
        with pytest.raises(InUseError, match="another process"), sole_user(folder):
            raise AssertionError("two are in it")
        with sole_user(tmp_path / "other"):
            pass
    with pytest.raises(ZeroDivisionError), sole_user(folder):
        raise ZeroDivisionError
    with sole_user(folder):
        pass
    assert os.listdir(folder) == []


def test_without_any_locks_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "fcntl", None)
    with sole_user(tmp_path / "run"), sole_user(tmp_path / "run"):
        assert os.listdir(tmp_path / "run") == []


def test_importing_and_recognising_need_no_fcntl(tmp_path):
    """On Windows there is none; `sys.modules[name] = None` makes its import fail."""
    code = (
        "import sys\n"
        "sys.modules['fcntl'] = None\n"
        "from iris_tf import IrisRecognizer\n"
        "recognizer = IrisRecognizer()\n"
        "template = recognizer.enroll(sys.argv[1])\n"
        "template.save(sys.argv[2])\n"
        "print(recognizer.verify(template, sys.argv[1]).same_eye)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, EYE, str(tmp_path / "template.npz")],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n", done.stderr
