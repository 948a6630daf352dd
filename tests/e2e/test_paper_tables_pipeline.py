"""The recipe of the paper's tables, shortened, through the command that a user types."""

import subprocess
import sys
from pathlib import Path

from test_mobiiris_pipeline import SHORTER

PROJECT = Path(__file__).parents[2]


def run_pipeline(recipe: str, folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            sys.executable, PROJECT / "pipelines" / "paper_tables.py",
            PROJECT / "pipelines" / recipe, f"run={folder}", *SHORTER, *overrides,
        ],
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


def test_writes_all_rows(tmp_path):
    finished = run_pipeline("paper_tables_demo.yaml", tmp_path / "short", "precisions=[float32]")
    assert finished.returncode == 0, finished.stderr
    text = (tmp_path / "short" / "paper_tables.md").read_text()
    assert "Measured on: synthetic eyes" in text
    assert text.count("| ResNet-50 |") == text.count("| only attention |") == 1
    assert text in finished.stdout


def test_recipe_without_the_papers_models_is_refused_before_any_work(tmp_path):
    refused = run_pipeline("demo.yaml", tmp_path / "short")
    assert refused.returncode == 2
    assert "names no model attention" in refused.stderr
    assert not (tmp_path / "short").exists()
