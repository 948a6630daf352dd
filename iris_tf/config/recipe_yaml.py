"""YAML of recipes, checked before OmegaConf resolves anything in it.

A recipe may come from others. OmegaConf's resolvers, such as ``oc.env``, read the environment, and
aliases let a few lines expand to more values than memory holds. Neither is needed: recipes may
refer to values of their own, ``${run}/release``.
"""

import io
import math
import os
import re
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from iris_tf.support.foreign_files import UNUSABLE, read_text, shown

MAX_BYTES = 2**20
"""Largest recipe that is read."""

_MOST_VALUES, _MOST_LEVELS = 10_000, 32
_REFERENCE = re.compile(r"\$\{[^${}:]*\}")
DAMAGED = (yaml.YAMLError, OmegaConfBaseException, AssertionError, *UNUSABLE)
"""What OmegaConf raises for values that it cannot handle."""


class RecipeProblem(ValueError):
    """What is wrong with a YAML text, as a clause, and its line if known."""

    def __init__(self, problem: str, line: int | None = None):
        super().__init__(problem)
        self.line = line


def read_yaml(path: str | os.PathLike) -> DictConfig:
    """Read the YAML file of a recipe.

    Raises
    ------
    RecipeProblem
        If the file cannot be read, or as `parse_yaml`.
    """
    try:
        text = read_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise RecipeProblem(f"invalid YAML: {error}") from None
    return parse_yaml(text)


def parse_yaml(text: str) -> DictConfig:
    """Parse the YAML of a recipe.

    Raises
    ------
    RecipeProblem
        If it is not YAML, not a list of ``key: value`` lines, too large once its aliases are
        expanded, or uses a resolver.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _count(node, {}, 0) > _MOST_VALUES:
            raise RecipeProblem(f"invalid YAML: it holds more than {_MOST_VALUES:,} values")
        values: Any = OmegaConf.load(io.StringIO(text))
    except RecipeProblem:
        raise
    except RecursionError:
        raise RecipeProblem("invalid YAML: it is nested too deeply") from None
    except DAMAGED as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split()).rstrip(".")
        raise RecipeProblem(f"invalid YAML: {problem}", mark and mark.line + 1) from None
    if not OmegaConf.is_dict(values):
        raise RecipeProblem("a recipe is a list of `key: value` lines")
    refuse_resolvers(values)
    return values


def refuse_resolvers(values: DictConfig) -> None:
    """Check that values refer to nothing but other values of the recipe.

    Raises
    ------
    RecipeProblem
        If a text holds an interpolation other than the name of a key.
    """
    waiting: list[Any] = [OmegaConf.to_container(values, resolve=False)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and "${" in value:
            left, found = value, 1
            while found:  # the innermost first
                left, found = _REFERENCE.subn("", left)
            if "${" in left:
                raise RecipeProblem(
                    f"{shown(value)} uses a resolver, which could read the environment or files; "
                    "write the value itself, or the name of another key, such as ${run}"
                )


def _count(node: yaml.Node, known: dict[int, float], level: int) -> float:
    """Number of values of a node after expansion of its aliases; infinite if it holds itself."""
    if level > _MOST_LEVELS:
        raise RecursionError
    if id(node) not in known:
        known[id(node)] = math.inf  # for aliases of a node within itself
        parts: list[Any] = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = 1 + sum(_count(part, known, level + 1) for part in parts)
    return known[id(node)]
