"""`iris-tf train`: from a recipe to a trained run folder."""

import functools
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from iris_tf.config.names import NAMED_WEIGHTS
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import ManifestRow, read_manifest, read_settings
from iris_tf.metrics.counts import give_both_kinds
from iris_tf.metrics.scores import label_images
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.parameter_groups import backbone_stages
from iris_tf.objectives.registry import DISTILLERS, build_objective, build_term_weights
from iris_tf.segmentation.roi_modes import STRIP_ANGLES, STRIP_RADII
from iris_tf.support.errors import DatasetError, ModelError, RecipeError
from iris_tf.support.files import sha256, sole_user, write_bytes, write_json
from iris_tf.support.machine import machine_description
from iris_tf.support.progress import StageProgress
from iris_tf.training.batches import BalancedBatches, TripletBatches
from iris_tf.training.callbacks import (
    Checkpoints,
    CollapseWarning,
    FiniteWeights,
    GradualUnfreezing,
    ProgressBar,
    Schedules,
    TensorBoardScalars,
    ValidationEER,
)
from iris_tf.training.embedding_trainer import EmbeddingTrainer
from iris_tf.training.input_pipeline import training_dataset
from iris_tf.training.optimizer import Course, build_optimizer
from iris_tf.training.run_folder import RunFolder, TrainingState, model_file
from iris_tf.training.teacher import Teacher, teacher_roi_mode


@dataclass(frozen=True)
class Training:
    """All that `fit` needs, built from a recipe.

    Attributes
    ----------
    recipe : TrainRecipe
    rows : dict of str to list of ManifestRow
        Prepared rows by split.
    labels : ndarray of shape (n_train,), int32
        Identity of each training row, numbered from 0.
    batches : TripletBatches or BalancedBatches
    trainer : EmbeddingTrainer
        Compiled.
    roi_mode : str
    devices : int
        Number of replicas.
    """

    recipe: TrainRecipe
    rows: dict[str, list[ManifestRow]]
    labels: np.ndarray
    batches: TripletBatches | BalancedBatches
    trainer: EmbeddingTrainer
    roi_mode: str
    devices: int

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the crops."""
        return self.recipe.network.crop_size

    def dataset(self, initial_epoch: int) -> tf.data.Dataset:
        """Batches from `initial_epoch` (from 0) to the last."""
        return training_dataset(
            load_rois(self.rows["train"], self.recipe.dataset, self.input_size),
            self.labels,
            self.batches,
            self.recipe.augmentation,
            self.roi_mode,
            self.recipe.seed,
            self.recipe.epochs,
            initial_epoch=initial_epoch,
            turned=self.recipe.batch.turned,
            clean=self.recipe.distillation.clean,
        )


def prepare_training(recipe: TrainRecipe) -> Training:
    """Read the dataset and build student, teacher and optimiser; writes nothing to the run.

    Raises
    ------
    RecipeError, DatasetError, ModelError
        When recipe, dataset, weights or teacher cannot be used.
    """
    # The graph of an earlier model of this process would stay in memory otherwise.
    keras.backend.clear_session()
    rows = _rows(recipe)
    settings = read_settings(Path(recipe.dataset) / "dataset.json")
    _check_strips(recipe, settings["roi_mode"])
    identities = {
        name: number for number, name in enumerate(sorted({row.identity for row in rows["train"]}))
    }
    labels = np.array([identities[row.identity] for row in rows["train"]], np.int32)
    batches = _batches(recipe, labels, np.array([row.dataset for row in rows["train"]]))
    strategy = _strategy(recipe)
    devices = strategy.num_replicas_in_sync
    if recipe.batch.groups % devices:
        raise RecipeError(
            f"batch.groups is {recipe.batch.groups}, which cannot be shared evenly by "
            f"{devices} devices."
        )
    keras.config.set_dtype_policy("mixed_float16" if recipe.mixed_float16 else "float32")
    try:
        with strategy.scope():
            teacher = _teacher(recipe, settings["roi_mode"])
            objective = build_objective(recipe)
            trainer = EmbeddingTrainer(
                build_student(recipe), objective, build_term_weights(recipe), teacher
            )
            course = Course(batches.steps, recipe.warm_epochs, recipe.epochs)
            trainer.compile(
                build_optimizer(recipe.optimizer, course, objective.parameter_groups()),
                jit_compile=recipe.xla,
            )
    finally:
        keras.config.set_dtype_policy("float32")
    return Training(recipe, rows, labels, batches, trainer, settings["roi_mode"], devices)


def check_models(recipes: Mapping[str, TrainRecipe], roi_mode: str) -> None:
    """Refuse now what one of several models would be refused for after the others' training.

    Models whose runs have begun were looked at then.

    Parameters
    ----------
    recipes : mapping of str to TrainRecipe
        By the models' names; see `iris_tf.training.model_recipes.model_recipes`.
    roi_mode : str
        Of the crops that they will be trained on.

    Raises
    ------
    RecipeError, ModelError
        Which names the model.
    """
    by_run = {recipe.run: recipe.network for recipe in recipes.values()}
    for name, recipe in recipes.items():
        if RunFolder(recipe.run).recipe_file.is_file():
            continue
        network, teacher = recipe.network, by_run.get(recipe.distillation.teacher or "")
        try:
            _check_strips(recipe, roi_mode)
            if teacher is not None:
                _check_sizes(recipe, teacher.embedding_size)
            build_student(replace(recipe, network=replace(network, weights="none")))
        except (ModelError, RecipeError) as error:
            raise type(error)(f"models.{name}: {error}") from None
        finally:
            keras.backend.clear_session()


def train(recipe: TrainRecipe) -> RunFolder:
    """Train a model from the start into `recipe.run`.

    Raises
    ------
    RecipeError, DatasetError, ModelError, TrainingError
        When recipe, dataset, weights, teacher or run folder cannot be used.
        Nothing is written then.
    """
    RunFolder(recipe.run).check_unused(recipe)
    training = prepare_training(recipe)
    with sole_user(recipe.run):
        return _fit(training, RunFolder.create(recipe))


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

    Raises
    ------
    ModelError
        When there is no run.
    RecipeError
        When `recipe` is not the run's.
    TrainingError
        When the dataset, the teacher or the starting weights are no longer those that the
        run was started with.
    InUseError
        When another process trains it.
    """
    run = RunFolder.open(path)
    if recipe is not None:
        run.check_recipe(recipe)
    _check_same_dataset(run)
    if run.is_complete():
        return run
    with sole_user(run.path):
        _check_same_inputs(run)
        return _fit(prepare_training(run.recipe()), run)


