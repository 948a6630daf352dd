"""The command of the paper's tables on its shipped recipe, with networks that train in seconds."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_network

from iris_tf.report.paper_tables import MODELS

PIPELINES = Path(__file__).parents[2] / "pipelines"
SHORTER = [
    "dataset.synthetic={subjects: 14, images: 3}",
    "training.epochs=2",
    "training.warm_epochs=1",
    "training.batch={groups: 8, steps_per_epoch: 2}",
    "models.resnet50.epochs=2",
    "models.resnet50.warm_epochs=1",
    "models.resnet50.batch.steps_per_epoch=2",
    *(f"models.{name}.network.name={tiny_network.NAME}" for name in MODELS),
    *(f"models.{name}.network.attention=[conv2_relu]" for name in ("attention", "mobiiris")),
    "latency.runs=50",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, printed = tmp_path_factory.mktemp("runs") / "tables", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        patch.syspath_prepend(str(PIPELINES))
        from paper_tables import main

        main(PIPELINES / "paper_tables_demo.yaml", [f"run={folder}", *SHORTER])
    return folder, printed.getvalue()


def test_each_table_has_all_rows_and_what_was_measured_in_them(finished):
    folder, printed = finished
    text = (folder / "paper_tables.md").read_text()
    assert "Measured on: synthetic eyes" in text
    assert text in printed
    tables = text.split("\n## ")[1:]
    for table, precision in zip(tables[:-1], ("float32", "float16", "int8"), strict=True):
        for name, row in MODELS.items():
            metrics = folder / name / f"evaluation_{precision}" / "metrics.json"
            eer = json.loads(metrics.read_text())["evaluation"]["metrics"]["eer"]
            assert table.count(f"\n| {row} | {100 * eer:.2f} (") == 1


def test_differences_to_the_baseline_are_paired(finished):
    folder, _ = finished
    last = (folder / "paper_tables.md").read_text().split("\n## ")[-1].splitlines()
    assert last[0].startswith("Attention and distillation, measured on synthetic eyes")
    content = json.loads((folder / "distillation" / "metrics.json").read_text())
    differences = {
        one["model"]["name"].removesuffix("_float32.tflite"): one["differences"]["eer"]
        for one in content["others"]
    }
    lines = {line.split(" | ")[0].strip("| "): line for line in last if line.startswith("| ")}
    assert list(lines)[2] == MODELS["baseline"]
    for name, found in differences.items():
        assert f"| {100 * found['difference']:+.2f} (" in lines[MODELS[name]]


def test_attention_and_distillation_are_where_the_rows_say(finished):
    from iris_tf.networks.embed_rois import load_embedding_model
    from iris_tf.networks.spatial_attention import SpatialAttention
    from iris_tf.training.run_folder import RunFolder

    for name, row in MODELS.items():
        run = RunFolder(finished[0] / name)
        layers = load_embedding_model(run.best).layers
        attention = any(isinstance(layer, SpatialAttention) for layer in layers)
        distilled = "teacher_distance" in run.history_file.read_text().splitlines()[0]
        assert attention == ("attention" in row)
        assert distilled == ("distilled" in row)


def test_a_recipe_without_the_paper_s_models_is_refused_before_any_work(tmp_path):
    refused = subprocess.run(
        [
            sys.executable, PIPELINES / "paper_tables.py", PIPELINES / "demo.yaml",
            f"run={tmp_path / 'short'}",
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "names no model baseline" in refused.stderr
    assert not (tmp_path / "short").exists()
