"""Evaluate models, and a baseline if wanted, on one split of prepared datasets."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.config.names import ALL_PAIRS, BASELINES
from iris_tf.data.crop_store import read_crop
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.copied_crops import refuse_copies
from iris_tf.evaluation.evaluation_result import (
    BaselineResult,
    EvaluationResult,
    ModelDescription,
    ModelResult,
)
from iris_tf.evaluation.failures import FailedImage, generalised_rates
from iris_tf.evaluation.fold_protocol import FoldedPairLists
from iris_tf.evaluation.iriscode import IrisCodeBaseline, hamming_distances, iriscode_of_dataset
from iris_tf.evaluation.model_crops import common_images, set_for_model
from iris_tf.evaluation.prepared_sets import PreparedSet, read_prepared_sets
from iris_tf.evaluation.protocols import EveryPair, PairLists, Protocol
from iris_tf.evaluation.saliency import OcclusionMap, occlusion_maps
from iris_tf.evaluation.slices import slice_figures
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.differences import paired_differences
from iris_tf.metrics.evaluate_embeddings import RESAMPLES, Evaluation, evaluate_similarities
from iris_tf.quantization.packed_file import PACKED_SUFFIX
from iris_tf.recognition.open_model import Embedder, open_model
from iris_tf.support.errors import EvaluationError
from iris_tf.support.files import real_path, sha256
from iris_tf.support.machine import machine_description
from iris_tf.support.progress import track
from iris_tf.tflite.cost import model_cost
from iris_tf.tflite.model_card import ModelCard


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate, and how.

    Attributes
    ----------
    models : sequence of str or Path
        ``.tflite`` or ``.keras`` files, or run folders (their best checkpoints). The others are
        compared with the first on the same images and resamples.
    manifests : sequence of str or Path
        Manifests of prepared datasets. Several, of different subjects, are evaluated together:
        each is then called by the name of its folder, and its images ``<name>/<image>``. Crops in
        the ROI modes of other models are cut if the dataset keeps its segmentation; only images
        with a crop for every model are compared, and the others are failures to extract.
    split : {"train", "val", "test", "all"}
    protocol : {"all-pairs", "same-eye", "across-datasets"}
        See `iris_tf.evaluation.protocols`.
    pairs : tuple of two str or Path, optional
        Lists of the genuine and the impostor comparisons (see `read_pairs`), which are then the
        only ones.
    folds : str or Path, optional
        LFW's ``pairs.txt`` (see `read_lfw_pairs`), whose comparisons are then the only ones.
    baseline : {None, "iriscode"}
        What to compare the first model with (see `iris_tf.evaluation.iriscode`), on the images
        that both could use; the model's own figures remain those of all images.
    segmenter_model : str or Path, optional
        Network of the segmenter that made the crops, unless it was the built-in one: the baseline
        segments the eye images again.
    jobs : int
        Processes that encode for the baseline; -1 for one per core.
    resamples : int
        Resamples of the bootstrap over subjects; 0 for no confidence intervals.
    occlusion_eyes : int
        Number of eyes with saliency maps (see `iris_tf.evaluation.saliency`), which take about
        250 inferences each and model.
    by_similarity : bool
        Whether to compare by similarity also where a model's card has scores.
    """

    models: Sequence[str | Path]
    manifests: Sequence[str | Path]
    split: str = "test"
    protocol: str = ALL_PAIRS
    pairs: tuple[str | Path, str | Path] | None = None
    folds: str | Path | None = None
    baseline: str | None = None
    segmenter_model: str | Path | None = None
    jobs: int = -1
    resamples: int = RESAMPLES
    occlusion_eyes: int = 0
    by_similarity: bool = False


@dataclass(frozen=True)
class OpenedModel:
    """A model to evaluate.

    Attributes
    ----------
    name : str
        What it is called in all results: the name of its file or run folder, or what the user
        typed where several have the same.
    embedder : Embedder
        The loaded model.
    matcher : Matcher
        Compares its embeddings: by score if the model's card has scores, else by similarity.
    sets : sequence of PreparedSet
        The datasets with its crops.
    """

    name: str
    embedder: Embedder
    matcher: Matcher
    sets: Sequence[PreparedSet]


@dataclass(frozen=True)
class EvaluationInputs:
    """A request whose files have been read and checked.

    Attributes
    ----------
    request : EvaluationRequest
        What was requested.
    rows : list of ManifestRow
        Images to compare.
    crops : sequence of list of Path
        For each model, file of each image's crop.
    failed : list of FailedImage or None
        Images without a crop for every model; None where they are not known.
    protocol : Protocol
        Which of the images are compared.
    models : sequence of OpenedModel
        Its models.
    """

    request: EvaluationRequest
    rows: list[ManifestRow]
    crops: Sequence[list[Path]]
    failed: list[FailedImage] | None
    protocol: Protocol
    models: Sequence[OpenedModel]

    @property
    def sets(self) -> Sequence[PreparedSet]:
        """The datasets, with the crops of the first model."""
        return self.models[0].sets


