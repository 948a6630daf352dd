"""Loading of recipes: YAML plus ``key=value`` overrides, validated against the dataclasses."""

import difflib
import functools
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError

from iris_tf.config.checks import Problem
from iris_tf.config.former_keys import former_name, renew, retired
from iris_tf.config.names import CHANNELS, NAMED_TEACHERS, NAMED_WEIGHTS, SPLIT_BY_ALIASES
from iris_tf.config.pipeline_recipe import PipelineRecipe
from iris_tf.config.recipe_yaml import (
    DAMAGED,
    MAX_BYTES,
    RecipeProblem,
    parse_yaml,
    read_yaml,
    refuse_resolvers,
)
from iris_tf.config.release_recipe import ReleaseRecipe
from iris_tf.config.segmenter_recipe import SegmenterRecipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import RecipeError, first_line
from iris_tf.support.foreign_files import read_text

R = TypeVar("R", TrainRecipe, PipelineRecipe, SegmenterRecipe, ReleaseRecipe)

# Set per model by the pipeline, so not allowed in its sections.
_OWNED_BY_PIPELINE = ("run", "dataset", "seed")
# Settings that recipes of version 0.1.0 lack, with their values then.
_LATER_SETTINGS = {
    "dataset.channels": None,
    "dataset.split": None,
    "dataset.folds": None,
    "dataset.synthetic.cameras": "one",
    "repeats": 1,
}
# What settings mean that are none: stating it changes nothing that was made.
_MEANT_BY_NONE = {"dataset.channels": CHANNELS[0]}
_YAML_TEXTS = ("'", '"', "${", "null", "~")
"""Beginnings of overrides that YAML reads even where a text is wanted."""
_IS_SECTION = "is a section: it holds `key: value` lines"
_IS_LIST = "is a list: it holds values in brackets, such as [1, 2]"


def load_recipe(path: str | Path, schema: type[R], overrides: list[str] | None = None) -> R:
    """Read a recipe.

    Parameters
    ----------
    path : str or Path
        YAML file.
    schema : type
        A recipe of `iris_tf.config`.
    overrides : list of str, optional
        ``key=value`` with dots in the key, e.g. ``network.embedding_size=256``.

    Returns
    -------
    object
        Instance of `schema`.

    Raises
    ------
    RecipeError
        If the file is missing or is not YAML, or a key is unknown, has the wrong
        type, an invalid value, or no value; names key and line.
    """
    source = _Source(Path(path), list(overrides or []), schema)
    recipe = _build(schema, source.values(), source)
    if isinstance(recipe, PipelineRecipe | ReleaseRecipe):
        merge_models(recipe, source)  # so that errors in models are reported before anything runs
    return recipe


def merge_models(
    recipe: PipelineRecipe | ReleaseRecipe, source: "_Source | None" = None
) -> dict[str, TrainRecipe]:
    """Build the training recipes of the models of a pipeline, in training order.

    `distillation.teacher` and `network.weights` may still name another model of the pipeline, see
    `iris_tf.training.model_recipes`.

    Raises
    ------
    RecipeError
        If the section of a model is invalid, or refers to a model that comes later.
    """
    source = source or _Source(None, [])
    run = Path(recipe.run)
    recipes: dict[str, TrainRecipe] = {}
    for name, own in recipe.models.items():
        prefixes = [f"models.{name}", "training"]
        for prefix, section in zip(prefixes, (own or {}, recipe.training), strict=True):
            _check_shared_section(prefix, section, source)
        values = OmegaConf.merge(
            recipe.training,
            own or {},
            {"run": str(run / name), "dataset": str(run / "dataset"), "seed": recipe.seed},
        )
        recipes[name] = _build(TrainRecipe, values, source, prefixes)
        distillation, network = recipes[name].distillation, recipes[name].network
        for key, other in (
            ("distillation.teacher", distillation.teacher),
            ("network.weights", network.weights),
        ):
            if other is None:
                continue
            if other in recipe.models and (other not in recipes or other == name):
                raise source.error(
                    f"models.{name}.{key}", f"names {other}, which must come before {name}"
                )
            named = NAMED_WEIGHTS if key == "network.weights" else NAMED_TEACHERS
            if other not in (*recipe.models, *named) and not Path(other).exists():
                raise source.error(
                    f"models.{name}.{key}",
                    f"is {other}, which is neither an existing file nor a model of this recipe",
                )
    return recipes


def _check_shared_section(prefix: str, section: Any, source: "_Source") -> None:
    """Check for containers that OmegaConf cannot merge, and for keys that the pipeline sets."""
    if not isinstance(section, dict):
        raise source.error(prefix, _IS_SECTION)
    for key in _OWNED_BY_PIPELINE:
        if key in section:
            raise source.error(f"{prefix}.{key}", "is set by the pipeline; remove it")
    for key, problem in _wrong_containers(TrainRecipe, OmegaConf.create(section)):
        raise source.error(f"{prefix}.{key}", problem)


