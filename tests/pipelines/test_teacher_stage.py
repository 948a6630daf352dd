"""Teachers of finished trainings, on the tiny network."""

import json

import cv2
import numpy as np
import pytest
import tiny_network
from small_recipes import small_recipe

from iris_tf.data.crop_store import load_rois
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.imaging.images import resize_roi
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.kernel_alignment import linear_cka
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.pipelines.stages import Stages
from iris_tf.pipelines.teacher_stage import read_teacher_figures, teacher_figures, teacher_stage
from iris_tf.training.teacher import Teacher
from iris_tf.training.train_model import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory, small_dataset):
    """A teacher, its student, and students of a file of another size, in colour."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        folder = tmp_path_factory.mktemp("runs")
        for name in ("teacher", "same", "other"):
            (folder / name).mkdir()
        teacher = train(small_recipe(folder / "teacher", small_dataset, epochs=1, seed=1))
        taught = {"teacher": str(teacher.path), "distiller": "relational"}
        same = small_recipe(folder / "same", small_dataset, epochs=1, distillation=taught)
        external = folder / "external.keras"
        build_embedding_model(
            "tiny", input_size=(48, 64), embedding_size=4, weights="none", channels=3
        ).save(external)
        other = small_recipe(
            folder / "other", small_dataset, epochs=1,
            distillation=taught | {"teacher": str(external)},
        )  # fmt: skip
        train(same)
        train(other)
        return {"teacher": teacher.recipe(), "same": same, "other": other}


def test_errors_and_distances_are_those_of_the_embeddings(runs, small_dataset):
    manifest = small_dataset / "manifest.csv"
    same, _ = teacher_figures(runs, manifest, 1).taught
    rows = PreparedSet.read(manifest).of_split("test")
    rois = load_rois(rows, small_dataset, runs["same"].network.crop_size, 1)
    student, teacher = (
        embed_rois(load_embedding_model(f"{runs[name].run}/checkpoints/best.keras"), rois)
        for name in ("same", "teacher")
    )
    cosines = [a @ b for a, b in zip(student, teacher, strict=True)]
    assert same.distance == pytest.approx(1 - np.mean(cosines), abs=1e-4)
    assert same.alignment == pytest.approx(linear_cka(student, teacher), abs=1e-4)
    expected = evaluate_embeddings(teacher, rows, resamples=0, matcher=Matcher()).metrics.eer
    assert same.teacher_eer == pytest.approx(expected, abs=1e-6)
    assert (same.model, same.teacher) == ("same", "teacher")


def test_a_teacher_from_elsewhere_is_evaluated_at_its_own_size_and_in_its_channels(
    runs, small_dataset
):
    manifest = small_dataset / "manifest.csv"
    figures = teacher_figures(runs, manifest, 1)
    path = runs["other"].distillation.teacher
    assert list(figures.external) == [path]
    rows = PreparedSet.read(manifest).of_split("test")
    crops = [cv2.imread(str(small_dataset / row.roi), cv2.IMREAD_GRAYSCALE) for row in rows]
    crops = np.stack([resize_roi(crop, (48, 64)) for crop in crops])
    colour = np.repeat(crops[..., None], 3, axis=-1).astype(np.float32)
    embeddings = load_embedding_model(path).predict(colour, verbose=0)
    expected = evaluate_embeddings(embeddings, rows, matcher=Matcher()).metrics
    assert figures.external[path].eer == pytest.approx(expected.eer, abs=1e-6)
    # At the student's size it would have another.
    small = load_rois(rows, small_dataset, runs["other"].network.crop_size, 1)
    others = Teacher.load(path).embeddings(small)
    others = evaluate_embeddings(others, rows, resamples=0, matcher=Matcher()).metrics
    assert abs(others.eer - expected.eer) > 1e-3
    assert figures.external[path].intervals.bounds["eer"]
    found = figures.taught[1]
    assert (found.model, found.teacher, found.distance) == ("other", path, None)
    assert found.teacher_eer == figures.external[path].eer
    student = embed_rois(load_embedding_model(f"{runs['other'].run}/checkpoints/best.keras"), small)
    expected = linear_cka(student, Teacher.load(path).embeddings(small))
    assert found.alignment == pytest.approx(expected, abs=1e-4)


def test_figures_of_an_earlier_version_are_measured_again(runs, small_dataset, tmp_path):
    stages, out = Stages(tmp_path, "run: out\n"), tmp_path / "teachers.json"
    models = {name: runs[name] for name in ("teacher", "same")}
    manifest = small_dataset / "manifest.csv"
    teacher_stage(stages, models, manifest, 1, out)
    assert read_teacher_figures(out).taught[0].alignment is not None
    # As written before there were figures of external teachers.
    stamp = tmp_path / ".stages" / "compare-with-teachers.json"
    inputs = json.loads(stamp.read_text())
    del inputs["figures"]
    stamp.write_text(json.dumps(inputs))
    out.write_text(json.dumps({"models": []}))
    teacher_stage(stages, models, manifest, 1, out)
    assert [one.model for one in read_teacher_figures(out).taught] == ["same"]
