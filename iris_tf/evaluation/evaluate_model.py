"""`iris-tf evaluate`: models, and a baseline if wanted, on one split of one manifest."""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.data.crop_store import read_crop
from iris_tf.data.manifest import SPLITS, ManifestRow, read_manifest
from iris_tf.evaluation.failures import (
    failed_images,
    generalised_rates,
    generalised_rates_of_pairs,
)
from iris_tf.evaluation.iriscode import IrisCodeBaseline, hamming_distances, iriscode_of_dataset
from iris_tf.evaluation.pair_lists import read_pairs
from iris_tf.evaluation.prepared_sets import PreparedSet, prepared_sets
from iris_tf.evaluation.saliency import MAPS_NAME, occlusion_maps, write_maps
from iris_tf.evaluation.slices import slice_figures
from iris_tf.metrics.differences import paired_differences
from iris_tf.metrics.evaluate_embeddings import (
    RESAMPLES,
    Evaluation,
    evaluate_embeddings,
    evaluation_of_embeddings,
    evaluation_of_pairs,
    evaluation_of_similarities,
)
from iris_tf.metrics.scores import label_images
from iris_tf.recognition.open_model import Embedder, crop_settings, open_model
from iris_tf.report.model_report import write_model_report
from iris_tf.support.errors import DatasetError, EvaluationError, ModelError
from iris_tf.support.files import atomic_path, check_writable, sha256, write_json
from iris_tf.support.machine import machine_description
from iris_tf.support.progress import track
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

BASELINES = ("iriscode",)


def select_rows(manifest: str | Path, split: str) -> list[ManifestRow]:
    """Prepared rows of a split, or of all splits.

    Parameters
    ----------
    manifest : str or Path
        Manifest of a prepared dataset.
    split : {"train", "val", "test", "all"}

    Raises
    ------
    DatasetError
        When the split is unknown or empty, or an image has no crop.
    """
    if split not in (*SPLITS, "all"):
        raise DatasetError(f"split {split!r} is unknown; choose train, val, test or all.")
    rows = [row for row in read_manifest(manifest) if split in ("all", row.split)]
    if not rows:
        raise DatasetError(f"{manifest}: no row belongs to the split {split}.")
    for row in rows:
        if not row.roi:
            raise DatasetError(f"{manifest}: {row.image} has no crop; run `iris-tf prepare` first.")
    return rows


