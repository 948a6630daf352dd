"""Description of the machine on which a figure was measured."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from iris_tf.support.version import __version__

_PACKAGES = (
    "ai-edge-litert",
    "keras",
    "numpy",
    "open-iris",
    "opencv-python",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "tensorflow-cpu",
)


def machine_description() -> dict[str, Any]:
    """Hardware and software on which speed and numerical results depend.

    Package versions are read from their metadata, without importing the packages.

    Returns
    -------
    dict of JSON values
        ``cpu`` (model name), ``architecture``, ``cores`` (logical cores available to this
        process), ``memory_bytes`` (physical memory; None if unknown), ``os``, ``python`` and
        ``iris_tf`` (versions), and ``packages`` (versions of the installed ones, by name).
    """
    return {
        "cpu": _cpu(),
        "architecture": platform.machine(),
        "cores": _cores(),
        "memory_bytes": _memory_bytes(),
        "os": _operating_system(),
        "python": platform.python_version(),
        "iris_tf": __version__,
        "packages": {
            name: version for name in _PACKAGES if (version := package_version(name)) is not None
        },
    }


def package_version(name: str) -> str | None:
    """Version of an installed package; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; without a model name on Arm
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container may be restricted to some of the cores
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}".strip()
