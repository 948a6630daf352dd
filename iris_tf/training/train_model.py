"""`iris-tf train`: start or resume a training run."""

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from iris_tf.config.load_recipe import load_recipe, recipe_yaml
from iris_tf.config.shipped_recipes import recipe_file
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.metrics.scores import label_images
from iris_tf.networks.parameter_groups import backbone_stages
from iris_tf.preparation.other_roi_modes import cut_if_asked_for
from iris_tf.support.errors import ArgumentError
from iris_tf.support.files import path_given, real_path, sole_user, write_bytes, write_json
from iris_tf.support.machine import machine_description
from iris_tf.support.progress import StageProgress
from iris_tf.training.callbacks import (
    Checkpoints,
    CollapseWarning,
    GradualUnfreezing,
    ProgressBar,
    Schedules,
    TensorBoardScalars,
    ValidationEER,
)
from iris_tf.training.divergence import EMBEDDING_ADVICE, DivergenceCheck
from iris_tf.training.prepare_training import Training, prepare_training
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.run_inputs import check_same_dataset, check_same_inputs, input_hashes
from iris_tf.training.starting_point import FROM_RECIPE, StartingPoint
from iris_tf.training.strategies import lost_workers_told, strategy_of, wait_for_all
from iris_tf.training.workers import Worker, this_worker


def train(
    recipe: TrainRecipe | str | Path,
    overrides: Sequence[str] = (),
    start: StartingPoint = FROM_RECIPE,
) -> RunFolder:
    """Train a model from the start into the folder that the recipe names as `run`.

    Parameters
    ----------
    recipe : TrainRecipe, str or Path
        The recipe, its YAML file, or the name of a shipped one such as ``"finetune"``.
    overrides : sequence of str, optional
        ``key=value`` for keys of the file, e.g. ``["dataset=data/mine", "batch.groups=16"]``.
    start : StartingPoint, optional
        What to start from, if not from the network of the recipe.

    Returns
    -------
    RunFolder
        The complete run: ``run.best`` is its model, ``run.state().history`` has the epochs.

    Raises
    ------
    ArgumentError
        If overrides are given for a recipe that is no file, or recipe or overrides are of
        another type.
    RecipeError, DatasetError, ModelError, TrainingError
        If recipe, dataset, weights, teacher or run folder cannot be used;
        nothing is written in that case.
    """
    if not isinstance(recipe, TrainRecipe):
        if isinstance(overrides, str) or not all(isinstance(text, str) for text in overrides):
            raise ArgumentError(
                f"overrides is {overrides!r}; give a list of texts such as ['epochs=5']."
            )
        recipe = path_given(recipe, "The recipe")
        recipe = load_recipe(recipe_file(recipe), TrainRecipe, list(overrides))
    elif overrides:
        raise ArgumentError(
            "Overrides are for recipe files; change a TrainRecipe with dataclasses.replace."
        )
    RunFolder(recipe.run).check_unused(recipe)
    worker = this_worker(recipe.strategy)
    _meet(worker, recipe)
    with lost_workers_told(worker, Path(recipe.run)):
        training = prepare_training(recipe, start)
        if not worker.is_chief:
            return _fit(training, RunFolder(recipe.run), worker)
        with sole_user(recipe.run):
            return _fit(training, RunFolder.create(recipe), worker)


def resume(
    path: str | Path, recipe: TrainRecipe | None = None, start: StartingPoint = FROM_RECIPE
) -> RunFolder:
    """Resume an interrupted run at the epoch that was running.

    Parameters
    ----------
    path : str or Path
        Run folder.
    recipe : TrainRecipe, optional
        If given, must equal the recipe of the run, except for `epochs`. With another number of
        epochs, the remaining ones follow the schedules of a run of that length: a complete run
        that is prolonged continues with a higher learning rate than it ended with.
    start : StartingPoint, optional
        The one that the run was started with.

    Returns
    -------
    RunFolder
        The complete run; returned immediately if it was complete before.

    Raises
    ------
    ModelError
        If there is no run.
    RecipeError
        If `recipe` differs from the run's otherwise, or has fewer epochs than are completed.
    TrainingError
        If the dataset, the teacher or the initial weights have changed since the run was
        started.
    InUseError
        If another process is training the run.
    """
    run = RunFolder.open(path)
    if recipe is not None:
        run.check_recipe(replace(recipe, epochs=run.recipe().epochs))
    check_same_dataset(run)
    if run.is_complete() and (recipe is None or recipe.epochs == run.recipe().epochs):
        return run
    worker = this_worker(run.recipe().strategy)
    with sole_user(run.path) if worker.is_chief else contextlib.nullcontext():
        check_same_inputs(run)
        if recipe is not None and worker.is_chief:
            run.set_epochs(recipe.epochs)
        epochs = run.recipe().epochs if recipe is None else recipe.epochs
        recipe = replace(run.recipe(), dataset=str(run.dataset()), epochs=epochs)
        _meet(worker, recipe, run.state().epochs_done)
        with lost_workers_told(worker, run.path):
            return _fit(prepare_training(recipe, start), run, worker)