def evaluate_model(
    model: str | Path,
    manifest: str | Path,
    out: str | Path,
    split: str = "test",
    baseline: str | None = None,
    segmenter_model: str | Path | None = None,
    jobs: int = -1,
    others: Sequence[str | Path] = (),
    protocol: str = "all-pairs",
    pairs: tuple[str | Path, str | Path] | None = None,
    resamples: int = RESAMPLES,
    scores: str | Path | None = None,
    cost: Callable[[Path], Any] | None = None,
    latency: Callable[[Path], Mapping[str, Any]] | None = None,
    occlusion_eyes: int = 0,
    other_manifests: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Embed a split with a model, evaluate it and write ``metrics.json`` and ``report.html``.

    With a baseline, both are compared on the images that both could use; the model's own
    figures stay those of all images.

    Parameters
    ----------
    model : str or Path
        A ``.tflite`` or ``.keras`` file, or a run folder (its best checkpoint).
    manifest : str or Path
        Manifest of a prepared dataset; crops are read relative to its folder.
    out : str or Path
        Folder of these files; made when missing. There is no report on a manifest
        without its ``dataset.json``.
    split : {"train", "val", "test", "all"}
    baseline : {None, "iriscode"}
        What to compare the model with (see `iris_tf.evaluation.iriscode`).
    segmenter_model : str or Path, optional
        File with the network of the segmenter that made the crops, if it was not its own:
        the baseline segments the eye images again.
    jobs : int
        Processes that encode for the baseline; -1 for one a core.
    others : sequence of str or Path, optional
        More models, to be set beside the first on the same images and resamples.
    protocol : {"all-pairs", "same-eye", "across-datasets"}, optional
        See `label_images`.
    pairs : tuple of two str or Path, optional
        Lists of the genuine and the impostor comparisons (see `read_pairs`): no others are
        made then.
    resamples : int, optional
        Resamples of the bootstrap over persons; 0 for no confidence intervals.
    scores : str or Path, optional
        ``.npz`` file to write: ``models`` (names), and for the model number i, from 0,
        ``levels_i`` (distinct scores, rising), ``genuine_i`` and ``impostor_i`` (number of
        comparisons with each).
    cost : callable, optional
        Counts ``parameters`` and ``macs`` of a ``.tflite`` file, as
        `iris_tf.tflite.cost.model_cost` does.
    latency : callable, optional
        Times a ``.tflite`` file on one thread, as `iris_tf.benchmark.latency.measure_latency`
        does.
    occlusion_eyes : int, optional
        Number of eyes of which the report shows what each model's embedding looks at (see
        `iris_tf.evaluation.saliency`), at the cost of some 250 inferences each. The maps
        are written, too, as ``occlusion.npz`` (see `write_maps`).
    other_manifests : sequence of str or Path, optional
        More datasets, of other persons, to be evaluated together with the first. Each is then
        called by the name of its folder, and its images ``<name>/<image>``.

    Returns
    -------
    dict
        What was written: ``model`` (name, file, precision, sha256, bytes, phase: the fields of its
        `PhaseCodeLayout`, or None, parameters and macs, None where they are not counted, and
        latency: median and p95 in milliseconds, runs, threads, runtime; None where it is not
        measured),
        ``manifest``, ``other_manifests``, ``split``, ``evaluation`` (see `evaluate_embeddings`),
        ``generalised`` (see `generalised_rates`; None where failures are not known), ``slices``
        (see `slice_figures`), ``others``, ``baselines`` and ``machine``. Each of the others has
        ``model``, ``evaluation``, ``generalised`` and ``slices`` of its own, and ``differences``
        to the first (see `paired_differences`). Each baseline has ``name``, ``library``,
        ``segmenter``, ``segmenter_version``, ``templates`` (number of images it could use),
        ``failures`` (the others by `FailureReason`), ``errors`` (the same by the library's own
        names), ``evaluation`` and ``generalised`` of the baseline (an image without template
        is a failure to extract too), and ``model_evaluation``, of the model on the same images.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        When model, manifest, a list or a crop cannot be used.
    OSError
        Before the work, where `out` or `scores` cannot be written.
    """
    check_writable(out, folder=True)
    if scores is not None:
        check_writable(scores)
    sets = prepared_sets([manifest, *other_manifests])
    rows = [row for each in sets for row in each.named(select_rows(each.manifest, split))]
    if baseline not in (None, *BASELINES):
        raise EvaluationError(
            f"baseline {baseline!r} is unknown; choose one of {', '.join(BASELINES)}."
        )
    if pairs is not None and (baseline or protocol != "all-pairs"):
        raise EvaluationError(
            "lists of pairs say which comparisons there are; leave out the protocol and the "
            "baseline."
        )
    if baseline and other_manifests:
        raise EvaluationError(
            f"the baseline {baseline} reads the images of one dataset; give one manifest."
        )
    label_images(rows, protocol)  # refused before the work
    failed = _failed(sets, split)
    every = [*rows, *(row for row, _ in failed or ())]
    lists = pairs and tuple(
        read_pairs(path, every, genuine) for path, genuine in zip(pairs, (True, False), strict=True)
    )
    given = [model, *others]
    embedders = [open_model(path) for path in given]
    for path in given:
        for each in sets:
            _check_crops(path, each)
    # First, so that settings that cannot be are refused before the work.
    models = [
        _description(name, embedder, cost, latency)
        for name, embedder in zip(_names(given, embedders), embedders, strict=True)
    ]
    codes = iriscode_of_dataset(rows, manifest, segmenter_model, jobs) if baseline else None
    entries, evaluations, occlusion = [], [], {}
    for description, embedder in zip(models, embedders, strict=True):
        crops = (read_crop(Path(row.roi)) for row in rows)
        step = f"Embedding with {description['name']}"
        vectors = np.asarray(embedder.embed(track(crops, step, len(rows))))
        if lists:
            compared = (listed[(listed < len(rows)).all(axis=1)] for listed in lists)
            evaluation = evaluation_of_pairs(
                vectors, rows, *compared, resamples, phase=embedder.phase
            )
        else:
            evaluation = evaluation_of_embeddings(
                vectors, rows, resamples, protocol=protocol, phase=embedder.phase
            )
        if not entries:
            embeddings = vectors
        evaluations.append(evaluation)
        if occlusion_eyes:
            occlusion[description["name"]] = occlusion_maps(embedder, rows, "", occlusion_eyes)
        entries.append(
            {
                "model": description,
                "evaluation": evaluation.result,
                "generalised": _generalised(evaluation, rows, failed, protocol, lists),
                "slices": slice_figures(vectors, rows, evaluation, embedder.phase),
            }
        )
    for entry, evaluation in zip(entries[1:], evaluations[1:], strict=True):
        entry["differences"] = paired_differences(evaluations[0], evaluation)
    result = {
        **entries[0],
        "others": entries[1:],
        "manifest": str(manifest),
        "other_manifests": [str(path) for path in other_manifests],
        "split": split,
        "baselines": []
        if codes is None
        else [
            _beside(
                codes,
                evaluations[0].result,
                embeddings,
                embedders[0].phase,
                rows,
                failed,
                protocol,
                resamples,
            )
        ],
        "machine": machine_description(),
    }
    if scores is not None:
        _write_scores(scores, entries, evaluations)
    write_json(Path(out) / "metrics.json", result)
    if occlusion:
        write_maps(Path(out) / MAPS_NAME, occlusion)
    else:  # those of an evaluation before are of other models or images
        (Path(out) / MAPS_NAME).unlink(missing_ok=True)
    write_model_report(Path(out) / "report.html", result, sets, occlusion)
    return result


def _failed(sets: Sequence[PreparedSet], split: str) -> list[tuple[ManifestRow, str]] | None:
    failed = []
    for each in sets:
        found = failed_images(each.manifest, split)
        if found is None:
            return None
        rows = each.named(row for row, _ in found)
        failed += zip(rows, (reason for _, reason in found), strict=True)
    return failed


def _names(given: Sequence[str | Path], embedders: Sequence[Embedder]) -> list[str]:
    """File names, or what the user typed where they are the same, as of two runs."""
    files = [embedder.path.name for embedder in embedders]
    return [
        file if files.count(file) == 1 else str(path)
        for path, file in zip(given, files, strict=True)
    ]


def _description(
    name: str,
    embedder: Embedder,
    cost: Callable[[Path], Any] | None,
    latency: Callable[[Path], Mapping[str, Any]] | None,
) -> dict[str, Any]:
    path, phase = embedder.path, embedder.phase
    exported, digest = path.suffix == ".tflite", sha256(path)
    counted = cost(path) if exported and cost is not None else None
    timed = latency(path) if exported and latency is not None else None
    card = ModelCard.of_file(path) if exported else None
    precisions = {file.sha256: file.precision for file in card.files.values()} if card else {}
    return {
        "name": name,
        "file": path.name,
        "precision": precisions.get(digest, ""),
        "sha256": digest,
        "bytes": path.stat().st_size,
        "phase": None if phase is None else dataclasses.asdict(phase),
        "parameters": None if counted is None else counted.parameters,
        "macs": None if counted is None else counted.macs,
        "latency": None if timed is None else _times(timed),
    }


def _times(timed: Mapping[str, Any]) -> dict[str, Any]:
    (row,) = timed["rows"]
    return {
        "median": row["inference"]["median"],
        "p95": row["inference"]["p95"],
        "runs": row["inference"]["count"],
        "threads": row["threads"],
        "runtime": timed["runtime"],
    }


def _generalised(
    evaluation: Evaluation,
    rows: Sequence[ManifestRow],
    failed: Sequence[tuple[ManifestRow, str]] | None,
    protocol: str,
    lists: Sequence[np.ndarray] | None = None,
) -> dict[str, Any] | None:
    if failed is None:
        return None
    result = evaluation.result
    thresholds = {"eer": result["thresholds"]["eer"]} | {
        name: point["threshold"]
        for name, point in result["operating_points"].items()
        if point["supported"]
    }
    counts = evaluation.comparisons.counts
    if lists:
        return generalised_rates_of_pairs(len(rows), failed, *lists, counts, thresholds)
    return generalised_rates(rows, failed, counts, thresholds, protocol)


def _write_scores(
    path: str | Path, entries: Sequence[dict[str, Any]], evaluations: Sequence[Evaluation]
) -> None:
    path = Path(path)
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")  # as NumPy does, which would miss the rename
    arrays = {"models": np.array([entry["model"]["name"] for entry in entries])}
    for i, evaluation in enumerate(evaluations):
        counts = evaluation.comparisons.counts
        for name in ("levels", "genuine", "impostor"):
            arrays[f"{name}_{i}"] = getattr(counts, name)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def _beside(
    baseline: IrisCodeBaseline,
    evaluation: dict[str, Any],
    embeddings: np.ndarray,
    phase: PhaseCodeLayout | None,
    rows: list[ManifestRow],
    failed: Sequence[tuple[ManifestRow, str]] | None,
    protocol: str,
    resamples: int,
) -> dict[str, Any]:
    """A baseline's entry in ``metrics.json``."""
    usable = baseline.codes.images
    compared = [rows[i] for i in usable]
    if failed is not None:
        without = (rows[i] for i in np.setdiff1d(np.arange(len(rows)), usable))
        reasons = collections.Counter(baseline.codes.failures).elements()
        failed = [*failed, *zip(without, reasons, strict=True)]
    if len(compared) < len(rows):
        evaluation = evaluate_embeddings(
            embeddings[usable], compared, resamples, protocol=protocol, phase=phase
        )
    similarities = hamming_distances(baseline.codes.codes, baseline.codes.masks)
    np.subtract(1.0, similarities, out=similarities)
    found = evaluation_of_similarities(similarities, compared, resamples, protocol=protocol)
    return {
        "name": "IrisCode",
        "library": f"Open-Iris {baseline.version}",
        "segmenter": baseline.segmenter,
        "segmenter_version": baseline.segmenter_version,
        "templates": len(compared),
        "failures": baseline.codes.failures,
        "errors": baseline.codes.errors,
        "evaluation": found.result,
        "generalised": _generalised(found, compared, failed, protocol),
        "model_evaluation": evaluation,
    }


def _check_crops(model: str | Path, prepared: PreparedSet) -> None:
    """Refuse crops of another kind than the model's: the figures would mean nothing.

    Says nothing where either side does not know, e.g. of a ``.tflite`` without card.
    """
    wanted, found = crop_settings(model), prepared.settings
    if wanted is None or found is None:
        return
    for name in ("roi_mode", "segmenter"):
        if wanted[name] != found[name]:
            raise ModelError(
                f"{model}: was trained on crops with {name} {wanted[name]}, but "
                f"{prepared.manifest} holds {found[name]}; prepare the images as the model wants "
                "them."
            )
