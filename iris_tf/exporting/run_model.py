"""The model of a run that is exported, with its thresholds and what its card says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np

from iris_tf.data.crop_store import load_rois
from iris_tf.data.dataset_title import dataset_title
from iris_tf.data.manifest import ManifestRow, model_segmenter, read_manifest, read_settings
from iris_tf.exporting.card_scores import card_scores
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.counts import give_both_kinds
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.metrics import Metrics
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.networks.phase_code import with_phase
from iris_tf.quantization.wrapping import without_quantizers
from iris_tf.support.errors import EvaluationError
from iris_tf.support.files import sha256
from iris_tf.support.progress import status
from iris_tf.support.version import __version__
from iris_tf.tflite.model_card import ModelCard, ModelFile
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel
from iris_tf.training.run_folder import RunFolder

CREATOR = f"iris_tf {__version__}"
_PARITY_CROPS = 16


@dataclass(frozen=True)
class RunModel:
    """Best checkpoint of a run, measured on the run's validation split.

    Attributes
    ----------
    run : RunFolder
    model : keras.Model
        With the phase code of the recipe.
    layout : PhaseCodeLayout or None
    scores : ScoreModel or None
        Where there is a phase code.
    settings : dict
        Of the run's dataset.
    training : list of ManifestRow
        The training split.
    metrics : Metrics
        Thresholds and figures on the validation split.
    parity_rois : ndarray of shape (n, H, W) or (n, H, W, 3), uint8
        Some of its crops, for checks that files agree with `model`.
    weights : str
        SHA-256 of the checkpoint.
    """

    run: RunFolder
    model: keras.Model
    layout: PhaseCodeLayout | None
    scores: ScoreModel | None
    settings: dict[str, Any]
    training: list[ManifestRow]
    metrics: Metrics
    parity_rois: np.ndarray
    weights: str

    @classmethod
    def of(cls, run: RunFolder, with_quantizers: bool = False) -> Self:
        """Load and measure the model of a run.

        Parameters
        ----------
        run : RunFolder
        with_quantizers : bool, optional
            Whether layers of `iris-tf quantize` stay quantised, for packed files, or become plain
            ones with their rounded weights, which TFLite can hold.

        Raises
        ------
        ModelError, DatasetError
            If the run has no model yet, or its dataset is missing.
        TrainingError
            If the images of the dataset, or how they were cropped, have changed since the run was
            started.
        EvaluationError
            If the validation split has too few comparisons to set a threshold.
        """
        run.check_crops()
        recipe, settings = run.recipe(), read_settings(run.dataset_description)
        with status(f"Loading {run.best_model()}"):
            model = load_embedding_model(run.best_model())
            if not with_quantizers:
                model = without_quantizers(model)
        rows = read_manifest(run.manifest)
        validation = [row for row in rows if row.split == "val"]
        if not give_both_kinds(validation):
            raise EvaluationError(
                f"{run.path}: the run's validation split has too few eyes to set a threshold; "
                "train on a dataset of more eyes, with several images of each."
            )
        run.check_manifest()
        rois = load_rois(validation, run.dataset(), recipe.network.crop_size, settings["channels"])
        layout = None
        if recipe.network.phase:
            model, layout = with_phase(model, recipe.network.phase)
        with status("Setting thresholds on the validation split"):
            embeddings = embed_rois(model, rois)
            metrics = evaluate_embeddings(
                embeddings, validation, resamples=0, matcher=Matcher(layout)
            ).metrics
            scores = None if layout is None else card_scores(embeddings, validation, layout)
        spread = np.linspace(0, len(rois) - 1, min(_PARITY_CROPS, len(rois))).astype(int)
        training = [row for row in rows if row.split == "train"]
        weights = sha256(run.best_model())
        return cls(run, model, layout, scores, settings, training, metrics, rois[spread], weights)

    def card(
        self,
        name: str,
        files: Mapping[str, ModelFile],
        parity: Mapping[str, float],
        created_by: str = CREATOR,
    ) -> ModelCard:
        """Model card for files that were made of the model.

        Parameters
        ----------
        name : str
            Name of the model.
        files : mapping of str to ModelFile
        parity : mapping of str to float
            Least cosine with the Keras model, by precision.
        created_by : str, optional
            Program and version.
        """
        recipe, settings, counts = self.run.recipe(), self.settings, self.metrics.counts
        dataset = dataset_title(settings)
        return ModelCard(
            name=name,
            network=recipe.network.name,
            roi_mode=settings["roi_mode"],
            segmenter=model_segmenter(settings),
            segmenter_version=settings.get("segmenter_version", ""),
            input_size=recipe.network.crop_size,
            channels=settings["channels"],
            embedding_size=self.model.output_shape[-1],
            phase=self.layout,
            score=self.scores,
            thresholds=dict(self.metrics.thresholds),
            thresholds_from={
                "dataset": dataset,
                "split": "val",
                "genuine_comparisons": counts.genuine_comparisons,
                "impostor_comparisons": counts.impostor_comparisons,
            },
            files=dict(files),
            training_data=(
                f"{dataset}: {len(self.training)} images of "
                f"{len({row.identity for row in self.training})} identities"
            ),
            parity=dict(parity),
            metrics={"validation": dict(self.metrics.values)},
            created_by=created_by,
            weights_sha256=self.weights,
        )
