"""Recipes that travel with the package, found by name."""

from dataclasses import fields
from pathlib import Path

import yaml

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import RecipeError

_PACKAGE = Path(__file__).parents[1]
# In an installed package the recipes lie inside it, in a checkout beside it.
FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parent / "pipelines")


def training_recipes() -> dict[str, Path]:
    """Files of the shipped recipes of `iris-tf train`, by name, in alphabetical order.

    Recipes of whole pipelines, which have launchers of their own, are left out.
    """
    folder = next((folder for folder in FOLDERS if any(folder.glob("*.yaml"))), None)
    files = [] if folder is None else sorted(folder.glob("*.yaml"))
    keys = {field.name for field in fields(TrainRecipe)}
    return {
        file.stem: file
        for file in files
        if keys.issuperset(yaml.safe_load(file.read_text("utf-8")))
    }


def recipe_file(recipe: str | Path) -> Path:
    """Path of a training recipe.

    Parameters
    ----------
    recipe : str or Path
        Path of a YAML file, or the name of a shipped recipe. An existing file takes precedence.

    Raises
    ------
    RecipeError
        If there is neither; lists the names.
    """
    if Path(recipe).is_file():
        return Path(recipe)
    shipped = training_recipes()
    if str(recipe) in shipped:
        return shipped[str(recipe)]
    raise RecipeError(
        f"{recipe}: there is no such recipe; give the path of a YAML file, or one of the names "
        f"{', '.join(shipped)}."
    )


def summary(file: Path) -> str:
    """First sentence of the comment at the top of a recipe."""
    comment = []
    for line in file.read_text("utf-8").splitlines():
        if not line.removeprefix("#").strip():
            break
        comment.append(line.removeprefix("#").strip())
    return " ".join(comment)
