"""Plot of the time of a search against the size of the gallery."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iris_tf.support.files import atomic_path

_LINES = {
    "exact_ms_cpu": "every template compared (NumPy)",
    "search_ms_cpu": "search in two stages",
    "engine_ms_cpu": "its first stage alone (faiss)",
}


def write_gallery_plot(result: Mapping[str, Any], path: str | Path) -> None:
    """Draw processor time of searches over numbers of templates, both on logarithmic axes.

    Parameters
    ----------
    result : mapping
        Of `iris_tf.benchmark.gallery_speed.measure_gallery`.
    path : str or Path
        Image file; its suffix names the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    sizes = [row["images"] for row in result["sizes"]]
    for name, label in _LINES.items():
        axes.loglog(sizes, [row[name] for row in result["sizes"]], marker="o", label=label)
    axes.set_xlabel("templates in the gallery")
    axes.set_ylabel("processor time of a search (ms)")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
