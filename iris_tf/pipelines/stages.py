"""Pipeline stages: a stage is skipped if its outputs are complete and its inputs unchanged."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from rich.console import Console
from rich.markup import escape

from iris_tf.config.load_recipe import first_difference, recipe_yaml, renewed_yaml
from iris_tf.config.recipe_yaml import RecipeProblem, parse_yaml
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import RecipeError, TrainingError, first_line
from iris_tf.support.files import is_unused, sha256, sole_user, write_json, write_text
from iris_tf.support.foreign_files import read_object

# Recipe keys that may change between calls. Nothing in the folder depends on `out`, where results
# are published, and the stages of each of `models` (and their `repeats`), of `scores` and of
# `dataset.folds` have its settings as their inputs.
_CHANGEABLE = ("out", "models", "repeats", "scores", "dataset.folds")
_UNFINISHED = "unfinished"  # key in the stamp of a stage that has been started


class Stages:
    """Runs the stages of one pipeline in its run folder.

    Parameters
    ----------
    folder : Path
        Run folder of the pipeline. Stamps are in ``.stages/`` inside.
    recipe : str
        The resolved recipe as YAML. Its `out`, `models`, `repeats`, `scores` and `dataset.folds`
        may differ from the stored ones: stages of models that have not changed stay complete.

    Raises
    ------
    RecipeError
        If the folder belongs to another recipe or holds other files.
    """

    def __init__(self, folder: Path, recipe: str):
        self.folder = folder
        self._console = Console(stderr=True, highlight=False)
        stored = folder / "recipe.yaml"
        if not stored.is_file():
            if not is_unused(folder):
                raise RecipeError(
                    f"{folder}: is not empty and does not belong to a pipeline; choose an "
                    "empty folder as `run`."
                )
            write_text(stored, recipe)
        before = stored.read_text("utf-8")
        difference = first_difference(_fixed(before), _fixed(recipe))
        if difference:
            raise RecipeError(
                f"{folder}: belongs to another recipe ({difference}); choose another `run` "
                "or remove the folder."
            )
        if first_difference(before, recipe):
            write_text(stored, recipe)

    def run(
        self,
        name: str,
        inputs: dict[str, Any],
        outputs: list[Path],
        action: Callable[[], object],
        start_over: Callable[[set[str]], None] | None = None,
    ) -> bool:
        """Run `action`, unless its stamp shows that it was run on the same inputs.

        Parameters
        ----------
        name : str
            Name shown to the user; also the file name of the stamp.
        inputs : dict
            JSON-serialisable description of all inputs of the stage. A `Path` stands for the
            content of the file, a `TrainRecipe` for its resolved YAML; YAML of an earlier
            version is converted to that of this version before it is compared.
        outputs : list of Path
            Files that the stage must write.
        action : callable
            Runs the stage. Must handle files left by an interrupted attempt.
        start_over : callable, optional
            Called before `action` with the names of the inputs that have changed since an
            earlier attempt, finished or not. Removes files that `action` must not resume from.

        Returns
        -------
        bool
            Whether the stage ran.

        Raises
        ------
        InUseError
            If another process runs a stage in this folder.
        """
        with sole_user(self.folder):
            stamp = self._stamp(name)
            fingerprint = {key: _fingerprint(value) for key, value in inputs.items()}
            # JSON turns tuples into lists, as in the stored stamp.
            fingerprint = json.loads(json.dumps(fingerprint))
            complete = all(path.exists() for path in outputs)
            before = _read_stamp(stamp)
            recipes = [key for key, value in inputs.items() if isinstance(value, TrainRecipe)]
            _renew_recipes(before or {}, recipes)
            if complete and before == fingerprint:
                self._console.print(f"[dim]{name}: done before, inputs unchanged[/dim]")
                return False
            began = (before or {}).get(_UNFINISHED, before or {})
            known = began.keys() & inputs.keys()
            changed = {key for key in known if began[key] != fingerprint[key]}
            why = f" ({', '.join(sorted(changed))} changed)" if changed else ""
            self._console.print(f"[bold]{name}[/bold]{escape(why)}")
            if changed and start_over is not None:
                start_over(changed)
            # From here on, the outputs may be incomplete.
            write_json(stamp, {_UNFINISHED: fingerprint})
            action()
            missing = [str(path) for path in outputs if not path.exists()]
            if missing:
                raise FileNotFoundError(f"stage {name} did not write {', '.join(missing)}")
            write_json(stamp, fingerprint)
            return True

    def recorded(self, name: str) -> dict[str, Any]:
        """Inputs of the last attempt at a stage, finished or not; empty if there was none."""
        stamp = _read_stamp(self._stamp(name)) or {}
        return stamp.get(_UNFINISHED, stamp)

    def _stamp(self, name: str) -> Path:
        return self.folder / ".stages" / f"{name.replace(' ', '-')}.json"


def _read_stamp(stamp: Path) -> dict[str, Any] | None:
    """The stamp of an earlier attempt; one that is damaged counts as missing."""
    try:
        return read_object(stamp)
    except (OSError, ValueError):
        return None


def read_result(path: Path) -> dict[str, Any]:
    """Read the JSON file that a finished stage has written.

    Raises
    ------
    TrainingError
        If it is missing or damaged.
    """
    try:
        return read_object(path)
    except (OSError, ValueError) as problem:
        raise TrainingError(
            f"{path}: this result of an earlier stage cannot be read ({first_line(problem)}); "
            "delete it and run the pipeline again."
        ) from None


def _fingerprint(value: Any) -> Any:
    if isinstance(value, Path):
        return sha256(value)
    return recipe_yaml(value) if isinstance(value, TrainRecipe) else value


def _renew_recipes(stamp: dict[str, Any], keys: list[str]) -> None:
    """Convert the recipes in a stamp to the format of this version."""
    stamp = stamp.get(_UNFINISHED, stamp)
    for key in stamp.keys() & set(keys):
        # A recipe that this version cannot read counts as another recipe.
        with contextlib.suppress(RecipeError):
            stamp[key] = renewed_yaml(stamp[key], TrainRecipe)


def _fixed(recipe: str) -> str:
    """A recipe, given as YAML, without the keys that may change."""
    try:
        values: dict[str, Any] = OmegaConf.to_container(parse_yaml(recipe))  # type: ignore[assignment]
    except RecipeProblem as problem:
        raise RecipeError(f"The stored recipe cannot be read: {problem}.") from None
    if isinstance(dataset := values.get("dataset"), dict):
        values["dataset"] = {k: v for k, v in dataset.items() if f"dataset.{k}" not in _CHANGEABLE}
    return yaml.safe_dump({key: value for key, value in values.items() if key not in _CHANGEABLE})
