"""What a run depends on, and whether it is still what the run was started with."""

import json
from pathlib import Path

from iris_tf.config.names import NAMED_WEIGHTS
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.files import sha256
from iris_tf.training.run_folder import RunFolder, model_file


def check_same_dataset(run: RunFolder) -> None:
    """Refuse to go on with a run whose dataset is another one now.

    Raises
    ------
    TrainingError
        Names the file that has changed.
    """
    manifest = Path(run.recipe().dataset) / "manifest.csv"
    both = run.manifest.is_file() and manifest.is_file()
    if both and run.manifest.read_bytes() != manifest.read_bytes():
        raise run.changed(manifest)
    run.check_crops()  # manifests of crops of another kind may be equal


def check_same_inputs(run: RunFolder) -> None:
    """Refuse to go on with a run whose teacher or starting weights are others now.

    Raises
    ------
    TrainingError
        Names the file that has changed.
    """
    if not run.inputs.is_file():
        return  # nothing has been trained yet
    now = input_hashes(run.recipe())
    for name, before in json.loads(run.inputs.read_text("utf-8")).items():
        if now.get(name) != before:
            raise run.changed(name)


def input_hashes(recipe: TrainRecipe) -> dict[str, str]:
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
