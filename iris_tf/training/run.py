"""`iris-tf train`: from a recipe to a trained run folder."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.recipe import TrainRecipe
from iris_tf.datasets.batches import BalancedBatches, TripletBatches
from iris_tf.datasets.manifest import ManifestRow, read_manifest
from iris_tf.datasets.pipeline import training_dataset
from iris_tf.datasets.roi_store import load_rois
from iris_tf.errors import DatasetError, ModelError, RecipeError
from iris_tf.evaluation.scores import label_images
from iris_tf.files import atomic_path, write_json
from iris_tf.machine import machine_description
from iris_tf.networks.embed import load_embedding_model
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.parameter_groups import backbone_stages
from iris_tf.schedules.distillation import DistillationSchedule
from iris_tf.schedules.margin import MarginSchedule
from iris_tf.schedules.mining import MiningSchedule
from iris_tf.training.callbacks import (
    Checkpoints,
    CollapseWarning,
    GradualUnfreezing,
    ProgressBar,
    Schedules,
    TensorBoardScalars,
    ValidationEER,
)
from iris_tf.training.optimizer import build_optimizer
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.trainer import EmbeddingTrainer


def train(recipe: TrainRecipe) -> RunFolder:
    """Train a model from the start into `recipe.run`.

    Raises
    ------
    RecipeError, DatasetError, ModelError, TrainingError
        When recipe, dataset, weights, teacher or run folder cannot be used;
        nothing is written then, except the run's folder.
    """
    rows = _rows(recipe)
    run = RunFolder.create(recipe)
    _copy_dataset_description(recipe, run)
    return _fit(recipe, run, rows)


def resume(path: str | Path, recipe: TrainRecipe | None = None) -> RunFolder:
    """Go on with an interrupted run at the epoch that was running.

    Parameters
    ----------
    path : str or Path
        Run folder.
    recipe : TrainRecipe, optional
        When given, must equal the run's own.

    Returns
    -------
    RunFolder
        Complete; at once when it was already.
    """
    run = RunFolder.open(path)
    if recipe is not None:
        run.check_recipe(recipe)
    recipe = run.recipe()
    if run.is_complete():
        return run
    _copy_dataset_description(recipe, run)
    return _fit(recipe, run, _rows(recipe))


def _rows(recipe: TrainRecipe) -> dict[str, list[ManifestRow]]:
    """Prepared rows by split."""
    manifest = Path(recipe.dataset) / "manifest.csv"
    rows: dict[str, list[ManifestRow]] = {"train": [], "val": [], "test": []}
    for row in read_manifest(manifest):
        if not row.roi:
            raise DatasetError(f"{manifest}: {row.image} has no crop; run `iris-tf prepare` again.")
        rows.get(row.split, []).append(row)
    if not rows["train"]:
        raise DatasetError(f"{manifest}: no row belongs to the split `train`.")
    return rows


def _copy_dataset_description(recipe: TrainRecipe, run: RunFolder) -> None:
    """Keep with the run which images it saw and how they were cropped."""
    for name, target in (
        ("manifest.csv", run.manifest),
        ("dataset.json", run.dataset_description),
    ):
        with atomic_path(target) as temporary:
            shutil.copyfile(Path(recipe.dataset) / name, temporary)


def _fit(recipe: TrainRecipe, run: RunFolder, rows: dict[str, list[ManifestRow]]) -> RunFolder:
    # A smaller graph of an earlier model would stay in memory otherwise.
    keras.backend.clear_session()
    keras.config.set_dtype_policy("mixed_float16" if recipe.mixed_float16 else "float32")
    try:
        return _fit_under_policy(recipe, run, rows)
    finally:
        keras.config.set_dtype_policy("float32")


def _fit_under_policy(recipe, run, rows) -> RunFolder:
    size = tuple(recipe.network.input_size)
    state = run.state()
    labels, identities = label_numbers(rows["train"])
    batches = _batches(recipe, labels)
    strategy = _strategy(recipe)
    if recipe.batch.groups % strategy.num_replicas_in_sync:
        raise RecipeError(
            f"batch.groups is {recipe.batch.groups}, which cannot be shared evenly by "
            f"{strategy.num_replicas_in_sync} devices."
        )
    with strategy.scope():
        teach = _teacher(recipe)
        student = build_student(recipe)
        trainer = EmbeddingTrainer(
            student,
            recipe.batch,
            hardest=recipe.mining.hardest,
            triplet_reduction=recipe.triplet_reduction,
            seed=recipe.seed,
            teach=teach,
        )
        trainer.compile(
            build_optimizer(recipe.optimizer, batches.steps, recipe.warm_epochs, recipe.epochs),
            jit_compile=recipe.xla,
        )
        if run.state_weights() is not None:
            trainer.load_weights(run.state_weights())
    run.write_history(state)
    write_json(
        run.environment,
        machine_description()
        | {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "devices": strategy.num_replicas_in_sync,
            "train_images": len(labels),
            "train_identities": len(identities),
            "identities_with_one_image": batches.single_image_identities,
            "parameters": student.count_params(),
        },
    )
    dataset = training_dataset(
        load_rois(rows["train"], recipe.dataset, size),
        labels,
        batches,
        recipe.augmentation,
        _roi_mode(run),
        recipe.seed,
        recipe.epochs,
        initial_epoch=state.epochs_done,
    )
    trainer.fit(
        dataset,
        epochs=recipe.epochs,
        initial_epoch=state.epochs_done,
        steps_per_epoch=batches.steps,
        verbose=0,
        callbacks=_callbacks(recipe, run, rows, student, batches.steps, state),
    )
    return run


def _callbacks(recipe, run, rows, student, steps, state) -> list[keras.callbacks.Callback]:
    warm, epochs = recipe.warm_epochs, recipe.epochs
    callbacks = [
        Schedules(
            MarginSchedule(
                recipe.margin.warm, tuple(recipe.margin.medi), tuple(recipe.margin.post),
                warm, epochs,
            ),
            MiningSchedule(
                *zip(recipe.mining.warm_ratios, recipe.mining.final_ratios, strict=True),
                warm,
                epochs,
            ),
            DistillationSchedule(*recipe.distillation.weight, warm, epochs),
        ),
        GradualUnfreezing(backbone_stages(student), recipe.unfreeze_epochs),
        CollapseWarning(),
    ]  # fmt: skip
    if _can_validate(rows["val"]):
        rois = load_rois(rows["val"], recipe.dataset, tuple(recipe.network.input_size))
        callbacks.append(ValidationEER(rois, label_images(rows["val"])))
    return [
        *callbacks,
        TensorBoardScalars(run),
        Checkpoints(run, state),
        ProgressBar(f"Training {run.path.name}", steps, epochs, state.epochs_done),
    ]


def label_numbers(rows: list[ManifestRow]) -> tuple[np.ndarray, list[str]]:
    """Class number of each row, and the identities in the order of the numbers."""
    identities = sorted({row.identity for row in rows})
    numbers = {identity: number for number, identity in enumerate(identities)}
    return np.array([numbers[row.identity] for row in rows], np.int32), identities


def build_student(recipe: TrainRecipe) -> keras.Model:
    """The untrained network of a recipe; the same weights for the same seed."""
    network = recipe.network
    return build_embedding_model(
        network.name,
        input_size=tuple(network.input_size),
        embedding_size=network.embedding_size,
        weights=network.weights,
        attention=list(network.attention),
        attention_kernel=network.attention_kernel,
        pooling=network.pooling,
        batchnorm_momentum=network.batchnorm_momentum,
        seed=recipe.seed,
    )


def _batches(recipe: TrainRecipe, labels: np.ndarray) -> TripletBatches | BalancedBatches:
    batch = recipe.batch
    if batch.layout == "triplet":
        return TripletBatches(labels, batch.groups, batch.steps_per_epoch, recipe.seed)
    return BalancedBatches(
        labels, batch.groups, batch.images_per_identity, batch.steps_per_epoch, recipe.seed
    )


def _can_validate(rows: list[ManifestRow]) -> bool:
    """Whether the split holds at least one genuine and one impostor comparison."""
    counts = Counter(row.identity for row in rows)
    return len(counts) > 1 and max(counts.values()) > 1


def _roi_mode(run: RunFolder) -> str:
    return json.loads(run.dataset_description.read_text("utf-8"))["roi_mode"]


def _strategy(recipe: TrainRecipe) -> tf.distribute.Strategy:
    if recipe.strategy == "single":
        return tf.distribute.get_strategy()
    # Logical devices, so that one machine's CPU can be split into several for a trial.
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _teacher(recipe: TrainRecipe) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The frozen teacher as a function of crops, or None without distillation."""
    if recipe.distillation.teacher is None:
        return None
    path = Path(recipe.distillation.teacher)
    teacher = load_embedding_model(RunFolder.open(path).best_model() if path.is_dir() else path)
    expected = ((*recipe.network.input_size, 1), recipe.network.embedding_size)
    found = (tuple(teacher.input_shape[1:]), teacher.output_shape[-1])
    if found != expected:
        raise ModelError(
            f"{path}: the teacher takes {found[0]} and gives {found[1]} numbers, but the student "
            f"{expected[0]} and {expected[1]}; distillation compares both on the same crops."
        )
    teacher.trainable = False
    return lambda rois: tf.cast(teacher(rois, training=False), tf.float32)
