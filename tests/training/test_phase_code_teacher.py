"""The phase code as a teacher that needs no run."""

import json
import shutil

import numpy as np
import pytest
from small_recipes import small_recipe

from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import read_manifest
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.kernel_alignment import linear_cka
from iris_tf.networks.embed_rois import embed_rois, load_embedding_model
from iris_tf.pipelines.teacher_stage import teacher_figures
from iris_tf.preparation.other_roi_modes import cut_if_asked_for
from iris_tf.support.errors import ModelError, RecipeError
from iris_tf.training.check_training import check_models
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.teacher import Teacher
from iris_tf.training.train_model import resume, train

SIZE = (64, 512)


@pytest.fixture(scope="module")
def strips(small_dataset, tmp_path_factory):
    """The small dataset with unrolled strips."""
    dataset = tmp_path_factory.mktemp("strips") / "dataset"
    shutil.copytree(small_dataset, dataset)
    cut_if_asked_for(dataset / "unrolled")
    return dataset / "unrolled"


def recipe(folder, dataset, **changes):
    distillation = {
        "teacher": "phase_code", "distiller": "relational", "relation": "similarity",
        "term_weights": "constant", "weight": [20.0, 20.0], "clean": True,
    }  # fmt: skip
    values = {
        "network": {"input_size": list(SIZE)},
        "augmentation": {"degraded_share": 1.0, "hidden_share": 0.5},
        "distillation": distillation,
        "warm_epochs": 0,
    }
    return small_recipe(folder, dataset, **values | changes)


def test_it_answers_with_codes_that_are_compared_at_their_best_rotation(strips):
    teacher = Teacher.load("phase_code")
    assert (teacher.input_size, teacher.embedding_size, teacher.code.columns) == (SIZE, 4096, 128)
    rows = read_manifest(strips / "manifest.csv")[:4]
    crops = load_rois(rows, strips, SIZE)
    codes = teacher.embeddings(crops)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1.0, atol=1e-5)
    tilted = teacher.embeddings(np.roll(crops, 8, axis=2))
    found = np.diag(Matcher(teacher.code).similarities(codes, tilted))
    np.testing.assert_allclose(found, 1.0, atol=1e-3)


@pytest.mark.parametrize("clean", [True, False])
def test_a_student_of_degraded_strips_learns_its_relations(
    tiny_module, tmp_path, strips, read_history, clean
):
    taught = recipe(tmp_path, strips)
    taught.distillation.clean = clean
    run = train(taught)
    rows = read_history(run.path)
    for row in rows:
        assert 0 < row["relation_distance"] < 2
        assert row["relational_loss"] == pytest.approx(20 * row["relation_distance"], rel=1e-3)
    # Nothing that it needs lies in a file; the run goes on without one.
    assert json.loads(run.inputs.read_text()) == {}
    taught.epochs += 1
    assert len(resume(run.path, taught).state().history) == 3


def test_its_errors_are_those_of_its_codes(tiny_module, tmp_path, strips):
    taught = recipe(tmp_path, strips, epochs=1)
    train(taught)
    manifest = strips / "manifest.csv"
    figures = teacher_figures({"student": taught}, manifest, 1)
    [found] = figures.taught
    rows = PreparedSet.read(manifest).of_split("test")
    teacher = Teacher.load("phase_code")
    codes = teacher.embeddings(load_rois(rows, strips, SIZE))
    matcher = Matcher(teacher.code)
    expected = evaluate_embeddings(codes, rows, resamples=0, matcher=matcher).metrics.eer
    assert (found.teacher, found.distance) == ("phase_code", None)
    assert found.teacher_eer == pytest.approx(expected, abs=1e-6)
    assert figures.external["phase_code"].eer == found.teacher_eer
    student = embed_rois(
        load_embedding_model(RunFolder(taught.run).best), load_rois(rows, strips, SIZE)
    )
    assert found.alignment == pytest.approx(linear_cka(student, codes), abs=1e-4)


def test_what_it_cannot_teach(tiny_module, tmp_path, small_dataset, strips):
    with pytest.raises(RecipeError, match=r"distiller must be relational with `teacher: phase_c"):
        recipe(tmp_path, strips, distillation={"teacher": "phase_code", "distiller": "cosine"})
    crops = recipe(tmp_path, small_dataset, augmentation={})
    with pytest.raises(ModelError, match=r"phase_code: the teacher takes unrolled crops, .*algor"):
        check_models({"student": crops}, "algorithm1")
    small = recipe(tmp_path, strips, network={"input_size": [32, 256]})
    with pytest.raises(ModelError, match=r"phase_code: .*\(64, 512\) unresized, .*\(32, 256\)"):
        check_models({"student": small}, "unrolled")
