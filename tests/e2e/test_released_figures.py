"""Which figures get into the released model's card: those of its very files."""

import dataclasses
import hashlib
import json
import shutil
from types import SimpleNamespace

import pytest

from iris_tf.config.names import CARD_NAME
from iris_tf.config.release_recipe import ReleaseRecipe
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.released_models import released_folder

KINDS = 6  # ways in which eyes are made worse
PHASE = {"size": 12, "columns": 6, "turns": 2}


def evaluation(eer):
    return {
        "counts": {"images": 4, "identities": 2, "genuine_comparisons": 2,
                   "impostor_comparisons": 4},
        "metrics": {"eer": eer, "vr_far_1e-2": 1.0, "vr_far_1e-3": 1.0, "cmc_1": 1.0},
        "intervals": {"bounds": {"eer": [0.0, 2 * eer]}},
    }  # fmt: skip


def measured(content, eer, **more):
    """What `iris-tf evaluate` says of a file, as far as it matters here."""
    digest = hashlib.sha256(content).hexdigest()
    model = {"sha256": digest, "phase": PHASE}
    return {"model": model, "evaluation": evaluation(eer), **more}


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


class Run:
    """A run folder with exported files, and sets that were measured in it."""

    def __init__(self, module, folder):
        self.module, self.folder = module, folder
        self.files = {}

    def export(self, **contents):
        for precision, content in contents.items():
            path = self.release.file(precision)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.files = contents
        self.compare_with(PHASE)

    def compare_with(self, phase):
        """Say in the card how embeddings are compared."""
        card = ModelCard.read(released_folder("mobiiris") / CARD_NAME)
        card = dataclasses.replace(
            card, embedding_size=16, phase=PhaseCodeLayout(**phase), score=None
        )
        card.write(self.release.file("float32").with_name(CARD_NAME))

    def measure(self, name, eer):
        baseline = {"name": "IrisCode", "evaluation": evaluation(0.5),
                    "model_evaluation": evaluation(eer)}  # fmt: skip
        folder = self.folder / "real" / name
        write(folder / "metrics.json", measured(
            self.files["float32"], eer, baselines=[baseline],
            others=[measured(self.files["float16"], eer)],
        ))  # fmt: skip
        for number in range(KINDS):
            self.measure_worse(name, number, eer)

    def measure_worse(self, name, number, eer):
        path = self.folder / "real" / name / f"degraded-{number}" / "metrics.json"
        write(path, measured(self.files["float16"], eer))

    @property
    def release(self):
        recipe = ReleaseRecipe(run=str(self.folder), out="out", models={"mobiiris": {}})
        return self.module.Release(recipe, SimpleNamespace())

    def figures(self):
        """EER by set and kind."""
        return {
            name: {kind: row["eer"] for kind, row in rows.items()}
            for name, rows in self.release.figures().items()
        }


@pytest.fixture
def run(tmp_path):
    from iris_tf.pipelines import released_model_stages

    run = Run(released_model_stages, tmp_path / "run")
    run.export(float32=b"old, in full", float16=b"old, halved")
    run.measure("door", 0.1)
    return run


def test_all_sets_of_these_files_count_whatever_the_call_names(run):
    run.measure("gate", 0.2)
    assert run.release.recipe.real == {}
    figures = run.figures()
    assert list(figures) == ["door", "gate"]
    plain = {"as it is, float32", "as it is, float16", "as it is, IrisCode"}
    assert plain | {"as it is, float32, same images"} < set(figures["gate"])
    assert len(figures["gate"]) == 4 + KINDS
    assert figures["gate"].pop("as it is, IrisCode") == 0.5
    assert set(figures["gate"].values()) == {0.2}


def test_figures_of_other_files_are_left_out(run):
    run.export(float32=b"new, in full", float16=b"new, halved")
    assert run.figures() == {}
    run.measure("gate", 0.2)
    assert list(run.figures()) == ["gate"]


def test_figures_of_codes_that_were_compared_otherwise_are_left_out(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    run.release.show()
    assert list(run.figures()) == ["door"]
    run.compare_with(PHASE | {"turns": 1})
    assert run.figures() == {}


def test_a_set_that_was_measured_again_by_half_shows_that_half(run):
    run.export(float32=b"new, in full", float16=b"new, halved")
    run.measure_worse("door", 2, 0.3)
    [(kind, eer)] = run.figures()["door"].items()
    assert kind.endswith(", float16") and eer == 0.3
    run.export(float32=b"new, in full", float16=b"old, halved")
    assert {kind.rpartition(", ")[2] for kind in run.figures()["door"]} == {"float16"}


def test_figures_outlive_the_folder_of_the_eyes_but_not_the_files(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    before = run.figures()
    run.release.show()
    shutil.rmtree(run.folder / "real")
    assert run.figures() == before
    run.export(float32=b"new, in full", float16=b"new, halved")
    assert run.figures() == {}