@dataclass(frozen=True)
class EvaluationOutcome:
    """What an evaluation found.

    Attributes
    ----------
    result : EvaluationResult
        All figures.
    evaluations : dict of str to Evaluation
        Figures, scores and resamples of each model, by its name.
    occlusion : dict of str to list of OcclusionMap
        Saliency maps of each model, by its name; empty if none were requested.
    """

    result: EvaluationResult
    evaluations: dict[str, Evaluation]
    occlusion: dict[str, list[OcclusionMap]]


def read_inputs(request: EvaluationRequest) -> EvaluationInputs:
    """Read and check everything that an evaluation needs, before any work is done.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        If a model, a manifest or a list cannot be used, or settings exclude each other.
    """
    _check_settings(request)
    sets = read_prepared_sets(request.manifests)
    models = _open_models(request.models, sets, request.by_similarity)
    rows: list[ManifestRow] = []
    crops: list[list[Path]] = [[] for _ in models]
    failed: list[FailedImage] | None = []
    for versions in zip(*(model.sets for model in models), strict=True):
        found, without = common_images(versions, request.split)
        for each, files in zip(versions, crops, strict=True):
            files += map(each.crop, found)
        if request.pairs is None and request.folds is None:  # lists say what is compared
            refuse_copies(found, crops[0][len(rows) :])
        rows += found
        failed = None if failed is None or without is None else failed + without
    protocol = requested_protocol(request, rows, failed)
    protocol.check(rows)
    return EvaluationInputs(request, rows, crops, failed, protocol, models)


def _check_settings(request: EvaluationRequest) -> None:
    baseline = request.baseline
    if baseline not in (None, *BASELINES):
        raise EvaluationError(
            f"baseline {baseline!r} is unknown; choose one of {', '.join(BASELINES)}."
        )
    if request.pairs is not None and request.folds is not None:
        raise EvaluationError("comparisons are either lists of pairs or folds; leave out one.")
    listed = request.pairs is not None or request.folds is not None
    if listed and (baseline or request.protocol != ALL_PAIRS):
        raise EvaluationError(
            "lists of pairs define the comparisons; leave out the protocol and the baseline."
        )
    if baseline and len(request.manifests) > 1:
        raise EvaluationError(
            f"the baseline {baseline} reads the images of one dataset; give one manifest."
        )


def requested_protocol(
    request: EvaluationRequest, rows: Sequence[ManifestRow], failed: list[FailedImage] | None
) -> Protocol:
    """The comparisons that a request names.

    Parameters
    ----------
    request : EvaluationRequest
    rows : sequence of ManifestRow
        Images to compare.
    failed : list of FailedImage or None
        Images without a crop, which lists of pairs may name.

    Raises
    ------
    EvaluationError
        If a list cannot be read, or names other images.
    """
    if request.folds is not None:
        return FoldedPairLists.read_folds(request.folds, rows, failed or ())
    if request.pairs is None:
        return EveryPair(request.protocol)
    genuine, impostor = request.pairs
    return PairLists.read(genuine, impostor, rows, failed or ())


def _open_models(
    paths: Sequence[str | Path], sets: Sequence[PreparedSet], by_similarity: bool
) -> list[OpenedModel]:
    embedders = [open_model(path) for path in paths]
    versions = [
        [set_for_model(path, embedder.channels, each) for each in sets]
        for path, embedder in zip(paths, embedders, strict=True)
    ]
    # A run is known by its folder: its best checkpoint is called like that of every other.
    called = [
        real_path(path).name if Path(path).is_dir() else embedder.path.name
        for path, embedder in zip(paths, embedders, strict=True)
    ]
    names = [
        name if called.count(name) == 1 else str(path)
        for path, name in zip(paths, called, strict=True)
    ]
    matchers = [
        Matcher(embedder.matcher.layout) if by_similarity else embedder.matcher
        for embedder in embedders
    ]
    return list(map(OpenedModel, names, embedders, matchers, versions))