def _meet(worker: Worker, recipe: TrainRecipe, epochs_done: int = 0) -> None:
    """Wait for the other workers, if there are any, and connect to them.

    Before all else, so that a worker that fails later is missed by the others at once.
    """
    if not worker.addresses:
        return
    dataset = Path(recipe.dataset)
    if worker.is_chief:
        cut_if_asked_for(dataset)
    # The paths may differ from machine to machine.
    start = {"recipe": recipe_yaml(replace(recipe, run="run", dataset="dataset"))}
    start["checkpoint"] = str(epochs_done)
    if (manifest := dataset / "manifest.csv").is_file():
        start["dataset"] = manifest.read_text("utf-8", "replace")
    worker.meet(start)
    strategy_of(recipe.strategy)


def _fit(training: Training, run: RunFolder, worker: Worker) -> RunFolder:
    recipe, trainer = training.recipe, training.trainer
    state = run.state()
    if worker.is_chief:
        _record(training, run)
    wait_for_all(trainer.distribute_strategy)
    if (weights := run.state_weights()) is not None:
        trainer.load_state(weights)
    steps = training.batches.steps
    callbacks = _callbacks(training)
    with warnings.catch_warnings(), contextlib.ExitStack() as shown:
        # Frozen stages have no gradients, and Keras lists their variables after each unfreezing.
        warnings.filterwarnings("ignore", "Gradients do not exist")
        if worker.is_chief:
            done = steps * state.epochs_done
            title = f"Training {run.path.name}"
            progress = shown.enter_context(StageProgress(title, steps * recipe.epochs, done=done))
            callbacks += [CollapseWarning(), TensorBoardScalars(run), Checkpoints(run, state)]
            callbacks.append(ProgressBar(progress))
        trainer.fit(
            training.dataset(state.epochs_done),
            epochs=recipe.epochs,
            initial_epoch=state.epochs_done,
            steps_per_epoch=steps,
            callbacks=callbacks,
        )
        wait_for_all(trainer.distribute_strategy)  # the chief has written the last checkpoint
    return run


def _record(training: Training, run: RunFolder) -> None:
    """Write what the run is trained with, and the history up to the last checkpoint."""
    recipe = training.recipe
    for name, target in (
        ("manifest.csv", run.manifest),
        ("dataset.json", run.dataset_description),
    ):
        # Record which images the run was trained on, and how they were cropped.
        write_bytes(target, (Path(recipe.dataset) / name).read_bytes())
    write_json(run.environment, _environment(training))
    if not run.inputs.is_file():
        write_json(run.inputs, input_hashes(recipe))
    run.write_history(run.state())
    for split in ("train", "val") if training.validates else ("train",):
        training.crops(split)  # packs them, for the other workers too


def _environment(training: Training) -> dict[str, Any]:
    return machine_description() | {
        "dataset": str(real_path(training.recipe.dataset)),
        "devices": training.devices,
        "train_images": len(training.labels),
        "train_identities": int(training.labels.max()) + 1,
        "identities_with_one_image": training.batches.single_image_identities,
        "batch": [training.batches.groups, training.batches.group_size],
        "parameters": training.trainer.student.count_params(),
    }


def _callbacks(training: Training) -> list[keras.callbacks.Callback]:
    """Callbacks of all workers: they compute or decide the same on each."""
    recipe, rows, student = training.recipe, training.rows, training.trainer.student
    callbacks: list[keras.callbacks.Callback] = [
        Schedules(),
        GradualUnfreezing(backbone_stages(student), recipe.unfreeze_epochs),
        DivergenceCheck(student, EMBEDDING_ADVICE),
    ]
    if training.validates:
        # Embedding is shared by the workers, too.
        callbacks.append(ValidationEER(training.crops("val"), label_images(rows["val"])))
        return callbacks
    warnings.warn(
        f"{recipe.dataset}: its validation split has too few eyes to evaluate a model, so the "
        "epoch with the lowest loss counts as the best one, and `iris-tf export` will find no "
        "threshold; add eyes, with several images of each.",
        RuntimeWarning,
        stacklevel=2,
    )
    return callbacks
