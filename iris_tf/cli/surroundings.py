"""Settings of other programs in the environment, which must not change or stop commands.

What this program needs is set. A setting that a library could not read, such as a number of
threads that is no number, is removed: the library would raise an exception of its own, or end the
process without a word.
"""

import os
import sys
import warnings
from collections.abc import Callable

_NEEDED = {
    "KERAS_BACKEND": "tensorflow",
    "MPLBACKEND": "agg",  # figures are written to files
}

_FOREIGN = (
    "JOBLIB_START_METHOD", "MATPLOTLIBRC", "PYTHONWARNINGS", "SCIPY_ARRAY_API",
    "TF_USE_LEGACY_KERAS",
)  # fmt: skip
"""Removed whatever their values: they change results, or turn warnings of libraries to errors."""

_NUMBERS = (
    "COLUMNS", "LINES", "LOKY_MAX_CPU_COUNT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "SOURCE_DATE_EPOCH",
)  # fmt: skip
"""Kept where they are numbers from 0 on."""

_TEXTS_OF_TENSORFLOW = ("TF_CONFIG", "TF_GPU_ALLOCATOR", "TF_GPU_THREAD_MODE")
_KEPT_OF_OPENCV = ("OPENCV_FOR_THREADS_NUM", "OPENCV_LOG_LEVEL")
_KEPT_OF_XLA = "--xla_gpu_cuda_data_dir="  # where CUDA is installed; XLA exits at flags it lacks


def settle() -> None:
    """Set or remove environment variables; must run before libraries are imported."""
    os.environ.update(_NEEDED)
    _keep(_FOREIGN, lambda value: False)
    _keep(_NUMBERS, _is_number)
    _keep(_all_but(_KEPT_OF_OPENCV, "OPENCV_"), lambda value: False)
    # TensorFlow aborts at a switch that is neither a number nor a truth value.
    _keep(_all_but(_TEXTS_OF_TENSORFLOW, "TF_"), _is_switch)
    flags = [flag for flag in os.environ.pop("XLA_FLAGS", "").split() if _is_kept(flag)]
    if flags:
        os.environ["XLA_FLAGS"] = " ".join(flags)
    if sys.warnoptions:  # of PYTHONWARNINGS: a warning of a library would end the command
        sys.warnoptions.clear()
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", category)
        warnings.simplefilter("ignore", ResourceWarning)


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _is_switch(value: str) -> bool:
    return _is_number(value) or value.lower() in ("true", "false")


def _all_but(kept: tuple[str, ...], prefix: str) -> list[str]:
    """Names of the variables with a prefix, except some."""
    return [name for name in os.environ if name.startswith(prefix) and name not in kept]


def _is_kept(flag: str) -> bool:
    return flag.startswith(_KEPT_OF_XLA)


def _keep(names: tuple[str, ...] | list[str], usable: Callable[[str], bool]) -> None:
    """Remove those variables whose values are not usable."""
    for name in names:
        if name in os.environ and not usable(os.environ[name]):
            del os.environ[name]