def evaluate_models(inputs: EvaluationInputs) -> EvaluationOutcome:
    """Embed the images with each model, and compute all figures.

    Parameters
    ----------
    inputs : EvaluationInputs
        From `read_inputs`.

    Raises
    ------
    ModelError, DatasetError, EvaluationError
        If a crop cannot be read, or a model or the baseline fails.
    """
    request = inputs.request
    descriptions = [_description(model) for model in inputs.models]
    codes = _encode_baseline(inputs)
    evaluations: list[Evaluation] = []
    results: list[ModelResult] = []
    occlusion: dict[str, list[OcclusionMap]] = {}
    for description, model, crops in zip(descriptions, inputs.models, inputs.crops, strict=True):
        embeddings = _embed(model, crops)
        evaluation, found = _evaluate(description, model, embeddings, inputs)
        if evaluations:
            differences = paired_differences(evaluations[0], evaluation)
            found = replace(found, differences=differences)
        else:
            first_embeddings = embeddings
        evaluations.append(evaluation)
        results.append(found)
        if request.occlusion_eyes:
            occlusion[model.name] = occlusion_maps(
                model.embedder, inputs.rows, crops, request.occlusion_eyes
            )
    baselines = [_compare(codes, evaluations[0], first_embeddings, inputs)] if codes else []
    result = EvaluationResult(
        models=results,
        baselines=baselines,
        manifests=list(map(str, request.manifests)),
        split=request.split,
        machine=machine_description(),
    )
    names = [model.name for model in inputs.models]
    by_name = dict(zip(names, evaluations, strict=True))
    return EvaluationOutcome(result, by_name, occlusion)


def _description(model: OpenedModel) -> ModelDescription:
    path, layout = model.embedder.path, model.embedder.matcher.layout
    exported, digest = path.suffix == ".tflite", sha256(path)
    cost = model_cost(path) if exported else None
    card = ModelCard.of_file(path) if exported or path.suffix == PACKED_SUFFIX else None
    precisions = {file.sha256: file.precision for file in card.files.values()} if card else {}
    return ModelDescription(
        name=model.name,
        file=path.name,
        precision=precisions.get(digest, ""),
        sha256=digest,
        bytes=path.stat().st_size,
        phase=None if layout is None else dataclasses.asdict(layout),
        parameters=None if cost is None else cost.parameters,
        macs=None if cost is None else cost.macs,
    )


def _embed(model: OpenedModel, crops: Sequence[Path]) -> np.ndarray:
    pixels = (read_crop(crop, model.embedder.channels) for crop in crops)
    return np.asarray(
        model.embedder.embed(track(pixels, f"Embedding with {model.name}", len(crops)))
    )


def _evaluate(
    description: ModelDescription,
    model: OpenedModel,
    embeddings: np.ndarray,
    inputs: EvaluationInputs,
) -> tuple[Evaluation, ModelResult]:
    rows, protocol, matcher = inputs.rows, inputs.protocol, model.matcher
    evaluation = protocol.evaluate(embeddings, rows, matcher, inputs.request.resamples)
    result = ModelResult(
        description,
        evaluation.metrics,
        _generalised(evaluation, rows, inputs.failed, protocol),
        slice_figures(embeddings, rows, evaluation, protocol, matcher),
        folds=protocol.fold_figures(embeddings, matcher),
    )
    return evaluation, result


def _generalised(
    evaluation: Evaluation,
    rows: Sequence[ManifestRow],
    failed: Sequence[FailedImage] | None,
    protocol: Protocol,
) -> dict[str, Any] | None:
    if failed is None:
        return None
    metrics = evaluation.metrics
    thresholds = {"eer": metrics.thresholds["eer"]} | {
        name: point.threshold for name, point in metrics.supported().items()
    }
    card = {name: point.threshold for name, point in metrics.card_points.items()}
    attempts = protocol.attempts(rows, failed)
    return generalised_rates(attempts, evaluation.comparisons.counts, thresholds, card)


def _encode_baseline(inputs: EvaluationInputs) -> IrisCodeBaseline | None:
    request = inputs.request
    if request.baseline is None:
        return None
    return iriscode_of_dataset(inputs.rows, inputs.sets[0], request.segmenter_model, request.jobs)


def _compare(
    baseline: IrisCodeBaseline,
    first: Evaluation,
    embeddings: np.ndarray,
    inputs: EvaluationInputs,
) -> BaselineResult:
    """Compare the first model with a baseline on the images that both could use."""
    rows, protocol, resamples = inputs.rows, inputs.protocol, inputs.request.resamples
    usable = baseline.codes.images
    compared = [rows[i] for i in usable]
    failed = inputs.failed
    if failed is not None:
        failed = [*failed, *baseline.failed(rows)]
    model_metrics = first.metrics
    if len(compared) < len(rows):
        matcher = inputs.models[0].matcher
        model_metrics = protocol.evaluate(embeddings[usable], compared, matcher, resamples).metrics
    similarities = hamming_distances(baseline.codes.codes, baseline.codes.masks)
    np.subtract(1.0, similarities, out=similarities)
    evaluation = evaluate_similarities(similarities, compared, resamples, protocol=protocol.name)
    return BaselineResult(
        name="IrisCode",
        library=f"Open-Iris {baseline.version}",
        segmenter=baseline.segmenter,
        segmenter_version=baseline.segmenter_version,
        templates=len(compared),
        failures=baseline.codes.failures,
        errors=baseline.codes.errors,
        metrics=evaluation.metrics,
        generalised=_generalised(evaluation, compared, failed, protocol),
        model_metrics=model_metrics,
    )
