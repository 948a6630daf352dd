"""Models, and a baseline if wanted, on one split of prepared datasets."""

import collections
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import ALL_SPLITS, SPLITS
from iris_tf.data.crop_store import read_crop
from iris_tf.data.manifest import ManifestRow, model_segmenter, read_manifest
from iris_tf.evaluation.failures import (
    failed_images,
    generalised_rates,
    generalised_rates_of_pairs,
)
from iris_tf.evaluation.iriscode import IrisCodeBaseline, hamming_distances, iriscode_of_dataset
from iris_tf.evaluation.pair_lists import read_pairs
from iris_tf.evaluation.prepared_sets import PreparedSet, prepared_sets
from iris_tf.evaluation.saliency import OcclusionMap, occlusion_maps
from iris_tf.evaluation.slices import slice_figures
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.counts import ScoreCounts
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
from iris_tf.support.errors import DatasetError, EvaluationError, ModelError
from iris_tf.support.files import sha256
from iris_tf.support.machine import machine_description
from iris_tf.support.progress import track
from iris_tf.tflite.cost import model_cost
from iris_tf.tflite.model_card import ModelCard

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
    if split not in (*SPLITS, ALL_SPLITS):
        raise DatasetError(f"split {split!r} is unknown; choose train, val, test or all.")
    rows = [row for row in read_manifest(manifest) if split in ("all", row.split)]
    if not rows:
        raise DatasetError(f"{manifest}: no row belongs to the split {split}.")
    for row in rows:
        if not row.roi:
            raise DatasetError(f"{manifest}: {row.image} has no crop; run `iris-tf prepare` first.")
    return rows


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate, and how.

    Attributes
    ----------
    models : sequence of str or Path
        ``.tflite`` or ``.keras`` files, or run folders (their best checkpoints). The others are
        compared with the first on the same images and resamples.
    manifests : sequence of str or Path
        Manifests of prepared datasets; crops are read relative to their folders. Several, of
        different subjects, are evaluated together: each is then called by the name of its
        folder, and its images ``<name>/<image>``.
    split : {"train", "val", "test", "all"}
    protocol : {"all-pairs", "same-eye", "across-datasets"}
        See `label_images`.
    pairs : tuple of two str or Path, optional
        Lists of the genuine and the impostor comparisons (see `read_pairs`), which are then the
        only ones.
    baseline : {None, "iriscode"}
        What to compare the first model with (see `iris_tf.evaluation.iriscode`), on the images
        that both could use; the model's own figures stay those of all images.
    segmenter_model : str or Path, optional
        File with the network of the segmenter that made the crops, if it was not its own:
        the baseline segments the eye images again.
    jobs : int
        Processes that encode for the baseline; -1 for one a core.
    resamples : int
        Resamples of the bootstrap over subjects; 0 for no confidence intervals.
    occlusion_eyes : int
        Number of eyes with occlusion maps (see `iris_tf.evaluation.saliency`), at the cost of
        some 250 inferences each and model.
    """

    models: Sequence[str | Path]
    manifests: Sequence[str | Path]
    split: str = "test"
    protocol: str = "all-pairs"
    pairs: tuple[str | Path, str | Path] | None = None
    baseline: str | None = None
    segmenter_model: str | Path | None = None
    jobs: int = -1
    resamples: int = RESAMPLES
    occlusion_eyes: int = 0


@dataclass(frozen=True)
class OpenedModel:
    """A model to evaluate.

    Attributes
    ----------
    name : str
        What it is called in all results: its file name, or what the user typed where several
        have the same.
    embedder : Embedder
        It, ready for crops.
    """

    name: str
    embedder: Embedder


@dataclass(frozen=True)
class EvaluationInputs:
    """A request whose files were read and found usable together.

    Attributes
    ----------
    request : EvaluationRequest
        What was asked for.
    sets : sequence of PreparedSet
        Its datasets.
    rows : list of ManifestRow
        Images to compare.
    failed : list of (ManifestRow, str) or None
        Images without a crop, with the reason; None where they are not known.
    lists : tuple of two ndarray of shape (n, 2), int64, or None
        Listed genuine and impostor comparisons, indices into `rows` and then `failed`.
    models : sequence of OpenedModel
        Its models.
    """

    request: EvaluationRequest
    sets: Sequence[PreparedSet]
    rows: list[ManifestRow]
    failed: list[tuple[ManifestRow, str]] | None
    lists: tuple[np.ndarray, ...] | None
    models: Sequence[OpenedModel]


@dataclass(frozen=True)
class EvaluationOutcome:
    """What an evaluation found.

    Attributes
    ----------
    result : dict
        The content of ``metrics.json``: ``model`` (name, file, precision, sha256, bytes, phase:
        the fields of its `PhaseCodeLayout`, or None, parameters and macs, None of what is no
        ``.tflite`` file, and latency, None here),
        ``manifest``, ``other_manifests``, ``split``, ``evaluation`` (see `evaluate_embeddings`),
        ``generalised`` (see `generalised_rates`; None where failures are not known), ``slices``
        (see `slice_figures`), ``others``, ``baselines`` and ``machine``. Each of the others has
        ``model``, ``evaluation``, ``generalised`` and ``slices`` of its own, and ``differences``
        to the first (see `paired_differences`). Each baseline has ``name``, ``library``,
        ``segmenter``, ``segmenter_version``, ``templates`` (number of images it could use),
        ``failures`` (the others by `FailureReason`), ``errors`` (the same by the library's own
        names), ``evaluation`` and ``generalised`` of the baseline (an image without template
        is a failure to extract too), and ``model_evaluation``, of the model on the same images.
    scores : dict of str to ScoreCounts
        Scores of each model, by its name.
    occlusion : dict of str to list of OcclusionMap
        Maps of each model, by its name; empty where none were asked for.
    """

    result: dict[str, Any]
    scores: dict[str, ScoreCounts]
    occlusion: dict[str, list[OcclusionMap]]


def read_inputs(request: EvaluationRequest) -> EvaluationInputs:
    """Read and check all that an evaluation needs, so that nothing is refused after work.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        When a model, a manifest or a list cannot be used, or settings exclude each other.
    """
    sets = prepared_sets(request.manifests)
    rows = [row for each in sets for row in each.named(select_rows(each.manifest, request.split))]
    _check_settings(request)
    label_images(rows, request.protocol)  # refused before the work
    failed = _failed(sets, request.split)
    every = [*rows, *(row for row, _ in failed or ())]
    lists = request.pairs and tuple(
        read_pairs(path, every, genuine)
        for path, genuine in zip(request.pairs, (True, False), strict=True)
    )
    embedders = [open_model(path) for path in request.models]
    for path, embedder in zip(request.models, embedders, strict=True):
        for each in sets:
            _check_crops(path, embedder.channels, each)
    models = list(map(OpenedModel, _names(request.models, embedders), embedders))
    return EvaluationInputs(request, sets, rows, failed, lists, models)


def _check_settings(request: EvaluationRequest) -> None:
    baseline = request.baseline
    if baseline not in (None, *BASELINES):
        raise EvaluationError(
            f"baseline {baseline!r} is unknown; choose one of {', '.join(BASELINES)}."
        )
    if request.pairs is not None and (baseline or request.protocol != "all-pairs"):
        raise EvaluationError(
            "lists of pairs say which comparisons there are; leave out the protocol and the "
            "baseline."
        )
    if baseline and len(request.manifests) > 1:
        raise EvaluationError(
            f"the baseline {baseline} reads the images of one dataset; give one manifest."
        )


def evaluate_models(inputs: EvaluationInputs) -> EvaluationOutcome:
    """Embed the images with each model, and compute all figures.

    Parameters
    ----------
    inputs : EvaluationInputs
        From `read_inputs`.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        When a crop cannot be read, or a model or the baseline fails.
    """
    request, rows, failed, lists = inputs.request, inputs.rows, inputs.failed, inputs.lists
    protocol, resamples = request.protocol, request.resamples
    descriptions = [_description(model) for model in inputs.models]
    codes = (
        iriscode_of_dataset(rows, request.manifests[0], request.segmenter_model, request.jobs)
        if request.baseline
        else None
    )
    entries: list[dict[str, Any]] = []
    evaluations: list[Evaluation] = []
    occlusion: dict[str, list[OcclusionMap]] = {}
    for description, model in zip(descriptions, inputs.models, strict=True):
        embedder = model.embedder
        crops = (read_crop(Path(row.roi), embedder.channels) for row in rows)
        vectors = np.asarray(
            embedder.embed(track(crops, f"Embedding with {model.name}", len(rows)))
        )
        if lists:
            genuine, impostor = (listed[(listed < len(rows)).all(axis=1)] for listed in lists)
            evaluation = evaluation_of_pairs(
                vectors, rows, genuine, impostor, resamples, matcher=embedder.matcher
            )
        else:
            evaluation = evaluation_of_embeddings(
                vectors, rows, resamples, protocol=protocol, matcher=embedder.matcher
            )
        if not entries:
            embeddings = vectors
        evaluations.append(evaluation)
        if request.occlusion_eyes:
            occlusion[model.name] = occlusion_maps(embedder, rows, "", request.occlusion_eyes)
        entries.append(
            {
                "model": description,
                "evaluation": evaluation.result,
                "generalised": _generalised(evaluation, rows, failed, protocol, lists),
                "slices": slice_figures(vectors, rows, evaluation, embedder.matcher),
            }
        )
    for entry, evaluation in zip(entries[1:], evaluations[1:], strict=True):
        entry["differences"] = paired_differences(evaluations[0], evaluation)
    manifest, *other_manifests = map(str, request.manifests)
    result = {
        **entries[0],
        "others": entries[1:],
        "manifest": manifest,
        "other_manifests": other_manifests,
        "split": request.split,
        "baselines": []
        if codes is None
        else [
            _beside(
                codes,
                evaluations[0].result,
                embeddings,
                inputs.models[0].embedder.matcher,
                rows,
                failed,
                protocol,
                resamples,
            )
        ],
        "machine": machine_description(),
    }
    names = [model.name for model in inputs.models]
    scores = [evaluation.comparisons.counts for evaluation in evaluations]
    return EvaluationOutcome(result, dict(zip(names, scores, strict=True)), occlusion)


def _failed(sets: Sequence[PreparedSet], split: str) -> list[tuple[ManifestRow, str]] | None:
    failed: list[tuple[ManifestRow, str]] = []
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


def _description(model: OpenedModel) -> dict[str, Any]:
    path, layout = model.embedder.path, model.embedder.matcher.layout
    exported, digest = path.suffix == ".tflite", sha256(path)
    cost = model_cost(path) if exported else None
    card = ModelCard.of_file(path) if exported else None
    precisions = {file.sha256: file.precision for file in card.files.values()} if card else {}
    return {
        "name": model.name,
        "file": path.name,
        "precision": precisions.get(digest, ""),
        "sha256": digest,
        "bytes": path.stat().st_size,
        "phase": None if layout is None else dataclasses.asdict(layout),
        "parameters": None if cost is None else cost.parameters,
        "macs": None if cost is None else cost.macs,
        "latency": None,
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
        genuine, impostor = lists
        return generalised_rates_of_pairs(len(rows), failed, genuine, impostor, counts, thresholds)
    return generalised_rates(rows, failed, counts, thresholds, protocol)


def _beside(
    baseline: IrisCodeBaseline,
    evaluation: dict[str, Any],
    embeddings: np.ndarray,
    matcher: Matcher,
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
            embeddings[usable], compared, resamples, protocol=protocol, matcher=matcher
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


def _check_crops(model: str | Path, channels: int, prepared: PreparedSet) -> None:
    """Refuse crops of another kind than the model's: the figures would mean nothing.

    Says nothing where either side does not know, e.g. of a ``.tflite`` without card.
    """
    found = prepared.settings
    if found is None:
        return
    found = found | {"segmenter": model_segmenter(found)}
    wanted = (crop_settings(model) or {}) | {"channels": channels}
    for name in wanted:
        if wanted[name] != found[name]:
            raise ModelError(
                f"{model}: was trained on crops with {name} {wanted[name]}, but "
                f"{prepared.manifest} holds {found[name]}; prepare the images as the model wants "
                "them."
            )
