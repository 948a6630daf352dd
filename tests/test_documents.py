"""The documents name what the code has, and agree with each other."""

import dataclasses
import re
from pathlib import Path

import pytest
import typer
import yaml

from iris_tf.cli.app import app
from iris_tf.config.distillation_recipe import (
    ClassifierRecipe,
    DistillationRecipe,
    GradientNormRecipe,
)
from iris_tf.config.names import CARD_NAME
from iris_tf.config.pipeline_recipe import DatasetRecipe, LatencyRecipe, PipelineRecipe
from iris_tf.config.release_recipe import FinishRecipe, ReleaseRecipe, StripsRecipe
from iris_tf.config.segmenter_recipe import SegmenterRecipe, SegmenterStage
from iris_tf.config.training_recipe import (
    AugmentationRecipe,
    BatchRecipe,
    MarginRecipe,
    MiningRecipe,
    NetworkRecipe,
    OptimizerRecipe,
    ParameterGroupRecipe,
    TrainRecipe,
)
from iris_tf.support.version import __version__
from iris_tf.tflite.model_card import ModelCard

ROOT = Path(__file__).parents[1]
RECIPES = (
    TrainRecipe, NetworkRecipe, BatchRecipe, AugmentationRecipe, MarginRecipe, MiningRecipe,
    ClassifierRecipe, DistillationRecipe, GradientNormRecipe, OptimizerRecipe,
    ParameterGroupRecipe, PipelineRecipe, DatasetRecipe, LatencyRecipe,
    ReleaseRecipe, StripsRecipe, FinishRecipe, SegmenterRecipe, SegmenterStage,
)  # fmt: skip
DURATIONS = {  # in minutes on the machine that the documents name, and where it is stated
    "make demo": (
        27,
        ("README.md", "docs/getting-started.md", "docs/results.md", "pipelines/demo.yaml"),
    ),
    "make test": (23, ("README.md", "docs/getting-started.md", "CONTRIBUTING.md")),
    "paper_tables_demo.yaml": (
        29,
        (
            "docs/results.md",
            "docs/guides/paper-on-casia.md",
            "pipelines/paper_tables_demo.yaml",
        ),
    ),
    "released_models": (
        17,
        ("docs/guides/retrain-released-models.md", "pipelines/released_models.yaml"),
    ),
}
OUTSIDE_THE_SITE = [
    ROOT / "README.md",
    *sorted((ROOT / "models").glob("**/*.md")),
    ROOT / "android_demo" / "README.md",
    ROOT / "web_demo" / "README.md",
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


def test_the_tests_of_the_page_on_robustness_exist():
    page = (ROOT / "docs" / "how-it-works" / "robustness.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+/test_\w+\.py)`", page))
    assert len(named) > 30
    assert not [name for name in named if not (ROOT / "tests" / name).is_file()]


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert f"\nversion = {__version__}\n" in (ROOT / "setup.cfg").read_text("utf-8")
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("command", DURATIONS)
def test_the_duration_of_a_command_is_the_same_everywhere(command):
    minutes, documents = DURATIONS[command]
    for document in documents:
        assert f"{minutes} minutes" in (ROOT / document).read_text("utf-8"), document
    documents = [*OUTSIDE_THE_SITE, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for line in document.read_text("utf-8").splitlines():
            if command in line:
                stated = re.findall(r"(\d+) minutes", line)
                assert stated in ([], [str(minutes)]), f"{document}: {line}"


def test_a_slow_machine_s_duration_of_the_demo_is_the_same_everywhere():
    for document in DURATIONS["make demo"][1]:
        text = re.sub(r"[\s#]+", " ", (ROOT / document).read_text("utf-8"))
        assert "up to half an hour" in text, document


@pytest.mark.parametrize(
    "page", ["models/README.md", "models/mobiiris/README.md", "docs/models.md"]
)
def test_pages_about_the_released_model_have_the_numbers_of_its_files(page):
    text = (ROOT / page).read_text("utf-8")
    folder = ROOT / "models" / "mobiiris"
    card = ModelCard.read(folder / CARD_NAME)
    code = card.phase.size
    assert f"{card.embedding_size:,} numbers" in text
    assert f"{card.embedding_size - code} " in text
    assert f"{code:,} of a" in text
    if page != "models/README.md":  # which gives one rounded size
        for file in (*card.files, "mobiiris.keras"):
            size = (folder / file).stat().st_size / 2**20
            assert re.search(rf"\| `{file}` \| [^|]+ \| {size:.2f} \|", text), file


def test_the_table_of_the_released_model_has_the_figures_of_its_card():
    text = (ROOT / "docs" / "models.md").read_text("utf-8")
    card = ModelCard.read(ROOT / "models" / "mobiiris" / CARD_NAME)
    for name, found in card.metrics["real eyes, all pairs"]["IITD"].items():
        counts = [f"{found[key]:,}" for key in ("images", "genuine", "impostor")]
        rates = [
            f"{100 * found[key]:.2f} ({100 * low:.2f}–{100 * high:.2f})"
            for key in ("eer", "vr_far_1e-3", "cmc_1")
            for low, high in [found["intervals_90"][key]]
        ]
        assert f" | {' | '.join([*counts, *rates])} |" in text, name
