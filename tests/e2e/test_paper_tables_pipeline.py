"""The command of the paper's tables on its shipped recipe, with networks that train in seconds."""

import json
from pathlib import Path

import pytest
import tiny_network

from iris_tf.errors import RecipeError
from iris_tf.evaluation.paper_tables import MODELS

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
def patch():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        patch.syspath_prepend(str(PIPELINES))
        yield patch


@pytest.fixture(scope="module")
def finished(patch, tmp_path_factory):
    from paper_tables import main

    folder = tmp_path_factory.mktemp("runs") / "tables"
    main(PIPELINES / "paper_tables_demo.yaml", [f"run={folder}", *SHORTER])
    return folder


def test_each_table_has_all_rows_and_what_was_measured_in_them(finished):
    text = (finished / "paper_tables.md").read_text()
    assert "Measured on: synthetic eyes" in text
    tables = text.split("\n## ")[1:]
    for table, precision in zip(tables, ("float32", "float16", "int8"), strict=True):
        for name, row in MODELS.items():
            metrics = finished / name / f"evaluation_{precision}" / "metrics.json"
            eer = json.loads(metrics.read_text())["evaluation"]["metrics"]["eer"]
            assert table.count(f"\n| {row} | {100 * eer:.2f} (") == 1


def test_attention_and_distillation_are_where_the_rows_say(finished):
    from iris_tf.networks.embed import load_embedding_model
    from iris_tf.networks.spatial_attention import SpatialAttention
    from iris_tf.run_folder import RunFolder

    for name, row in MODELS.items():
        run = RunFolder(finished / name)
        layers = load_embedding_model(run.best).layers
        attention = any(isinstance(layer, SpatialAttention) for layer in layers)
        distilled = "teacher_distance" in run.history_file.read_text().splitlines()[0]
        assert attention == ("attention" in row)
        assert distilled == ("distilled" in row)


def test_a_recipe_without_the_paper_s_models_is_refused_before_any_work(patch, tmp_path):
    from paper_tables import main

    with pytest.raises(RecipeError, match="names no model attention"):
        main(PIPELINES / "demo.yaml", [f"run={tmp_path / 'short'}"])
    assert not (tmp_path / "short").exists()