def _check_same_dataset(run: RunFolder) -> None:
    manifest = Path(run.recipe().dataset) / "manifest.csv"
    both = run.manifest.is_file() and manifest.is_file()
    if both and run.manifest.read_bytes() != manifest.read_bytes():
        raise run.changed(manifest)
    run.check_crops()  # manifests of crops of another kind may be equal


def _check_same_inputs(run: RunFolder) -> None:
    if not run.inputs.is_file():
        return  # nothing has been trained yet
    now = _inputs(run.recipe())
    for name, before in json.loads(run.inputs.read_text("utf-8")).items():
        if now.get(name) != before:
            raise run.changed(name)


def _inputs(recipe: TrainRecipe) -> dict[str, str]:
    """SHA-256 of the files that a training starts from, by their names in the recipe."""
    files = {"distillation.teacher": recipe.distillation.teacher}
    if recipe.network.weights not in NAMED_WEIGHTS:
        files["network.weights"] = recipe.network.weights
    found = {}
    for name, file in files.items():
        if file is not None:
            path = model_file(Path(file))
            found[f"{name} {file}"] = sha256(path) if path.is_file() else ""
    return found


def _fit(training: Training, run: RunFolder) -> RunFolder:
    recipe, trainer = training.recipe, training.trainer
    state = run.state()
    for name, target in (
        ("manifest.csv", run.manifest),
        ("dataset.json", run.dataset_description),
    ):
        # Which images the run saw, and how they were cropped.
        write_bytes(target, (Path(recipe.dataset) / name).read_bytes())
    write_json(run.environment, _environment(training))
    if not run.inputs.is_file():
        write_json(run.inputs, _inputs(recipe))
    if (weights := run.state_weights()) is not None:
        trainer.load_state(weights)
        run.write_history(state)
    steps = training.batches.steps
    progress = StageProgress(
        f"Training {run.path.name}", steps * recipe.epochs, done=steps * state.epochs_done
    )
    callbacks = [*_callbacks(training, run, state), ProgressBar(progress)]
    with warnings.catch_warnings(), progress:
        # Frozen stages have none, and Keras lists their variables at every unfreezing.
        warnings.filterwarnings("ignore", "Gradients do not exist")
        trainer.fit(
            training.dataset(state.epochs_done),
            epochs=recipe.epochs,
            initial_epoch=state.epochs_done,
            steps_per_epoch=steps,
            shuffle=False,  # the stream has its order, and Keras warns of its own default
            verbose=0,
            callbacks=callbacks,
        )
    return run


def _environment(training: Training) -> dict[str, Any]:
    return machine_description() | {
        "devices": training.devices,
        "train_images": len(training.labels),
        "train_identities": int(training.labels.max()) + 1,
        "identities_with_one_image": training.batches.single_image_identities,
        "parameters": training.trainer.student.count_params(),
    }


