"""Preparation of training from a recipe: rows, batches, network, objective and optimiser."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import ManifestRow, read_manifest, read_settings
from iris_tf.data.splits import check_splits, world
from iris_tf.metrics.counts import give_both_kinds
from iris_tf.networks.feature_maps import feature_shapes, with_feature_maps
from iris_tf.objectives.objective import ModelShapes, Objective
from iris_tf.objectives.registry import build_objective, build_term_weights
from iris_tf.preparation.other_roi_modes import cut_if_asked_for
from iris_tf.support.errors import DatasetError, RecipeError
from iris_tf.training.batches import BalancedBatches, Batches, ShuffledBatches, TripletBatches
from iris_tf.training.check_training import check_strips, check_teacher, warn_of_squeezed_crops
from iris_tf.training.classes import class_names
from iris_tf.training.embedding_trainer import EmbeddingTrainer
from iris_tf.training.fit_batch import fit_batch
from iris_tf.training.input_pipeline import training_dataset
from iris_tf.training.optimizer import TrainingLength, build_optimizer
from iris_tf.training.starting_point import FROM_RECIPE, StartingPoint
from iris_tf.training.strategies import strategy_of
from iris_tf.training.teacher import Teacher


@dataclass(frozen=True)
class Training:
    """Inputs of `fit`, built from a recipe.

    Attributes
    ----------
    recipe : TrainRecipe
        Its batches are shrunk to the dataset, see `fit_batch`.
    rows : dict of str to list of ManifestRow
        Prepared rows by split.
    labels : ndarray of shape (n_train,), int32
        Identity of each training row, numbered from 0.
    batches : Batches
    trainer : EmbeddingTrainer
        Compiled.
    roi_mode : str
    channels : int
    devices : int
        Number of replicas.
    """

    recipe: TrainRecipe
    rows: dict[str, list[ManifestRow]]
    labels: np.ndarray
    batches: Batches
    trainer: EmbeddingTrainer
    roi_mode: str
    channels: int
    devices: int

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the crops."""
        return self.recipe.network.crop_size

    @property
    def validates(self) -> bool:
        """Whether the validation split has genuine and impostor comparisons."""
        return give_both_kinds(self.rows["val"])

    def crops(self, split: str) -> np.ndarray:
        """Crops of a split at the network's input size, see `load_rois`."""
        return load_rois(self.rows[split], self.recipe.dataset, self.input_size, self.channels)

    def dataset(self, initial_epoch: int) -> tf.data.Dataset:
        """Batches from `initial_epoch` (from 0) to the last."""
        crops = self.crops("train")
        return training_dataset(
            crops,
            self.labels,
            self.batches,
            self.recipe.augmentation,
            self.roi_mode,
            self.recipe.seed,
            self.recipe.epochs,
            initial_epoch=initial_epoch,
            add_rotated=self.recipe.batch.turned,
            clean=self.recipe.distillation.clean,
            answers=self._answers(crops),
        )

    def _answers(self, crops: np.ndarray) -> np.ndarray | None:
        """Teacher's embeddings of the training crops; None where they must be computed per batch.

        They are the same in every epoch if the teacher sees the crops unaugmented.
        """
        teacher, recipe = self.trainer.teacher, self.recipe
        if teacher is None or not recipe.distillation.clean or recipe.batch.turned:
            return None
        return None if teacher.feature_shapes else teacher.embeddings(crops)


