"""What an installation holds besides modules."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_recipes_and_models_are_installed_inside_the_package(tmp_path):
    build = ["egg_info", "--egg-base", tmp_path, "build_py", "--build-lib", tmp_path / "lib"]
    subprocess.run([sys.executable, "setup.py", "-q", *build], cwd=ROOT, check=True)
    installed = tmp_path / "lib" / "iris_tf"
    # The recipes alone: their launchers run in a checkout.
    recipes = {path.name for path in (ROOT / "pipelines").glob("*.yaml")}
    assert {"finetune.yaml", "student.yaml"} <= recipes
    assert {path.name for path in (installed / "recipes").iterdir()} == recipes
    for kept in ("iris-segmenter/model_card.json", "mobiiris/mobiiris.keras"):
        assert (installed / "models" / kept).read_bytes() == (ROOT / "models" / kept).read_bytes()
