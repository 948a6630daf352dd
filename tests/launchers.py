"""The programs in `pipelines/`, run in this process."""

import contextlib
import io
import os
import runpy
import subprocess
from pathlib import Path

import pytest

PIPELINES = Path(__file__).parents[1] / "pipelines"


def launch(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """What ``python pipelines/NAME ARGUMENTS`` gives, without the start of another TensorFlow."""
    command = [str(PIPELINES / name), *map(str, arguments)]
    printed, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        patch.setattr("sys.argv", command)
        # A launcher sets it, which shall not last.
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"))
        runpy.run_path(command[0], run_name="__main__")
    status = ended.value.code or 0
    return subprocess.CompletedProcess(command, status, printed.getvalue(), errors.getvalue())
