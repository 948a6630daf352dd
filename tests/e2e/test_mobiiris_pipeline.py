"""The shipped demo recipe, shortened, through the commands that a user types."""

import json
import re
import subprocess
import sys

import pytest
import tiny_network
from launchers import PIPELINES, launch

SHORTER = (
    "dataset.synthetic.subjects=14",
    "dataset.synthetic.images=3",
    "training.epochs=2",
    "training.warm_epochs=1",
    "training.batch.groups=8",
    "training.batch.steps_per_epoch=2",
    "models.finetuned.batch.steps_per_epoch=2",
    # `mobiiris` is the shipped one; small ones show the same of the stages.
    *(
        f"models.{name}.network.name={tiny_network.NAME}"
        for name in ("plain", "resnet50", "finetuned")
    ),
    "models.plain.network.attention=[]",
    "models.finetuned.network.weights=none",
    "latency.runs=50",
)
MODELS = ("plain", "resnet50", "mobiiris", "finetuned")
PRECISIONS = ("float32", "float16", "int8")
pytestmark = pytest.mark.usefixtures("tiny_module")


def arguments(folder, *overrides):
    return PIPELINES / "demo.yaml", f"run={folder}", *overrides


@pytest.fixture(scope="module")
def finished(tiny_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "short"
    return folder, launch("mobiiris.py", *arguments(folder, *SHORTER))


def test_ends_with_a_table_of_all_models_and_both_references(finished):
    folder, process = finished
    assert process.returncode == 0, process.stderr
    for name in (*MODELS, "raw pixels", "untrained network"):
        assert f"\n {name} " in process.stdout
    assert str(folder / "report.html") in process.stdout


@pytest.mark.parametrize("name", MODELS)
def test_each_model_has_run_files_metrics_and_latency(finished, name):
    folder, _ = finished
    card = json.loads((folder / name / "models" / "model_card.json").read_text())
    assert sorted(card["files"]) == sorted(f"{name}_{p}.tflite" for p in PRECISIONS)
    assert len((folder / name / "history.csv").read_text().splitlines()) == 1 + 2
    timed = {
        (row["model"]["sha256"], row["threads"])
        for row in json.loads((folder / "latency.json").read_text())["rows"]
    }
    for file in card["files"].values():
        assert {(file["sha256"], 1), (file["sha256"], 2)} <= timed


def test_distillation_is_in_the_model_with_a_teacher_alone(finished):
    folder, _ = finished
    for name in MODELS:
        header = (folder / name / "history.csv").read_text().splitlines()[0]
        assert ("teacher_distance" in header) == (name == "mobiiris")


def test_report_shows_the_measured_figures_and_says_that_they_are_synthetic(finished):
    folder, _ = finished
    page = (folder / "report.html").read_text()
    assert "synthetic" in page.lower()
    for name in MODELS:
        for precision in PRECISIONS:
            metrics = json.loads(
                (folder / name / f"evaluation_{precision}/metrics.json").read_text()
            )
            assert f"{100 * metrics['evaluation']['metrics']['eer']:.2f}" in page
    for other in MODELS[1:]:
        differences = json.loads((folder / "comparison/metrics.json").read_text())["others"]
        (found,) = (o for o in differences if o["model"]["name"].startswith(other))
        eer = f"{100 * found['differences']['eer']['difference']:+.2f}"
        line = rf">{other}, float32</th><td[^>]*>EER</td><td[^>]*>{re.escape(eer)}<"
        assert re.search(line, page)
    assert "minus that of plain, float32" in page
    for name in MODELS:
        assert f"<summary>Saliency maps of {name}, float32</summary>" in page
    assert "http://" not in page and "https://" not in page  # nothing is fetched


def test_teacher_and_distance_are_figures_of_the_report(finished):
    folder, _ = finished
    [found] = json.loads((folder / "teachers.json").read_text())["models"]
    assert (found["model"], found["teacher"]) == ("mobiiris", "resnet50")
    metrics = json.loads((folder / "resnet50/evaluation_float32/metrics.json").read_text())
    assert found["teacher_eer"] == pytest.approx(metrics["evaluation"]["metrics"]["eer"], abs=0.02)
    assert 0 < found["distance"] < 2
    assert f">{found['distance']:.3f}<" in (folder / "report.html").read_text()


def test_no_test_person_was_seen_in_training(finished):
    folder, _ = finished
    splits = {}
    for line in (folder / "dataset" / "manifest.csv").read_text().splitlines()[1:]:
        (
            _,
            _,
            subject,
            *_,
        ) = fields = line.split(",")
        splits.setdefault(subject, set()).add(fields[6])
    assert {frozenset(found) for found in splits.values()} == {
        frozenset({"train"}), frozenset({"val"}), frozenset({"test"}),
    }  # fmt: skip


def test_a_second_run_repeats_no_stage_and_another_recipe_is_refused(finished):
    folder, _ = finished
    stages = ("models", "checkpoints", "evaluation_float32", "evaluation_float16")
    files = [p for name in MODELS for s in stages for p in (folder / name / s).rglob("*.*")]
    files += (folder / "comparison").iterdir()
    before = {path: path.stat().st_mtime_ns for path in files}
    again = launch("mobiiris.py", *arguments(folder, *SHORTER))
    assert again.returncode == 0, again.stderr
    # Training, export, references, evaluations, comparisons of models and with teachers, latency.
    models = len(MODELS)
    done = models + models + 1 + models * len(PRECISIONS) + 1 + 1 + 1
    assert again.stderr.count("done before") == done
    assert {path: path.stat().st_mtime_ns for path in files} == before

    other = subprocess.run(
        [
            sys.executable, PIPELINES / "mobiiris.py",
            *arguments(folder, *SHORTER, "training.batch.groups=16"),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert other.returncode == 2
    assert "belongs to another recipe" in other.stderr
    assert "Traceback" not in other.stderr


def test_a_mistake_in_a_model_is_refused_before_any_work(tmp_path):
    refused = launch(
        "mobiiris.py", *arguments(tmp_path / "short", "models.resnet50.network.name=resnet")
    )
    assert refused.returncode == 2
    assert "models.resnet50: " in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "short" / "eyes").exists()