def recipe_yaml(recipe: TrainRecipe | PipelineRecipe | ReleaseRecipe | SegmenterRecipe) -> str:
    """The resolved recipe as YAML; `load_recipe` reads it back to an equal recipe."""
    return OmegaConf.to_yaml(OmegaConf.structured(recipe))


def renewed_yaml(text: str, schema: type[R]) -> str:
    """Convert a resolved recipe of an earlier version to the format of this version.

    Raises
    ------
    RecipeError
        If this version cannot read it.
    """
    try:
        values = parse_yaml(text)
    except RecipeProblem as problem:
        raise RecipeError(f"The stored recipe cannot be read: {problem}.") from None
    return recipe_yaml(_build(schema, renew(values), _Source(None, [])))


def first_difference(old: str, new: str) -> str | None:
    """Describe the first key in which two recipes, given as YAML, differ; None if equal."""
    there, here = _flat(old), _flat(new)
    for key in there | here:
        was, now = there.get(key, _LATER_SETTINGS.get(key, "absent")), here.get(key, "absent")
        meant = _MEANT_BY_NONE.get(key)
        if (meant if was is None else was) != (meant if now is None else now):
            return f"{key} is {was} there and {now} here"
    return None


def _flat(text: str) -> dict[str, Any]:
    """Values of a recipe, given as YAML, by dotted key."""
    try:
        values: Any = OmegaConf.to_container(renew(parse_yaml(text)))
    except RecipeProblem as problem:
        raise RecipeError(f"The stored recipe cannot be read: {problem}.") from None
    return dict(_leaves(values))


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values; a list is one value."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        elif name == "split_by":  # a former spelling is not a difference
            yield f"{prefix}{name}", SPLIT_BY_ALIASES.get(value, value)
        else:
            yield f"{prefix}{name}", value


class _Source:
    """Source of the values; locates the line of a key for error messages."""

    def __init__(self, path: Path | None, overrides: list[str], schema: type | None = None):
        self.path, self.overrides, self.schema = path, overrides, schema

    def values(self) -> Any:
        if self.path is None:
            return {}
        if not self.path.is_file():
            raise RecipeError(f"{self.path}: there is no such recipe; check the path.")
        try:
            values: Any = self._renewed(read_yaml(self.path))
        except RecipeProblem as error:
            line = f", line {error.line}" if error.line else ""
            raise RecipeError(f"{self.path}{line}: {error}.") from None
        for override in self.overrides:
            key, equals, raw = override.partition("=")
            if not equals or not key:
                raise RecipeError(f"command line: {override!r} must have the form key=value.")
            try:
                given = OmegaConf.from_dotlist([override])
                if _is_text(self.schema, key) and not raw.startswith(_YAML_TEXTS):
                    OmegaConf.update(given, key, raw)
                refuse_resolvers(given)
                values = OmegaConf.merge(values, self._renewed(given))
            except DAMAGED as error:
                raise RecipeError(
                    f"command line: {override!r} is invalid: {_first_line(error)}."
                ) from None
        return values

    def _renewed(self, values: Any) -> Any:
        try:
            return renew(values)
        except RecipeError as error:
            raise RecipeError(f"{self.path}: {error}") from None

    def error(self, key: str, problem: str, candidates: list[str] | None = None) -> RecipeError:
        keys = candidates or [key]
        keys = [name for key in keys for name in dict.fromkeys((key, former_name(key)))]
        # A default has no line; its section is the nearest location.
        for wanted in (keys, [k.rpartition(".")[0] for k in keys]):
            for candidate, place in zip(keys, map(self._place, wanted), strict=True):
                if place:
                    return RecipeError(f"{place}: {candidate} {problem}.")
        where = f"{self.path}: " if self.path else ""
        return RecipeError(f"{where}{key} {problem}.")

    def _place(self, key: str) -> str | None:
        parts = _parts(key)
        for override in self.overrides:
            given = _parts(override.partition("=")[0])
            # `network.name.x=3` invalidates network.name, `network.input_size=[a]` an entry of it.
            if parts[: len(given)] == given[: len(parts)]:
                return "command line"
        line = self._line(key)
        return f"{self.path}, line {line}" if line else None

    def _line(self, key: str) -> int | None:
        if self.path is None:
            return None
        node = yaml.compose(read_text(self.path, MAX_BYTES), Loader=yaml.SafeLoader)
        line = None
        for part in _parts(key):
            if isinstance(node, yaml.SequenceNode):
                break
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            pairs = [(k, v) for k, v in pairs if k.value == part]
            if not pairs:
                return None
            line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
        return line


def _parts(key: str) -> list[str]:
    return key.replace("[", ".").replace("]", "").split(".")