def prepare_training(recipe: TrainRecipe, start: StartingPoint = FROM_RECIPE) -> Training:
    """Read the dataset and build student, teacher and optimiser; nothing is written.

    Parameters
    ----------
    recipe : TrainRecipe
    start : StartingPoint, optional
        Gives the network, and what the objective starts from.

    Raises
    ------
    RecipeError, DatasetError, ModelError
        If recipe, dataset, weights or teacher cannot be used.
    """
    # Frees the graph of an earlier model of this process.
    keras.backend.clear_session()
    cut_if_asked_for(Path(recipe.dataset))
    rows = _rows(recipe)
    settings = read_settings(Path(recipe.dataset) / "dataset.json")
    roi_mode, channels = settings["roi_mode"], settings["channels"]
    check_strips(recipe, roi_mode, channels)
    warn_of_squeezed_crops(recipe, roi_mode)
    identities = sorted({row.identity for row in rows["train"]})
    labels = _labels(rows["train"])
    strategy = strategy_of(recipe.strategy)
    devices = strategy.num_replicas_in_sync
    recipe = replace(recipe, batch=fit_batch(recipe.batch, labels, devices))
    batches = _batches(recipe, rows["train"], labels, devices)
    keras.config.set_dtype_policy("mixed_float16" if recipe.mixed_float16 else "float32")
    try:
        with strategy.scope():
            objective = build_objective(recipe)
            student = start.student(recipe, channels)
            classes = class_names(identities, recipe.batch.turned)
            teacher = _teacher(recipe, roi_mode, objective, classes)
            objective.create_variables(_shapes(objective, student, teacher, classes))
            start.load_objective(objective)
            trainer = EmbeddingTrainer(student, objective, build_term_weights(recipe), teacher)
            length = TrainingLength(batches.steps, recipe.warm_epochs, recipe.epochs)
            trainer.compile(
                build_optimizer(recipe.optimizer, length, objective.parameter_groups()),
                jit_compile=recipe.xla,
            )
    finally:
        keras.config.set_dtype_policy("float32")
    return Training(recipe, rows, labels, batches, trainer, roi_mode, channels, devices)


def check_batches(recipes: Mapping[str, TrainRecipe]) -> None:
    """Check, before any model of a pipeline is trained, that the dataset gives batches for all.

    Raises
    ------
    RecipeError, DatasetError
        If it does not; names the model.
    """
    for name, recipe in recipes.items():
        rows = _rows(recipe)["train"]
        labels = _labels(rows)
        devices = strategy_of(recipe.strategy).num_replicas_in_sync
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # given again when it is trained
                batch = fit_batch(recipe.batch, labels, devices)
            _batches(replace(recipe, batch=batch), rows, labels, devices)
        except (DatasetError, RecipeError) as error:
            raise type(error)(f"models.{name}: {error}") from None


def _rows(recipe: TrainRecipe) -> dict[str, list[ManifestRow]]:
    """Prepared rows by split."""
    manifest = Path(recipe.dataset) / "manifest.csv"
    rows: dict[str, list[ManifestRow]] = {"train": [], "val": [], "test": []}
    listed = read_manifest(manifest)
    settings = read_settings(manifest.with_name("dataset.json"))
    check_splits(listed, str(manifest), world(settings))
    for row in listed:
        if not row.roi:
            raise DatasetError(f"{manifest}: {row.image} has no crop; run `iris-tf prepare` again.")
        rows.get(row.split, []).append(row)
    if not rows["train"]:
        raise DatasetError(f"{manifest}: no row belongs to the split `train`.")
    return rows


def _labels(rows: Sequence[ManifestRow]) -> np.ndarray:
    """Identity of each row, numbered from 0."""
    _, labels = np.unique([row.identity for row in rows], return_inverse=True)
    return labels.astype(np.int32)


def _batches(
    recipe: TrainRecipe, rows: Sequence[ManifestRow], labels: np.ndarray, devices: int
) -> Batches:
    batch = recipe.batch
    if batch.groups % devices:
        raise RecipeError(
            f"batch.groups is {batch.groups}, which cannot be split evenly over {devices} devices."
        )
    if batch.layout == "shuffled":
        return ShuffledBatches(labels, batch.groups, batch.steps_per_epoch, recipe.seed)
    if batch.layout == "triplet":
        return TripletBatches(labels, batch.groups, batch.steps_per_epoch, recipe.seed)
    return BalancedBatches(
        labels,
        batch.drawn,
        batch.images_per_identity,
        batch.steps_per_epoch,
        recipe.seed,
        np.array([row.dataset for row in rows]),
        batch.datasets,
    )


def _teacher(
    recipe: TrainRecipe, roi_mode: str, objective: Objective, classes: tuple[str, ...]
) -> Teacher | None:
    """Load the frozen teacher; None without distillation."""
    path = recipe.distillation.teacher
    if path is None:
        return None
    teacher = Teacher.load(path, objective.teacher_features)
    check_teacher(recipe, path, teacher, roi_mode, classes)
    return teacher


def _shapes(
    objective: Objective, student: keras.Model, teacher: Teacher | None, classes: tuple[str, ...]
) -> ModelShapes:
    names = objective.student_features
    return ModelShapes(
        student.output_shape[-1],
        classes,
        feature_shapes(with_feature_maps(student, names)) if names else {},
        teacher.feature_shapes if teacher else {},
        teacher.code if teacher else None,
    )
