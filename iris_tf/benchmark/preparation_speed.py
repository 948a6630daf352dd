"""Speed and memory of preparing eye images, with one process and with one per core."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from iris_tf.config.names import DEFAULT_SEGMENTER
from iris_tf.data.layouts import AUTO, read_layout
from iris_tf.preparation.extraction import CHUNK
from iris_tf.preparation.journal import FOLDER
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import BenchmarkError
from iris_tf.support.temporary_names import temporary_folder

_SECONDS_BETWEEN_SAMPLES = 0.25
_MIN_SAMPLES = 8
_WARM_UP = 0.2  # share of the images during which memory still grows to its working size

# Run in a separate process, whose memory is that of `iris-tf prepare`.
_PREPARE = (
    "import sys; from iris_tf.preparation.prepare_dataset import prepare; "
    "prepare(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], jobs=int(sys.argv[5]), "
    "segmenter_model=sys.argv[6] or None)"
)


@dataclass(frozen=True)
class _Sample:
    """Sample of a run: seconds, images done, MiB of the main process and of a worker."""

    seconds: float
    done: int
    main: float
    worker: float


def measure_preparation(
    images: Path,
    segmenter: str = DEFAULT_SEGMENTER,
    segmenter_model: Path | None = None,
    layout: str = AUTO,
) -> dict[str, Any]:
    """Prepare a folder twice, into temporary folders, and measure speed and memory.

    Nothing else should run on the machine. Speed excludes start-up and the final
    tables, whose cost per image is small for a large folder.

    Parameters
    ----------
    images : Path
        Folder with at least a few hundred eye images.
    segmenter, segmenter_model, layout
        As for `iris_tf.preparation.prepare_dataset.prepare`.

    Returns
    -------
    dict
        ``images`` (number), ``rows`` (for one process and, on several cores, for
        one per core) and ``ratio``, the speed of the last row over that of the
        first. A row has ``processes``, ``images_per_s``, ``main_peak_mib`` and
        ``worker_peak_mib`` (peak resident size), and ``main_mib_per_1000_images``
        and ``worker_mib_per_1000_images`` (slope of the resident size after the
        first fifth of the images). Memory is None on systems without ``/proc``, and
        for the worker if the main process does the work itself.

    Raises
    ------
    BenchmarkError
        If the folder is too small for a measurement, or preparation fails.
    DatasetError, ModelError
        If folder or segmenter cannot be used.
    """
    total = len(read_layout(images, layout).rows)
    segmenter_by_name(segmenter, segmenter_model)
    rows = []
    for processes in sorted({1, joblib.effective_n_jobs(-1)}):
        with temporary_folder() as folder:
            arguments = (images, folder / "dataset", layout, segmenter, processes)
            samples, peaks = _watch([*map(str, arguments), str(segmenter_model or "")])
        rows.append({"processes": processes, **_figures(samples, peaks, images, total)})
    ratio = rows[-1]["images_per_s"] / rows[0]["images_per_s"]
    return {"images": total, "rows": rows, "ratio": ratio}


def _watch(arguments: list[str]) -> tuple[list[_Sample], tuple[float, float]]:
    """Run `_PREPARE`; samples of the run, and peak resident sizes of main process and worker."""
    journal = Path(arguments[1]) / FOLDER
    samples, main_peak, worker_peak = [], 0.0, 0.0
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, "-c", _PREPARE, *arguments], stderr=errors)
        try:
            while process.poll() is None:
                done = CHUNK * sum(1 for _ in journal.glob("[!.]*.jsonl"))
                main, workers = _memory(process.pid), list(map(_memory, _children(process.pid)))
                worker = max(workers, key=lambda sizes: sizes[0], default=(0.0, 0.0))
                samples.append(_Sample(time.monotonic(), done, main[0], worker[0]))
                main_peak, worker_peak = max(main_peak, main[1]), max(worker_peak, worker[1])
                time.sleep(_SECONDS_BETWEEN_SAMPLES)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            errors.seek(0)
            message = (errors.read().splitlines() or ["no message"])[-1]
            raise BenchmarkError(f"Preparing {arguments[0]} failed: {message}")
    # The final tables take the journal's chunks away.
    last = max(range(len(samples)), key=lambda i: samples[i].done)
    working = [sample for sample in samples[: last + 1] if sample.done > 0]
    return working, (main_peak, worker_peak)


def _figures(
    samples: list[_Sample], peaks: tuple[float, float], images: Path, total: int
) -> dict[str, Any]:
    settled = [sample for sample in samples if sample.done >= _WARM_UP * total]
    if len(settled) < _MIN_SAMPLES:
        raise BenchmarkError(
            f"{images}: its {total} images are prepared too quickly to be measured; "
            "give a folder of more images."
        )
    seconds = samples[-1].seconds - samples[0].seconds
    figures: dict[str, Any] = {
        "images_per_s": (samples[-1].done - samples[0].done) / seconds,
    }
    for name, peak in zip(("main", "worker"), peaks, strict=True):
        figures[f"{name}_peak_mib"] = peak or None
        sizes = [getattr(sample, name) for sample in settled]
        slope = np.polyfit([sample.done / 1000.0 for sample in settled], sizes, 1)[0]
        figures[f"{name}_mib_per_1000_images"] = float(slope) if peak else None
    return figures


def _children(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in children.split()]


def _memory(process: int) -> tuple[float, float]:
    """Current and peak resident size in MiB; 0 if the system does not report it."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return int(sizes.get("VmRSS", 0)) / 1024.0, int(sizes.get("VmHWM", 0)) / 1024.0
