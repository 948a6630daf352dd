"""The documents name what the code has, and agree with each other."""

import dataclasses
import re
from pathlib import Path

import pytest
import typer
import yaml

from iris_tf.cli.app import app
from iris_tf.config.pipeline_recipe import DatasetRecipe, LatencyRecipe, PipelineRecipe
from iris_tf.config.release_recipe import FinishRecipe, ReleaseRecipe, StripsRecipe
from iris_tf.config.segmenter_recipe import SegmenterRecipe, SegmenterStage
from iris_tf.config.training_recipe import (
    AugmentationRecipe,
    BatchRecipe,
    DistillationRecipe,
    MarginRecipe,
    MiningRecipe,
    NetworkRecipe,
    OptimizerRecipe,
    ParameterGroupRecipe,
    TrainRecipe,
)
from iris_tf.support.version import __version__

ROOT = Path(__file__).parents[1]
RECIPES = (
    TrainRecipe, NetworkRecipe, BatchRecipe, AugmentationRecipe, MarginRecipe, MiningRecipe,
    DistillationRecipe, OptimizerRecipe, ParameterGroupRecipe, PipelineRecipe, DatasetRecipe,
    LatencyRecipe, ReleaseRecipe, StripsRecipe, FinishRecipe, SegmenterRecipe, SegmenterStage,
)  # fmt: skip
OUTSIDE_THE_SITE = [
    ROOT / "README.md",
    *sorted((ROOT / "models").glob("**/*.md")),
    ROOT / "android_demo" / "README.md",
]


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").split()) < 900


def test_command_line_page_names_every_verb_and_option():
    page = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
    missing = []

    def walk(command, path: str) -> None:
        if path and path not in page:
            missing.append(path)
        for parameter in command.params:
            # `--help` and `--version` of the program itself are in the page's first lines.
            missing.extend(
                f"{path} {name}"
                for name in parameter.opts
                if name.startswith("--") and name not in page
            )
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}".strip())

    walk(typer.main.get_command(app), "")
    assert not missing


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_page_names_every_key(recipe):
    page = (ROOT / "docs" / "reference" / "recipes.md").read_text("utf-8")
    names = [field.name for field in dataclasses.fields(recipe)]
    missing = [
        name for name in names
        if not re.search(rf"`([\w.*]+\.)?{name}`|`{name}\.|### (\w+, )*{name}\b", page)
    ]  # fmt: skip
    assert not missing


@pytest.mark.parametrize("document", OUTSIDE_THE_SITE, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    inside = [link for link in links if "://" not in link]
    assert not [link for link in inside if not (document.parent / link).exists()]


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert f"\nversion = {__version__}\n" in (ROOT / "setup.cfg").read_text("utf-8")
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_duration_of_the_demo_is_the_same_everywhere():
    documents = ("README.md", "docs/getting-started.md", "docs/results.md", "pipelines/demo.yaml")
    for document in documents:
        assert "13 minutes" in (ROOT / document).read_text("utf-8"), document
