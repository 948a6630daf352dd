"""Compare the speed of all-pairs evaluation with scikit-learn's in the same memory.

For maintainers: ``python -m iris_tf.benchmark.comparison_speed --embeddings 20000``.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.data.manifest import ManifestRow
from iris_tf.metrics.counts import count_scores
from iris_tf.metrics.scores import ImageLabels, label_images, similarity_blocks
from iris_tf.metrics.verification import curve_of_counts, eer_of_curve
from iris_tf.support.errors import BenchmarkError
from iris_tf.support.files import write_json

IMAGES_PER_EYE = 10
EMBEDDING_SIZE = 128
_NOISE = 1.5  # within-eye over between-eye deviation per dimension: an EER of a few percent
_PROBE = 1200  # embeddings from which scikit-learn's memory is extrapolated
_SHRINK = 0.9
_LEAST = 400

# Run in a separate process, so that peak memory is that of the evaluation.
_CHILD = (
    "import sys; from iris_tf.benchmark.comparison_speed import measure_here; "
    "measure_here(sys.argv[1], int(sys.argv[2]))"
)


def measure_evaluation(embeddings: int = 20_000) -> dict[str, Any]:
    """Evaluate all pairs of generated embeddings with this library and with scikit-learn.

    Both compute the cosines, and from them the ROC curve and the EER. scikit-learn's
    ``roc_curve`` keeps all scores in memory, so it gets as many embeddings as it can process
    in the peak memory of this library. Nothing else should run on the machine.

    Parameters
    ----------
    embeddings : int, optional
        Number of embeddings for this library, 10 images per eye.

    Returns
    -------
    dict
        ``rows`` and ``ratio``, the comparisons per second of the first row over those of the
        second. A row has ``name``, ``embeddings``, ``comparisons``, ``seconds``,
        ``comparisons_per_s``, ``peak_mib`` and ``eer``. ``eer_difference`` is the absolute
        difference between the EERs of both on the embeddings of the second row.

    Raises
    ------
    BenchmarkError
        If there are too few embeddings, the system does not report the memory of a process,
        or a measurement fails.
    """
    if embeddings < 2 * _LEAST:
        raise BenchmarkError(
            f"{embeddings} embeddings are evaluated too quickly to be measured; give at least "
            f"{2 * _LEAST}."
        )
    ours = _run("iris_tf", embeddings)
    start, probe = _run("scikit-learn", _LEAST), _run("scikit-learn", min(_PROBE, embeddings))
    each = max(probe["peak_mib"] - start["peak_mib"], 1.0) / (
        probe["comparisons"] - start["comparisons"]
    )
    comparisons = probe["comparisons"] + (ours["peak_mib"] - probe["peak_mib"]) / each
    size = min(embeddings, int(np.sqrt(2.0 * max(comparisons, 0.0))))
    while True:
        size = max(_LEAST, size - size % (2 * IMAGES_PER_EYE))
        theirs = _run("scikit-learn", size)
        if theirs["peak_mib"] <= ours["peak_mib"]:
            break
        if size == _LEAST:
            raise BenchmarkError(
                f"scikit-learn cannot evaluate even {_LEAST} embeddings in {ours['peak_mib']:.0f} "
                "MiB; measure with more embeddings."
            )
        size = int(_SHRINK * size)
    same = _run("iris_tf", theirs["embeddings"])
    return {
        "rows": [ours, theirs],
        "ratio": ours["comparisons_per_s"] / theirs["comparisons_per_s"],
        "eer_difference": abs(same["eer"] - theirs["eer"]),
    }


def measure_here(name: str, embeddings: int) -> None:
    """Evaluate in this process and print a row of `measure_evaluation` as JSON.

    Parameters
    ----------
    name : {"iris_tf", "scikit-learn"}
    embeddings : int
    """
    vectors, labels = _population(embeddings)
    evaluate = {"iris_tf": _ours, "scikit-learn": _scikit_learn}[name]
    evaluate(*_population(_LEAST // 4))  # imports modules and starts threads
    started = time.perf_counter()
    eer = evaluate(vectors, labels)
    seconds = time.perf_counter() - started
    comparisons = len(vectors) * (len(vectors) - 1) // 2
    print(
        json.dumps(
            {
                "name": name,
                "embeddings": len(vectors),
                "comparisons": comparisons,
                "seconds": seconds,
                "comparisons_per_s": comparisons / seconds,
                "peak_mib": peak_mib(),
                "eer": eer,
            }
        )
    )


def _run(name: str, embeddings: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, name, str(embeddings)], capture_output=True, text=True
    )
    if done.returncode != 0:
        last = (done.stderr.splitlines() or ["it was killed, possibly for lack of memory"])[-1]
        raise BenchmarkError(f"Evaluating {embeddings} embeddings with {name} failed: {last}")
    return json.loads(done.stdout)


def _population(embeddings: int) -> tuple[np.ndarray, ImageLabels]:
    rng = np.random.default_rng(0)
    eye = np.arange(embeddings) // IMAGES_PER_EYE
    centres = rng.standard_normal((eye[-1] + 1, EMBEDDING_SIZE), np.float32)
    vectors = rng.standard_normal((embeddings, EMBEDDING_SIZE), np.float32) * np.float32(_NOISE)
    vectors += centres[eye]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        ManifestRow(str(i), "generated", str(e // 2), "LR"[e % 2], str(e), str(i))
        for i, e in enumerate(eye.tolist())
    ]
    return vectors, label_images(rows)


def _ours(vectors: np.ndarray, labels: ImageLabels) -> float:
    counts = count_scores(similarity_blocks(vectors), labels).counts
    return eer_of_curve(curve_of_counts(counts)).rate


def _scikit_learn(vectors: np.ndarray, labels: ImageLabels) -> float:
    from sklearn.metrics import roc_curve

    n = len(vectors)
    scores = np.empty(n * (n - 1) // 2, np.float32)
    genuine = np.empty(len(scores), bool)
    filled = 0
    for i in range(n - 1):  # row by row, so that no similarity matrix is allocated
        row = slice(filled, filled := filled + n - 1 - i)
        np.dot(vectors[i + 1 :], vectors[i], out=scores[row])
        np.equal(labels.identity[i + 1 :], labels.identity[i], out=genuine[row])
    fpr, tpr, _ = roc_curve(genuine, scores)
    # The EER is where the curve crosses TPR = 1 - FPR.
    after = int(np.argmax(fpr + tpr >= 1.0))
    before = after - 1
    share = (1.0 - fpr[before] - tpr[before]) / (
        fpr[after] + tpr[after] - fpr[before] - tpr[before]
    )
    return float(fpr[before] + share * (fpr[after] - fpr[before]))


def peak_mib() -> float:
    """Largest resident size of this process so far, in MiB.

    Raises
    ------
    BenchmarkError
        When the system does not report it.
    """
    status = Path("/proc/self/status")
    if not status.is_file():
        raise BenchmarkError(
            "this system does not report the memory of a process (no /proc); measure on Linux."
        )
    [peak] = [line.split()[1] for line in status.read_text().splitlines() if "VmHWM" in line]
    return int(peak) / 1024.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print a table.

    Parameters
    ----------
    arguments : sequence of str, optional
        Defaults to the arguments of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embeddings", type=int, default=20_000, help="10 images per eye")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    result = measure_evaluation(options.embeddings)
    print("              embeddings  comparisons  seconds  comparisons/s  peak MiB")
    for row in result["rows"]:
        print(
            f"{row['name']:<14}{row['embeddings']:>10}{row['comparisons']:>13}"
            f"{row['seconds']:>9.2f}{row['comparisons_per_s']:>15.0f}{row['peak_mib']:>10.0f}"
        )
    print(f"ratio: {result['ratio']:.2f}, difference of EER {result['eer_difference']:.1e}")
    if options.out is not None:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
