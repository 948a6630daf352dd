"""Reading recipes: YAML plus ``key=value`` overrides, checked against the dataclasses."""

import difflib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from iris_tf.config.recipe import PipelineRecipe, TrainRecipe
from iris_tf.errors import RecipeError

R = TypeVar("R", TrainRecipe, PipelineRecipe)

# Set per model by the pipeline, so meaningless in its shared sections.
_OWNED_BY_PIPELINE = ("run", "dataset", "seed")


def load_recipe(path: str | Path, schema: type[R], overrides: list[str] | None = None) -> R:
    """Read a recipe.

    Parameters
    ----------
    path : str or Path
        YAML file.
    schema : type
        `TrainRecipe` or `PipelineRecipe`.
    overrides : list of str, optional
        ``key=value`` with dots in the key, e.g. ``network.embedding_size=256``.

    Returns
    -------
    TrainRecipe or PipelineRecipe

    Raises
    ------
    RecipeError
        When the file is missing or not YAML, or a key is unknown, has the
        wrong type, an impossible value, or no value. Names key and line.
    """
    source = _Source(Path(path), list(overrides or []))
    recipe = _build(schema, source.values(), source)
    if isinstance(recipe, PipelineRecipe):
        model_recipes(recipe, source)  # so that a mistake in a model shows before anything runs
    return recipe


def model_recipes(
    recipe: PipelineRecipe, source: "_Source | None" = None
) -> dict[str, TrainRecipe]:
    """The training recipe of each model of a pipeline, in the order they are trained.

    A model whose `distillation.teacher` names another model of the pipeline
    gets that model's run folder.

    Raises
    ------
    RecipeError
        When a model's section has a mistake, or its teacher stands behind it.
    """
    source = source or _Source(None, [])
    run = Path(recipe.run)
    recipes: dict[str, TrainRecipe] = {}
    for name, own in recipe.models.items():
        prefixes = [f"models.{name}", "training"]
        for prefix, section in zip(prefixes, (own or {}, recipe.training), strict=True):
            for key in _OWNED_BY_PIPELINE:
                if key in section:
                    raise source.error(f"{prefix}.{key}", "is set by the pipeline; remove it")
        values = OmegaConf.merge(
            recipe.training,
            own or {},
            {"run": str(run / name), "dataset": str(run / "dataset"), "seed": recipe.seed},
        )
        recipes[name] = _build(TrainRecipe, values, source, prefixes)
        teacher = recipes[name].distillation.teacher
        if teacher in recipe.models:
            if teacher not in recipes or teacher == name:
                raise source.error(
                    f"models.{name}.distillation.teacher",
                    f"names {teacher}, which must stand before {name}",
                )
            recipes[name].distillation.teacher = str(run / teacher)
    return recipes


def recipe_yaml(recipe: TrainRecipe | PipelineRecipe) -> str:
    """The resolved recipe as YAML; `load_recipe` reads it back to an equal one."""
    return OmegaConf.to_yaml(OmegaConf.structured(recipe))


def first_difference(old: str, new: str) -> str | None:
    """Say where two recipes first differ, or None when they are equal."""
    if old == new:
        return None
    for was, now in zip(old.splitlines(), new.splitlines(), strict=False):
        if was != now:
            return f"there `{was.strip()}`, here `{now.strip()}`"
    return "one is longer than the other"


class _Source:
    """Where the values came from: finds the line of a key for error messages."""

    def __init__(self, path: Path | None, overrides: list[str]):
        self.path, self.overrides = path, overrides

    def values(self) -> Any:
        if not self.path.is_file():
            raise RecipeError(f"{self.path}: there is no such recipe.")
        try:
            values = OmegaConf.load(self.path)
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            problem = getattr(error, "problem", None) or error
            raise RecipeError(f"{self.path}{line}: this is not YAML: {problem}.") from None
        if not OmegaConf.is_dict(values):
            raise RecipeError(f"{self.path}: a recipe is a list of `key: value` lines.")
        for override in self.overrides:
            key, equals, _ = override.partition("=")
            if not equals or not key:
                raise RecipeError(f"command line: {override!r} must have the form key=value.")
        try:
            return OmegaConf.merge(values, OmegaConf.from_dotlist(self.overrides))
        except (OmegaConfBaseException, yaml.YAMLError) as error:
            raise RecipeError(f"command line: {_first_line(error)}.") from None

    def error(self, key: str, problem: str, candidates: list[str] | None = None) -> RecipeError:
        for candidate in candidates or [key]:
            where = self._place(candidate)
            if where:
                return RecipeError(f"{where}: {candidate} {problem}.")
        where = f"{self.path}: " if self.path else ""
        return RecipeError(f"{where}{key} {problem}.")

    def _place(self, key: str) -> str | None:
        if any(override.partition("=")[0] == key for override in self.overrides):
            return "command line"
        line = self._line(key)
        return f"{self.path}, line {line}" if line else None

    def _line(self, key: str) -> int | None:
        if self.path is None:
            return None
        node = yaml.compose(self.path.read_text(encoding="utf-8"))
        line = None
        for part in key.replace("[", ".").replace("]", "").split("."):
            if isinstance(node, yaml.MappingNode):
                pairs = [(k, v) for k, v in node.value if k.value == part]
                if not pairs:
                    return None
                line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
            else:
                break
        return line


def _build(schema: type[R], values: Any, source: _Source, prefixes: list[str] | None = None) -> R:
    def candidates(key: str) -> list[str]:
        return [f"{prefix}.{key}" for prefix in prefixes or []] or [key]

    for key in _sections_without_keys(schema, values):
        raise source.error(key, "is a section: it holds `key: value` lines", candidates(key))
    try:
        merged = OmegaConf.merge(OmegaConf.structured(schema), values)
        recipe = OmegaConf.to_object(merged)
    except ConfigKeyError as error:
        key = error.full_key or str(error.key)
        raise source.error(key, _unknown(schema, key), candidates(key)) from None
    except OmegaConfBaseException as error:
        key = error.full_key or str(error.key)
        problem = _first_line(error)
        if "missing mandatory" in problem.lower():
            raise source.error(key, "has no value and needs one", candidates(key)) from None
        raise source.error(key, f"is wrong: {problem}", candidates(key)) from None
    for key, problem in recipe.problems():
        raise source.error(key, problem, candidates(key))
    return recipe


def _sections_without_keys(schema: type, values: Any) -> Iterator[str]:
    """Sections that are given a plain value; OmegaConf's own error would not name them."""
    for section in fields(schema):
        if is_dataclass(section.type) and section.name in values:
            value = values[section.name]
            if not OmegaConf.is_dict(value):
                yield section.name
                continue
            for key in _sections_without_keys(section.type, value):
                yield f"{section.name}.{key}"


def _unknown(schema: type, key: str) -> str:
    """Say that a key is unknown, and which known one may have been meant."""
    *parents, last = key.split(".")
    known = schema
    for parent in parents:
        default = getattr(known(), parent, MISSING) if is_dataclass(known) else None
        known = type(default)
    names = [f.name for f in fields(known)] if is_dataclass(known) else []
    close = difflib.get_close_matches(last, names, n=1)
    if close:
        return f"is unknown (did you mean {close[0]}?)"
    return f"is unknown; known here: {', '.join(names)}" if names else "is unknown"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
