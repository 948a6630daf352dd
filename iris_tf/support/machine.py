"""Description of the machine that a figure was measured on."""

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
    """Hardware and software that speed and numbers depend on, as JSON values.

    Packages are looked up, not imported.

    Returns
    -------
    dict
        ``cpu`` (model name), ``architecture``, ``cores`` (logical cores that this
        process may use), ``memory_bytes`` (None where the system does not say),
        ``os``, ``python``, ``iris_tf`` (versions) and ``packages`` (version by
        name, of those installed).
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
    """Version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; Arm kernels give no model name
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer than the machine
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
