"""Teachers of finished trainings, on the tiny network."""

import numpy as np
import pytest
import tiny_network
from small_recipes import small_recipe

from iris_tf.data.crop_store import load_rois
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.pipelines.teacher_stage import taught_models
from iris_tf.training.train_model import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory, small_dataset):
    """A teacher, a student of its embedding size, and one of another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        folder = tmp_path_factory.mktemp("runs")
        for name in ("teacher", "same", "other"):
            (folder / name).mkdir()
        teacher = train(small_recipe(folder / "teacher", small_dataset, epochs=1, seed=1))
        taught = {"teacher": str(teacher.path), "distiller": "relational"}
        same = small_recipe(folder / "same", small_dataset, epochs=1, distillation=taught)
        other = small_recipe(
            folder / "other", small_dataset, epochs=1,
            distillation=taught | {"teacher": str(teacher.best)},
            network={"embedding_size": 4},
        )  # fmt: skip
        train(same)
        train(other)
        return {"teacher": teacher.recipe(), "same": same, "other": other}


def test_errors_and_distances_are_those_of_the_embeddings(runs, small_dataset):
    manifest = small_dataset / "manifest.csv"
    same, other = taught_models(runs, manifest, 1)
    rows = PreparedSet.read(manifest).of_split("test")
    rois = load_rois(rows, small_dataset, runs["same"].network.crop_size, 1)
    student, teacher = (
        embed_rois(load_embedding_model(f"{runs[name].run}/checkpoints/best.keras"), rois)
        for name in ("same", "teacher")
    )
    cosines = [a @ b for a, b in zip(student, teacher, strict=True)]
    assert same.distance == pytest.approx(1 - np.mean(cosines), abs=1e-4)
    expected = evaluate_embeddings(teacher, rows, resamples=0, matcher=Matcher()).metrics.eer
    assert same.teacher_eer == pytest.approx(expected, abs=1e-6)
    assert (same.model, same.teacher) == ("same", "teacher")
    # A file that is no model of the pipeline is evaluated like one.
    assert other.teacher_eer == pytest.approx(expected, abs=1e-6)
    assert other.teacher.endswith("best.keras")
    assert other.distance is None
