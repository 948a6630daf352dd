import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from iris_tf.cli.surroundings import settle

ROOT = Path(__file__).parents[2]
NONSENSE = {
    "COLUMNS": "wide", "JOBLIB_START_METHOD": "nonsense", "KERAS_BACKEND": "torch",
    "LC_ALL": "tr_TR.UTF-8", "LINES": "-1", "LOKY_MAX_CPU_COUNT": "many", "MPLBACKEND": "nonsense",
    "OMP_NUM_THREADS": "-3", "OPENCV_FOR_THREADS_NUM": "x", "OPENCV_IO_MAX_IMAGE_PIXELS": "5",
    "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "SCIPY_ARRAY_API": "1", "TERM": "nonsense",
    "TF_XLA_FLAGS": "--nonsense", "TZ": "nonsense", "XLA_FLAGS": "--nonsense",
    "TF_NUM_INTRAOP_THREADS": "abc", "TF_CONFIG": "nonsense", "SOURCE_DATE_EPOCH": "now",
    "TF_DETERMINISTIC_OPS": "x", "TF_CUDNN_DETERMINISTIC": "x", "TF_ENABLE_ONEDNN_OPTS": "perhaps",
}  # fmt: skip
SETTLED = "from iris_tf.cli.surroundings import settle; settle()\n"


@pytest.fixture
def environment(monkeypatch):
    """Sets variables, and restores all of them afterwards."""

    def environment(**variables):
        for name in (*variables, "MPLBACKEND", "KERAS_BACKEND", "XLA_FLAGS"):
            monkeypatch.setenv(name, variables.get(name, ""))

    return environment


def run(code, *arguments, **changes):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | changes,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_numbers_stay_and_nonsense_goes(environment):
    environment(OMP_NUM_THREADS="4", LOKY_MAX_CPU_COUNT="0x2", COLUMNS="²", LINES="40")
    settle()
    assert os.environ["OMP_NUM_THREADS"] == "4"
    assert os.environ["LINES"] == "40"
    assert not {"LOKY_MAX_CPU_COUNT", "COLUMNS"} & os.environ.keys()


def test_what_the_program_needs_is_set(environment):
    environment(MPLBACKEND="QtAgg", KERAS_BACKEND="jax", SCIPY_ARRAY_API="1")
    settle()
    assert (os.environ["MPLBACKEND"], os.environ["KERAS_BACKEND"]) == ("agg", "tensorflow")
    assert "SCIPY_ARRAY_API" not in os.environ


def test_switches_of_tensorflow_that_it_can_read_stay(environment):
    environment(TF_DETERMINISTIC_OPS="True", TF_CONFIG="{}", TF_CUDNN_DETERMINISTIC="yes")
    settle()
    assert (os.environ["TF_DETERMINISTIC_OPS"], os.environ["TF_CONFIG"]) == ("True", "{}")
    assert "TF_CUDNN_DETERMINISTIC" not in os.environ


def test_xla_knows_where_cuda_is(environment):
    environment(XLA_FLAGS="--nonsense --xla_gpu_cuda_data_dir=/opt/cuda")
    settle()
    assert os.environ["XLA_FLAGS"] == "--xla_gpu_cuda_data_dir=/opt/cuda"


def test_warnings_of_libraries_are_no_errors():
    code = SETTLED + "import warnings; warnings.warn('x'); warnings.warn('y', DeprecationWarning)"
    ended = run(code, PYTHONWARNINGS="error")
    assert ended.returncode == 0
    assert "UserWarning: x" in ended.stderr
    assert "y" not in ended.stderr


def test_images_are_prepared_and_verified_in_strange_surroundings(tmp_path):
    main = "from iris_tf.cli import main; main()"
    eyes, out = tmp_path / "eyes", tmp_path / "out"
    made = run(main, "synthesize", "--out", eyes, "--subjects", 4, "--images", 2, **NONSENSE)
    assert made.returncode == 0, made.stderr
    options = ("--segmenter", "opencv", "--jobs", 2)
    made = run(main, "prepare", "--images", eyes, "--out", out, *options, **NONSENSE)
    assert made.returncode == 0, made.stderr
    first, second, *_ = (path for path in sorted(eyes.rglob("*L0*.jpg")))
    made = run(main, "verify", first, second, **NONSENSE)
    assert made.returncode == 0, made.stderr


def test_tensorflow_starts_in_strange_surroundings():
    code = (
        "from iris_tf.cli.console import load_tensorflow; load_tensorflow()\n"
        "import keras; print(keras.backend.backend(), keras.ops.ones((1, 2)).shape)"
    )
    ended = run(code, **NONSENSE)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "tensorflow (1, 2)\n"


def test_figures_are_drawn_in_the_project_s_style(tmp_path, monkeypatch):
    from iris_tf.report.report_plots import style

    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    monkeypatch.setitem(matplotlib.rcParams, "figure.dpi", 7.0)
    with style():
        assert not matplotlib.rcParams["text.usetex"]
        assert matplotlib.rcParams["figure.dpi"] == matplotlib.rcParamsDefault["figure.dpi"]
        assert matplotlib.rcParams["font.size"] == 8.5
    assert matplotlib.rcParams["text.usetex"]