def _build(schema: type[R], values: Any, source: _Source, prefixes: list[str] | None = None) -> R:
    def candidates(key: str) -> list[str]:
        return [f"{prefix}.{key}" for prefix in prefixes or []] or [key]

    for key, problem in _wrong_containers(schema, values):
        raise source.error(key, problem, candidates(key))
    try:
        kind: Any = schema  # mypy takes dataclasses, as types, for unhashable
        merged = OmegaConf.merge(_structured(kind), values)
        recipe: Any = OmegaConf.to_object(merged)
        OmegaConf.structured(recipe)  # checks the elements of lists, too
    except ConfigKeyError as error:
        key = error.full_key or str(error.key)
        problem = retired(key) or _unknown(schema, key)
        raise source.error(key, problem, candidates(key)) from None
    except DAMAGED as error:
        key = getattr(error, "full_key", None) or str(getattr(error, "key", None) or "a value")
        problem = _first_line(error)
        if "missing mandatory" in problem.lower():
            raise source.error(key, "has no value and needs one", candidates(key)) from None
        raise source.error(key, f"is invalid: {problem}", candidates(key)) from None
    for key, problem in recipe.problems():
        raise source.error(key, problem, candidates(key))
    return recipe


@functools.cache
def _structured(schema: type) -> Any:
    """Defaults of a schema; made once, since that takes longer than all else. `merge` copies it."""
    return OmegaConf.structured(schema)


def _wrong_containers(schema: type, values: Any) -> Iterator[Problem]:
    """Find sections and lists with values of another kind, which OmegaConf would not name."""
    for field in fields(schema):
        name, types = field.name, _types(field)
        if name not in values or OmegaConf.is_missing(values, name):
            continue
        if OmegaConf.is_interpolation(values, name):
            continue
        value = values[name]
        if value is None and type(None) in types:
            continue
        if section := _section(field):
            yield from _wrong_section(name, section, value)
        elif dict in types and not OmegaConf.is_dict(value):
            yield name, _IS_SECTION
        elif list in types and not OmegaConf.is_list(value):
            yield name, _IS_LIST
        elif section := _named_section(field):
            for key in value:
                if not OmegaConf.is_interpolation(value, key):
                    yield from _wrong_section(f"{name}.{key}", section, value[key])


def _wrong_section(prefix: str, schema: type, value: Any) -> Iterator[Problem]:
    if not OmegaConf.is_dict(value):
        yield prefix, _IS_SECTION
        return
    for key, problem in _wrong_containers(schema, value):
        yield f"{prefix}.{key}", problem


def _types(field: Field) -> tuple[type, ...]:
    """``(int, NoneType)`` of ``int | None``, ``(list,)`` of ``list[int]``."""
    origin = get_origin(field.type)
    return get_args(field.type) if origin is UnionType else (origin or field.type,)


def _section(field: Field) -> type | None:
    """The dataclass of a field that is a section."""
    return next(
        (kind for kind in _types(field) if isinstance(kind, type) and is_dataclass(kind)), None
    )


def _named_section(field: Field) -> type | None:
    """The dataclass of a field that holds sections by name: X of ``dict[str, X]``."""
    arguments = get_args(field.type) if get_origin(field.type) is dict else ()
    return next((kind for kind in arguments if isinstance(kind, type) and is_dataclass(kind)), None)


def _is_text(schema: type | None, key: str) -> bool:
    """Whether a key takes a text: YAML would read the run ``007`` as 7, and ``on`` as true."""
    parts, known = key.split("."), schema
    types: tuple[Any, ...] = ()
    while parts:
        field = {field.name: field for field in fields(known)}.get(parts.pop(0)) if known else None
        if field is None:
            return False
        known, types = _section(field), _types(field)
        if get_origin(field.type) is dict:
            # Sections by name, keys of a training for all models or one, or texts by name.
            types = get_args(field.type)[1:]
            known = _named_section(field) or (TrainRecipe if Any in types else None)
            if field.name != "training":
                if not parts:
                    return False
                del parts[:1]
    return str in types


def _unknown(schema: type, key: str) -> str:
    """Describe an unknown key, and suggest a similar known one."""
    *parents, last = key.split(".")
    known: type | None = schema
    while parents and known:
        field = {field.name: field for field in fields(known)}.get(parents.pop(0))
        known = _section(field) if field else None
        if field and (named := _named_section(field)):
            known = named if parents else None
            del parents[:1]  # names are free
    names = [field.name for field in fields(known)] if known else []
    close = difflib.get_close_matches(last, names, n=1)
    if close:
        return f"is unknown (did you mean {close[0]}?)"
    return f"is unknown; known here: {', '.join(names)}" if names else "is unknown"


def _first_line(error: Exception) -> str:
    return first_line(error).rstrip(".")
