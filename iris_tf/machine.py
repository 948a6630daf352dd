"""Which machine and which library versions a figure was measured with."""

import os
import platform
from importlib import metadata

import iris_tf

_PACKAGES = ("ai-edge-litert", "keras", "numpy", "opencv-python", "tensorflow", "tensorflow-cpu")


def machine_description() -> dict[str, object]:
    """Describe the machine, for files that hold measured figures.

    Returns
    -------
    dict
        ``cpu`` (model name), ``cores`` (usable by this process), ``memory_mib``,
        ``system``, ``python``, ``iris_tf`` and ``packages`` (name to version).
    """
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": platform.platform(),
        "python": platform.python_version(),
        "iris_tf": iris_tf.__version__,
        "packages": _versions(),
    }


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
