"""Fine-tuning of quantised networks from the float network of a run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from iris_tf.config.quantization_recipe import FineTuningRecipe, QuantizationRecipe
from iris_tf.config.training_recipe import OptimizerRecipe, ParameterGroupRecipe, TrainRecipe
from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import read_manifest, read_settings
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.objectives.objective import Objective
from iris_tf.quantization.calibration import lack_of_crops
from iris_tf.quantization.schemes import QuantizationStep
from iris_tf.support.errors import DatasetError
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.starting_point import StartingPoint

SCHEME = "scheme"
"""Name of the settings of a step among the inputs of its training."""


@dataclass(frozen=True)
class QuantizedStart(StartingPoint):
    """Start from a quantised network.

    Attributes
    ----------
    step : QuantizationStep
        How it is quantised.
    source : RunFolder
        Run whose best checkpoint is quantised, and whose class centres are continued.
    crops : RunFolder
        Run of the float network, whose training split has the crops for calibration.
    """

    step: QuantizationStep
    source: RunFolder
    crops: RunFolder

    def student(self, recipe: TrainRecipe, channels: int) -> keras.Model:
        """Quantise the best checkpoint."""
        model = load_embedding_model(self.source.best_model())
        return self.step.quantize(model, calibration_crops(self.crops, recipe.quantization))

    def inputs(self) -> dict[str, Any]:
        """Settings of the step, where its name does not say all about its bits."""
        return {SCHEME: self.step.settings} if self.step.settings else {}

    def load_objective(self, objective: Objective) -> None:
        """Continue with what was trained beside the checkpoint."""
        objective.load_files(self.source.best.parent)


def calibration_crops(run: RunFolder, wanted: QuantizationRecipe) -> np.ndarray:
    """Choose crops of a run's training split, in the order of its manifest.

    Parameters
    ----------
    run : RunFolder
        Complete.
    wanted : QuantizationRecipe
        How many, and the seed of the choice. All crops if there are fewer.

    Returns
    -------
    ndarray of shape (n, H, W) or (n, H, W, 3), uint8
        At the network's input size.

    Raises
    ------
    DatasetError
        If fewer than `LEAST_CROPS` of them are distinct.
    """
    rows = [row for row in read_manifest(run.manifest) if row.split == "train"]
    channels = read_settings(run.dataset_description)["channels"]
    count = min(wanted.calibration_crops, len(rows))
    chosen = np.random.default_rng(wanted.seed).choice(len(rows), count, replace=False)
    # The packed copy of all training crops is there since training.
    rois = load_rois(rows, run.dataset(), run.recipe().network.crop_size, channels)
    crops = np.asarray(rois[np.sort(chosen)])
    if lack := lack_of_crops(crops):
        raise DatasetError(f"{run.dataset()}: {lack}.")
    return crops


def fine_tuning_recipe(
    recipe: TrainRecipe, step: QuantizationStep, folder: Path, weights: Path
) -> TrainRecipe:
    """Training recipe of a step.

    Parameters
    ----------
    recipe : TrainRecipe
        Of the float network; its `quantization.fine_tuning` says what differs.
    step : QuantizationStep
    folder : Path
        Run folder of the step.
    weights : Path
        Checkpoint that the step starts from.
    """
    tuning = recipe.quantization.fine_tuning
    return replace(
        recipe,
        run=str(folder),
        epochs=step.epochs(tuning),
        warm_epochs=tuning.warm_epochs,
        unfreeze_epochs=0,
        mixed_float16=False,
        # The steps follow each other on one machine.
        strategy="single" if recipe.strategy == "multi_worker" else recipe.strategy,
        network=replace(recipe.network, weights=str(weights)),
        optimizer=_slowed(recipe.optimizer, tuning),
    )


def _slowed(optimizer: OptimizerRecipe, tuning: FineTuningRecipe) -> OptimizerRecipe:
    def slower(group: ParameterGroupRecipe) -> ParameterGroupRecipe:
        rate = tuning.rate
        return replace(group, maximum=rate * group.maximum, minimum=rate * group.minimum)

    return replace(
        optimizer,
        backbone=slower(optimizer.backbone),
        attention=slower(optimizer.attention),
        head=slower(optimizer.head),
        groups={name: slower(group) for name, group in optimizer.groups.items()},
        milestones=list(tuning.milestones),
    )
