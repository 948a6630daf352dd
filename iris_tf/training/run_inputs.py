"""Inputs of a run, and checks that they have not changed since it was started."""

from pathlib import Path

from iris_tf.config.names import NAMED_WEIGHTS
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.objectives.class_centres import FILE_NAME as CENTRES_FILE
from iris_tf.support.errors import TrainingError
from iris_tf.support.files import sha256
from iris_tf.support.foreign_files import read_object
from iris_tf.training.run_folder import RunFolder, model_file, teacher_file


def check_same_dataset(run: RunFolder) -> None:
    """Check that the dataset of a run has not changed.

    Raises
    ------
    TrainingError
        If it has; names the file.
    """
    run.check_manifest()
    run.check_crops()  # manifests may be equal although the crops differ


def check_same_inputs(run: RunFolder) -> None:
    """Check that the teacher and the initial weights of a run have not changed.

    Raises
    ------
    TrainingError
        If one has, or the record of them is damaged; names the file.
    """
    if not run.inputs.is_file():
        return  # nothing has been trained yet
    now = input_hashes(run.recipe())
    try:
        recorded = read_object(run.inputs)
    except ValueError as problem:
        raise TrainingError(
            f"{run.inputs}: cannot be read ({problem}), so it is unknown whether teacher and "
            "initial weights have changed; train again into another folder."
        ) from None
    for name, before in recorded.items():
        if now.get(name) != before:
            raise run.changed(name)


def input_hashes(recipe: TrainRecipe) -> dict[str, str]:
    """SHA-256 of teacher, its class centres, and initial weights, by recipe key and path."""
    files: dict[str, Path | None] = {}
    if (teacher := recipe.distillation.teacher) is not None:
        files[f"distillation.teacher {teacher}"] = teacher_file(teacher)
    if (weights := recipe.network.weights) not in NAMED_WEIGHTS:
        files[f"network.weights {weights}"] = model_file(Path(weights))
    found = {}
    for name, path in files.items():
        if path is not None:
            found[name] = sha256(path) if path.is_file() else ""
            centres = path.with_name(CENTRES_FILE)
            if centres.is_file():
                found[f"{name}, {CENTRES_FILE}"] = sha256(centres)
    return found
