"""`android_demo/check/arm_check.py`, which needs no emulator here."""

import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

CHECK = Path(__file__).parents[2] / "android_demo" / "check"


@pytest.fixture
def check():
    return SimpleNamespace(**runpy.run_path(str(CHECK / "arm_check.py")))


def test_without_the_emulator_it_is_skipped(check, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check.main([Path("m.tflite")]) == 0
    assert capsys.readouterr().out == (
        "skipped: qemu-aarch64 is missing; install qemu-user-static (Debian 12 and 13).\n"
    )


def test_without_the_other_python_it_is_skipped(check, monkeypatch, tmp_path, capsys):
    program = tmp_path / "qemu-aarch64"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(check.main.__globals__, "ROOT", tmp_path / "none")
    assert check.main([]) == 0
    assert "run `make arm-tools`" in capsys.readouterr().out


def test_embeddings_agree_by_their_least_cosine(check):
    here = np.array([[1.0, 0.0], [0.6, 0.8]])
    assert check.agreement(here, here) == ("cosine", 1.0, True)
    # Of the second, 0.6 * 0.8 + 0.8 * 0.6 = 0.96.
    what, least, good = check.agreement(here, np.array([[1.0, 0.0], [0.8, 0.6]]))
    assert what == "cosine" and least == pytest.approx(0.96) and not good


def test_masks_agree_by_their_least_overlap(check):
    here = np.zeros((2, 2, 2, 1))
    here[:, 0, :, 0] = 0.9
    there = here.copy()
    assert check.agreement(here, there) == ("overlap", 1.0, True)
    there[1, 1, 0, 0] = 0.6  # two pixels in both, three in either
    assert check.agreement(here, there) == ("overlap", pytest.approx(2 / 3), False)


def test_a_crash_under_emulation_is_a_failure(check, monkeypatch, capsys):
    released = CHECK.parents[1] / "models" / "mobiiris" / "mobiiris_float16.tflite"
    assert not check.compare(["/bin/sh", "-c", "echo no such kernel >&2; exit 3"], released)
    assert "DOES NOT RUN, status 3: no such kernel" in capsys.readouterr().out


def test_the_script_for_tools_is_shell(tmp_path):
    subprocess.run(["bash", "-n", CHECK / "arm_tools.sh"], check=True)
