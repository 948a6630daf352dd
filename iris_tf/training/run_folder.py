"""Run folder of a training run: its files, and how a run is created, opened and resumed."""

import csv
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from iris_tf.config.load_recipe import first_difference, load_recipe, recipe_yaml
from iris_tf.config.names import PHASE_CODE
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.manifest import read_settings
from iris_tf.support.errors import ModelError, RecipeError, TrainingError, first_line
from iris_tf.support.files import is_unused, replace_folder, write_text
from iris_tf.support.foreign_files import UNUSABLE, read_object
from iris_tf.tflite.released_models import PRETRAINED, RECOGNITION, released_weights

_EPOCH = re.compile(r"epoch-[0-9]{1,9}")


@dataclass
class TrainingState:
    """State needed to resume a run, besides the weights.

    Attributes
    ----------
    epochs_done : int
        Number of completed epochs.
    history : list of dict
        Rows of `history.csv`, one per epoch.
    best_epoch : int
        Number, from 1, of the best epoch so far; on ties, the later one. 0: none.
    best_value : float
        Validation EER (0..1) of that epoch, or its loss without a validation split.
    """

    epochs_done: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = math.inf

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Check what was stored.

        Raises
        ------
        TypeError, ValueError
            If it is not a state.
        """
        state = cls(**values)
        columns = state.history[0].keys() if state.history else set()
        if not all(row.keys() <= columns for row in state.history):
            raise ValueError("its epochs have different columns")
        if not all(column.isprintable() for column in columns):
            raise ValueError("a column's name is no text")
        numbers = (state.best_value, *(n for row in state.history for n in row.values()))
        counts = (state.epochs_done, state.best_epoch)
        if not all(isinstance(number, int | float) for number in numbers):
            raise ValueError("it holds other values than numbers")
        if not all(type(count) is int for count in counts) or not (
            0 <= state.best_epoch <= state.epochs_done == len(state.history)
        ):
            raise ValueError("its numbers of epochs contradict each other")
        return state


class RunFolder:
    """Paths and state of a run."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.recipe_file = self.path / "recipe.yaml"
        self.manifest = self.path / "manifest.csv"
        self.dataset_description = self.path / "dataset.json"
        self.history_file = self.path / "history.csv"
        self.environment = self.path / "environment.json"
        self.inputs = self.path / "inputs.json"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.keras"
        self.last = self.checkpoints / "last.keras"
        self.logs = self.path / "logs"
        self.models = self.path / "models"

    @classmethod
    def create(cls, recipe: TrainRecipe) -> "RunFolder":
        """Start a run in `recipe.run`.

        Raises
        ------
        TrainingError, RecipeError
            See `check_unused`.
        """
        run = cls(recipe.run)
        run.check_unused(recipe)
        write_text(run.recipe_file, recipe_yaml(recipe))
        return run

    def check_unused(self, recipe: TrainRecipe) -> None:
        """Check that the folder holds neither a run nor other files.

        Raises
        ------
        TrainingError
            If it holds a run of the same recipe.
        RecipeError
            If it belongs to another recipe, or holds other files.
        """
        if self.recipe_file.is_file():
            self.check_recipe(recipe)
            if self.is_complete():
                raise TrainingError(f"{self.path}: this run is complete; choose another `run`.")
            raise TrainingError(
                f"{self.path}: holds an interrupted run; resume it with `--resume {self.path}`."
            )
        if not is_unused(self.path):
            raise RecipeError(
                f"{self.path}: is not empty and holds no run; choose an empty folder as `run`."
            )

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open an existing run.

        Raises
        ------
        ModelError
            If the folder holds no run.
        """
        run = cls(path)
        if not run.recipe_file.is_file():
            raise ModelError(f"{run.path}: holds no run (no recipe.yaml); check the path.")
        return run

    def recipe(self) -> TrainRecipe:
        """The resolved recipe that the run was started with."""
        return load_recipe(self.recipe_file, TrainRecipe)

    def check_recipe(self, recipe: TrainRecipe) -> None:
        """Check that the run has the same recipe.

        Raises
        ------
        RecipeError
            If not; names the first key that differs.
        """
        before = self.recipe()
        difference = first_difference(recipe_yaml(before), recipe_yaml(recipe))
        if not difference:
            return
        hint = ""
        if before == replace(recipe, epochs=before.epochs):
            hint = f", or change its length with `--resume {self.path} epochs={recipe.epochs}`"
        raise RecipeError(
            f"{self.path}: belongs to another recipe ({difference}); choose another `run` "
            f"or remove the folder{hint}."
        )

    def continues(self, recipe: TrainRecipe) -> bool:
        """Whether the run has started and can be resumed with a recipe.

        The recipe may have another number of epochs than the run, but not fewer than completed.
        """
        if not self.recipe_file.is_file():
            return False
        try:
            before = self.recipe()
        except RecipeError:  # of a version that is too old or too new
            return False
        same = replace(before, epochs=recipe.epochs) == recipe
        return same and recipe.epochs >= self.state().epochs_done

    def set_aside(self) -> Path:
        """Move the run to ``<name>.replaced`` beside it, in place of one that lies there."""
        aside = self.path.with_name(f"{self.path.name}.replaced")
        if aside.exists():
            shutil.rmtree(aside)
        return self.path.rename(aside)

    def set_epochs(self, epochs: int) -> None:
        """Change the number of epochs; a comment in the recipe file keeps the earlier number.

        Raises
        ------
        RecipeError
            If more epochs are completed already.
        """
        recipe, done = self.recipe(), self.state().epochs_done
        if epochs == recipe.epochs:
            return
        if epochs < done:
            raise RecipeError(
                f"{self.path}: {done} epochs are completed, so `epochs` cannot be {epochs}; "
                "choose more, or train into another folder."
            )
        lines = self.recipe_file.read_text("utf-8").splitlines()
        notes = [line for line in lines if line.startswith("# epochs")]
        notes.append(f"# epochs was {recipe.epochs} until epoch {done} was completed.")
        text = recipe_yaml(replace(recipe, epochs=epochs))
        write_text(self.recipe_file, text + "\n".join([*notes, ""]))

    def is_complete(self) -> bool:
        """Whether all epochs of the run's recipe are completed."""
        return self.recipe_file.is_file() and self.state().epochs_done >= self.recipe().epochs

    def dataset(self) -> Path:
        """Folder of the dataset.

        A relative path in the recipe is relative to the folder in which the training was started,
        whichever folder a later command is started in; where that dataset is gone, for instance
        because the whole project was moved, it is relative to the current one.
        """
        folder = Path(self.recipe().dataset)
        if folder.is_absolute() or not self.environment.is_file():
            return folder
        try:
            started_with = read_object(self.environment).get("dataset", "")
        except ValueError as problem:
            raise TrainingError(
                f"{self.environment}: cannot be read ({problem}); delete it, and repeat the "
                "command in the folder in which the training was started."
            ) from None
        there = started_with and Path(started_with, "manifest.csv").is_file()
        return Path(started_with) if there else folder

    def check_manifest(self) -> None:
        """Check that the images of the dataset have not changed since the run was started.

        Raises
        ------
        TrainingError
            If its manifest is another one; a missing manifest is ignored.
        """
        manifest = self.dataset() / "manifest.csv"
        both = self.manifest.is_file() and manifest.is_file()
        if both and self.manifest.read_bytes() != manifest.read_bytes():
            raise self.changed(manifest)

    def check_crops(self) -> None:
        """Check that the crops of the dataset have not changed since the run was started.

        Settings that are missing in the description, or a missing description, are ignored.

        Raises
        ------
        TrainingError
            If the dataset was cropped differently.
        """
        description = self.dataset() / "dataset.json"
        if not self.dataset_description.is_file() or not description.is_file():
            return
        before, now = (read_settings(path) for path in (self.dataset_description, description))
        for name in ("roi_mode", "segmenter", "segmenter_version", "channels"):
            if before.get(name) != now.get(name):
                raise self.changed(f"{description} ({name})")

    def changed(self, what: Path | str) -> TrainingError:
        """Error for an input of the run that has changed."""
        return TrainingError(
            f"{what}: has changed since the run in {self.path} was started; train again into "
            "another folder."
        )

    def best_model(self) -> Path:
        """Path of the best checkpoint.

        Raises
        ------
        ModelError
            If no epoch is complete.
        """
        if not self.best.is_file():
            raise ModelError(
                f"{self.path}: no epoch of this run is complete, so it has no model yet."
            )
        return self.best

    def _state_folders(self) -> list[Path]:
        folders = (p for p in self.checkpoints.glob("epoch-*") if _EPOCH.fullmatch(p.name))
        return sorted((p for p in folders if p.is_dir()), key=lambda p: int(p.name[6:]))

    def state(self) -> TrainingState:
        """State after the last completed epoch.

        Raises
        ------
        TrainingError
            If it is damaged.
        """
        folders = self._state_folders()
        if not folders:
            return TrainingState()
        file = folders[-1] / "state.json"
        try:
            return TrainingState.from_json(read_object(file, finite=False))
        except UNUSABLE as problem:
            raise TrainingError(
                f"{file}: the state of the run cannot be read ({first_line(problem)}); train again "
                "into another folder."
            ) from None

    def state_weights(self) -> Path | None:
        """File with student, optimiser and step counter after the last completed epoch."""
        folders = self._state_folders()
        return folders[-1] / "trainer.npz" if folders else None

    def save_state(self, state: TrainingState, save_weights: Callable[[Path], None]) -> None:
        """Save weights and state atomically, as a folder that appears by a single rename."""
        with replace_folder(self.checkpoints / f"epoch-{state.epochs_done:04d}") as folder:
            save_weights(folder / "trainer.npz")
            (folder / "state.json").write_text(json.dumps(vars(state)), encoding="utf-8")
        for old in [*self._state_folders()[:-1], *self.checkpoints.glob(".epoch-*")]:
            shutil.rmtree(old, ignore_errors=True)
        self.write_history(state)

    def write_history(self, state: TrainingState) -> None:
        """Rewrite `history.csv` from the state, so that no row is lost or duplicated."""
        if not state.history:
            return
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(state.history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(state.history)
        write_text(self.history_file, buffer.getvalue())


def teacher_file(teacher: str | Path) -> Path | None:
    """Path of a teacher's model file; None for the phase code, which has none.

    Raises
    ------
    ModelError
        As for `model_file`.
    """
    return None if str(teacher) == PHASE_CODE else model_file(Path(teacher))


def model_file(path: Path) -> Path:
    """Path of a model file: for a run folder its best model, for "pretrained" the released one.

    Raises
    ------
    ModelError
        If a folder holds no run, its run has no model yet, or the installation lacks the released
        model.
    """
    if str(path) == PRETRAINED:
        return released_weights(RECOGNITION)
    return RunFolder.open(path).best_model() if path.is_dir() else path