def _callbacks(
    training: Training, run: RunFolder, state: TrainingState
) -> list[keras.callbacks.Callback]:
    recipe, rows = training.recipe, training.rows
    callbacks = [
        Schedules(),
        GradualUnfreezing(backbone_stages(training.trainer.student), recipe.unfreeze_epochs),
        FiniteWeights(),
        CollapseWarning(),
    ]
    if give_both_kinds(rows["val"]):
        rois = load_rois(rows["val"], recipe.dataset, training.input_size)
        callbacks.append(ValidationEER(rois, label_images(rows["val"])))
    else:
        warnings.warn(
            f"{recipe.dataset}: its validation split has too few eyes to tell how good a model is, "
            "so the epoch of the least loss counts as the best one, and `iris-tf export` will find "
            "no threshold; add eyes, with several images of each.",
            RuntimeWarning,
            stacklevel=2,
        )
    return [*callbacks, TensorBoardScalars(run), Checkpoints(run, state)]


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


def _check_strips(recipe: TrainRecipe, roi_mode: str) -> None:
    """Refuse what is for unrolled strips where crops are of another kind, or resized."""
    settings = {
        "network.normalization: local_contrast": recipe.network.normalization == "local_contrast",
        "network.pooling: placed": recipe.network.pooling == "placed",
        "augmentation.hidden_share": recipe.augmentation.hidden_share > 0.0,
        "augmentation.sharpness": recipe.augmentation.sharpness > 0.0,
        "augmentation.degraded_share": recipe.augmentation.degraded_share > 0.0,
        "augmentation.coarse_lost_share": recipe.augmentation.coarse_lost_share > 0.0,
        "batch.turned": recipe.batch.turned,
    }
    wrong = [name for name, used in settings.items() if used]
    if wrong and roi_mode != "unrolled":
        raise RecipeError(
            f"{recipe.dataset}: its crops are {roi_mode}, but `{wrong[0]}` is for unrolled strips; "
            "prepare the images with `--roi-mode unrolled`, or leave it out."
        )
    network, strip = recipe.network, [STRIP_RADII, STRIP_ANGLES]
    if network.normalization == "local_contrast" and list(network.input_size) != strip:
        # A strip that is resized has lost which of its pixels are hidden.
        raise RecipeError(
            f"network.input_size is {list(network.input_size)}, but `local_contrast` takes strips "
            f"as they are cut, {strip}; make them smaller in the network with `network.reduction`."
        )


def build_student(recipe: TrainRecipe) -> keras.Model:
    """The untrained network of a recipe; the same weights for the same seed."""
    network = recipe.network
    rows, columns = network.reduction
    return build_embedding_model(
        network.name,
        input_size=network.crop_size,
        embedding_size=network.embedding_size,
        weights=network.weights,
        attention=list(network.attention),
        pooling=network.pooling,
        batchnorm_momentum=network.batchnorm_momentum,
        seed=recipe.seed,
        normalization=network.normalization,
        reduction=(rows, columns),
    )


def _batches(
    recipe: TrainRecipe, labels: np.ndarray, datasets: np.ndarray
) -> TripletBatches | BalancedBatches:
    batch = recipe.batch
    if batch.layout == "triplet":
        return TripletBatches(labels, batch.groups, batch.steps_per_epoch, recipe.seed)
    return BalancedBatches(
        labels,
        batch.drawn,
        batch.images_per_identity,
        batch.steps_per_epoch,
        recipe.seed,
        datasets,
        batch.datasets,
    )


def _strategy(recipe: TrainRecipe) -> tf.distribute.Strategy:
    return tf.distribute.get_strategy() if recipe.strategy == "single" else mirrored_strategy()


@functools.cache
def mirrored_strategy() -> tf.distribute.MirroredStrategy:
    """All GPUs, or CPUs where there is none; one object for all models of a process.

    A second object over the same devices would number its collective operations
    from the same start, and TensorFlow refuses them where shapes differ.
    """
    # Logical devices, so that one machine's CPU can be split into several for a trial.
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _teacher(recipe: TrainRecipe, roi_mode: str) -> Teacher | None:
    """The frozen teacher, or None without distillation."""
    path = recipe.distillation.teacher
    if path is None:
        return None
    teacher = Teacher.load(path)
    try:
        _check_sizes(recipe, teacher.embedding_size)
        teacher.check_input(recipe.network.crop_size)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    taught = teacher_roi_mode(path)
    if taught not in (None, roi_mode):
        raise ModelError(
            f"{path}: the teacher was trained on {taught} crops, but those of {recipe.dataset} are "
            f"{roi_mode}; choose a teacher of the same crops."
        )
    return teacher


def _check_sizes(recipe: TrainRecipe, teacher_embedding_size: int) -> None:
    distiller = DISTILLERS[recipe.distillation.distiller]
    distiller.check_sizes(recipe.network.embedding_size, teacher_embedding_size)
