"""Runs with class centres, class logits and feature maps, on the tiny network."""

import csv
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_recipes import small_recipe, write_recipe

from iris_tf.config.training_recipe import BatchRecipe, DistillationRecipe, TrainRecipe
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.objectives.class_centres import FILE_NAME, ClassCentres
from iris_tf.objectives.objective import ModelShapes, Outputs, StepBatch
from iris_tf.objectives.registry import build_objective
from iris_tf.support.errors import ModelError, RecipeError
from iris_tf.training.check_training import check_models
from iris_tf.training.classes import check_same_classes
from iris_tf.training.prepare_training import Training, prepare_training
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.teacher import Teacher
from iris_tf.training.train_model import train

TESTS = Path(__file__).parents[1]
CENTRES = {"centres": {"maximum": 0.05, "weight_decay": 0.0}}
PROJECTIONS = {"projections": {"maximum": 0.01, "weight_decay": 0.0}}
ARCFACE = {
    "objective": "arcface",
    "classifier": {"scale": 8.0, "margin": 0.2},
    "batch": {"layout": "shuffled", "groups": 8},
    "optimizer": {"groups": CENTRES},
}
FEATURES = {"stride4": "stride4", "stride8": "stride4"}


def student_recipe(folder, dataset, teacher, distillation, **changes):
    groups = {"groups": CENTRES | PROJECTIONS if "features" in distillation else CENTRES}
    return small_recipe(
        folder,
        dataset,
        **ARCFACE | {"optimizer": groups, "warm_epochs": 0} | changes,
        distillation={"teacher": str(teacher), **distillation},
    )


@pytest.fixture(scope="module")
def teacher(tiny_module, tmp_path_factory, small_dataset):
    """A run with class centres. Not to be changed."""
    folder = tmp_path_factory.mktemp("teacher")
    return train(small_recipe(folder, small_dataset, **ARCFACE, seed=1)).path


def test_the_centres_lie_beside_the_best_model_and_not_in_it(teacher, small_dataset):
    run = RunFolder.open(teacher)
    centres = ClassCentres.load(run.best.with_name(FILE_NAME))
    with open(small_dataset / "manifest.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    assert centres.names == tuple(sorted({row["identity"] for row in rows}))
    assert (centres.vectors.shape, centres.scale) == ((len(centres.names), 8), 8.0)
    np.testing.assert_allclose(np.linalg.norm(centres.vectors, axis=1), 1.0, atol=1e-5)
    model = load_embedding_model(run.best)
    assert not any("centre" in v.path for v in model.variables)
    history = run.state().history
    assert {"arcface_loss", "class_accuracy"} <= history[0].keys()


def test_teacher_logits_are_scaled_cosines_to_its_centres(teacher):
    taught = Teacher.load(teacher, ["stride8"])
    crops = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 1)).astype(np.float32)
    found = taught(tf.constant(crops))
    embeddings = np.asarray(load_embedding_model(RunFolder(teacher).best)(crops))
    expected = [[8.0 * (e @ c) for c in taught.centres.vectors] for e in embeddings]
    np.testing.assert_allclose(found.logits, expected, atol=1e-4)
    assert found.features["stride8"].shape == (3, *taught.feature_shapes["stride8"])
    silent = taught.query(tf.constant(crops), tf.constant(False))
    assert [float(tf.reduce_sum(tf.abs(x))) for x in tf.nest.flatten(silent)] == [0.0] * 3


@pytest.mark.parametrize(
    ("distillation", "changes"),
    [
        ({"distiller": "soft_labels", "weight": [0.5, 0.5], "term_weights": "constant"}, {}),
        ({"distiller": "features", "features": FEATURES}, {"xla": True}),
        ({"distiller": "relational", "relation": "distance_angle"}, {"objective": "cosface"}),
        (
            {"distiller": "afl", "features": FEATURES, "term_weights": "gradient_norm",
             "gradient_norm": {"every": 2, "smoothing": 0.5}},
            {"mixed_float16": True, "objective": "softmax"},
        ),
    ],
    ids=["soft_labels", "features", "relational", "afl"],
)  # fmt: skip
def test_each_distiller_trains(teacher, tmp_path, small_dataset, distillation, changes):
    recipe = student_recipe(tmp_path, small_dataset, teacher, distillation, **changes)
    run = train(recipe)
    last = run.state().history[-1]
    assert all(np.isfinite(value) for value in last.values())
    terms = [value for name, value in last.items() if name.endswith("_loss")]
    assert last["loss"] == pytest.approx(sum(terms), rel=1e-3)
    assert len(terms) == {"afl": 3}.get(distillation["distiller"], 2)
    model = load_embedding_model(run.last)
    assert not any("projection" in v.path or "centre" in v.path for v in model.variables)


@pytest.mark.parametrize("distiller", ["soft_labels", "relational"])
def test_answers_of_the_teacher_before_training_are_those_during_it(
    teacher, tmp_path, small_dataset, monkeypatch, distiller
):
    distillation = {
        "distiller": distiller, "clean": True, "term_weights": "constant", "weight": [0.5, 0.5],
    }  # fmt: skip
    rows = []
    for name in ("before", "during"):
        (tmp_path / name).mkdir()
        if name == "during":
            monkeypatch.setattr(Training, "_answers", lambda training, crops: None)
        run = train(student_recipe(tmp_path / name, small_dataset, teacher, distillation))
        rows.append([{**row, "seconds": 0.0} for row in run.state().history])
    for one, two in zip(*rows, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)


def test_a_teacher_answers_during_training_where_its_images_or_answers_change(
    teacher, tmp_path, small_dataset
):
    def answers(distillation, **batch):
        training = prepare_training(
            student_recipe(tmp_path, small_dataset, teacher, {"clean": True} | distillation)
        )
        recipe = replace(training.recipe, batch=replace(training.recipe.batch, **batch))
        return replace(training, recipe=recipe)._answers(training.crops("train"))

    crops = len(prepare_training(student_recipe(tmp_path, small_dataset, teacher, {})).labels)
    assert answers({}).shape == (crops, 8)
    assert answers({"clean": False}) is None
    assert answers({"distiller": "features", "features": FEATURES}) is None
    assert answers({}, turned=True) is None


def test_hybrid_weighs_both_terms_to_1(teacher, tmp_path, small_dataset):
    recipe = student_recipe(
        tmp_path, small_dataset, teacher,
        {"distiller": "hybrid", "weight": [0.7, 0.7], "term_weights": "constant"},
    )  # fmt: skip
    training = prepare_training(recipe)
    trainer, seen = training.trainer, {}
    trainer.begin_epoch(0)
    compute = trainer.objective.compute

    def noted(batch):
        losses = compute(batch)
        seen.update({name: float(value) for name, value in losses.terms.items()})
        return losses

    trainer.objective.compute = noted
    logs = trainer.train_step(next(iter(training.dataset(0))))
    assert float(logs["arcface_loss"]) == pytest.approx(0.3 * seen["arcface"], rel=1e-5)
    assert float(logs["soft_labels_loss"]) == pytest.approx(0.7 * seen["soft_labels"], rel=1e-5)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it(
    teacher, tmp_path, small_dataset
):
    recipe = student_recipe(
        tmp_path, small_dataset, teacher,
        {"distiller": "afl", "features": {"stride8": "stride8"}, "term_weights": "gradient_norm"},
        network={"weights": str(RunFolder(teacher).best)},
    )  # fmt: skip
    training = prepare_training(recipe)
    own, centres = training.trainer.student, ClassCentres.load(
        RunFolder(teacher).best.with_name(FILE_NAME)
    )  # fmt: skip
    crops = tf.cast(training.crops("train")[:4, ..., None], tf.float32)
    objective = training.trainer.objective.objective.objective
    objective.centres.assign(centres.vectors)
    teaching = Teacher.load(teacher, ["stride8"])(crops)
    np.testing.assert_allclose(own(crops), teaching.embedding, atol=1e-6)
    learning = Teacher(own, ["stride8"], centres)(crops)
    batch = StepBatch(
        Outputs(learning.embedding, learning.features), teaching, tf.zeros(4, tf.int32),
        tf.ones(4, tf.bool), tf.constant(True), tf.range(4), 4, 1, tf.constant(0), 0,
    )  # fmt: skip
    terms = training.trainer.objective.compute(batch).terms
    assert terms.keys() == {"arcface", "soft_labels", "features"}
    assert float(terms["arcface"]) > 0.1  # labels of others
    assert float(terms["soft_labels"]) == pytest.approx(0.0, abs=1e-5)
    assert float(terms["features"]) == pytest.approx(0.0, abs=1e-5)


def test_weights_of_terms_are_logged_at_each_step(teacher, tmp_path, small_dataset):
    recipe = student_recipe(
        tmp_path, small_dataset, teacher,
        {"distiller": "afl", "features": FEATURES, "term_weights": "gradient_norm"},
    )  # fmt: skip
    run = train(recipe)
    names = ["weight_arcface", "weight_soft_labels", "weight_features"]
    for row in run.state().history:
        assert sum(row[name] for name in names) == pytest.approx(1.0, abs=1e-5)
    steps = {name: {} for name in names}
    for file in run.logs.glob("events*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.tag.startswith("steps/"):
                    found = float(tf.make_ndarray(value.tensor))
                    steps[value.tag.removeprefix("steps/")][event.step] = found
    taken = int(np.ceil(prepare_training(recipe).batches.steps)) * recipe.epochs
    for name in names:
        assert sorted(steps[name]) == list(range(1, taken + 1))
        per_epoch = np.array([steps[name][i + 1] for i in range(taken)]).reshape(recipe.epochs, -1)
        history = [row[name] for row in run.state().history]
        np.testing.assert_allclose(per_epoch.mean(axis=1), history, rtol=1e-4)


def test_a_killed_run_ends_where_an_uninterrupted_one_ends(
    teacher, tmp_path, small_dataset, read_history
):
    changes = {
        **ARCFACE,
        "epochs": 3,
        "warm_epochs": 0,
        "batch": {"layout": "shuffled", "groups": 8, "steps_per_epoch": 60},
        "optimizer": {"groups": CENTRES | PROJECTIONS},
        "distillation": {
            "teacher": str(teacher), "distiller": "afl", "features": FEATURES,
            "term_weights": "gradient_norm", "gradient_norm": {"smoothing": 0.9},
        },
    }  # fmt: skip
    straight = train(small_recipe(tmp_path, small_dataset, **changes))
    recipe = write_recipe(tmp_path / "killed.yaml", tmp_path / "killed", small_dataset, **changes)
    run, program = RunFolder(tmp_path / "killed"), [sys.executable, str(TESTS / "tiny_network.py")]
    with subprocess.Popen([*program, "train", str(recipe)], stdout=subprocess.DEVNULL) as process:
        while not (run.checkpoints / "epoch-0001").is_dir():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
    assert 1 <= run.state().epochs_done < 3
    subprocess.run([*program, "train", "--resume", str(run.path)], check=True, capture_output=True)
    for one, two in zip(read_history(run.path), read_history(straight.path), strict=True):
        one.pop("seconds"), two.pop("seconds")
        assert one == pytest.approx(two, abs=1e-3)
    with (
        np.load(run.state_weights()) as killed,
        np.load(straight.state_weights()) as whole,
    ):
        assert killed.files == whole.files
        for name in killed.files:
            np.testing.assert_allclose(killed[name], whole[name], atol=1e-4)


# -- What cannot be trained -----------------------------------------------------------------------


def test_a_teacher_of_another_number_of_classes(teacher, tmp_path, small_dataset):
    other = tmp_path / "other"
    other.mkdir()
    for file in ("best.keras", FILE_NAME):
        (other / file).write_bytes((RunFolder(teacher).checkpoints / file).read_bytes())
    centres = ClassCentres.load(other / FILE_NAME)
    count = len(centres.names)
    ClassCentres(centres.vectors[1:], 8.0, centres.names[1:]).save(other / FILE_NAME)
    recipe = student_recipe(
        tmp_path, small_dataset, other / "best.keras", {"distiller": "soft_labels"}
    )
    with pytest.raises(ModelError, match=rf"{count - 1} classes, .* labels have {count}"):
        train(recipe)


def test_a_teacher_of_other_classes_or_none():
    centres = ClassCentres(np.eye(2, dtype=np.float32), 64.0, ("a", "b"))
    check_same_classes(centres, ("a", "b"))
    with pytest.raises(ModelError, match="'b' where the student has 'c'"):
        check_same_classes(centres, ("a", "c"))
    with pytest.raises(ModelError, match="no class centres"):
        check_same_classes(None, ("a", "b"))


def stored_centres(folder, classes, embedding_size=2):
    """Centres of "a" and "b", continued by an objective of `classes`."""
    stored = np.array([[0.6, 0.8], [-0.8, 0.6]], np.float32)
    ClassCentres(stored, 8.0, ("a", "b")).save(folder / FILE_NAME)
    recipe = TrainRecipe(objective="arcface", batch=BatchRecipe(layout="shuffled"))
    objective = build_objective(recipe)
    objective.create_variables(ModelShapes(embedding_size, classes, {}, {}))
    objective.load_files(folder)
    (centres,) = objective.parameter_groups()["centres"]
    return centres.numpy().tolist()


def test_stored_centres_are_continued_by_name(tmp_path):
    second = pytest.approx([-0.8, 0.6])
    assert stored_centres(tmp_path, ("a", "b"))[1] == second
    assert stored_centres(tmp_path, ("b",)) == [second]


def test_an_identity_that_is_not_among_the_classes(tmp_path):
    with pytest.raises(ModelError, match="'c' of the training split is not among the 2 classes"):
        stored_centres(tmp_path, ("a", "c"))
    with pytest.raises(ModelError, match="centres of 2 dimensions, but the embeddings have 3"):
        stored_centres(tmp_path, ("a", "b"), embedding_size=3)


def test_a_feature_map_that_a_network_lacks(teacher, tmp_path, small_dataset):
    for features in ({"stride64": "stride4"}, {"stride4": "stride64"}):
        folder = tmp_path / next(iter(features))
        folder.mkdir()
        recipe = student_recipe(
            folder, small_dataset, teacher, {"distiller": "features", "features": features}
        )
        side = "" if "stride64" in features else "of the teacher .*: "
        message = f"{side}tiny has no feature map 'stride64'; choose from stride4, str"
        with pytest.raises(ModelError, match=message):
            train(recipe)


@pytest.mark.parametrize(
    ("distillation", "message"),
    [
        ({"distiller": "features", "features": {"stride64": "stride4"}}, "no feature map 'str"),
        ({"distiller": "features", "features": {"stride4": "stride64"}}, "no feature map 'str"),
        ({"distiller": "soft_labels"}, "the teacher has no class centres"),
    ],
)
def test_a_pipeline_checks_teachers_of_other_runs_before_any_training(
    teacher, tmp_path, small_dataset, distillation, message
):
    alone = Path(shutil.copy(RunFolder(teacher).best, tmp_path / "alone.keras"))
    student = student_recipe(tmp_path, small_dataset, alone, distillation)
    with pytest.raises(ModelError, match=rf"models\.student: .*{message}"):
        check_models({"student": student}, "algorithm1")


@pytest.mark.parametrize("distiller", ["cosine", "soft_labels", "hybrid"])
def test_a_distilled_objective_continues_the_stored_centres(tmp_path, distiller):
    stored = np.array([[0.6, 0.8], [-0.8, 0.6]], np.float32)
    ClassCentres(stored, 8.0, ("a", "b")).save(tmp_path / FILE_NAME)
    recipe = TrainRecipe(objective="arcface", batch=BatchRecipe(layout="shuffled"))
    recipe.distillation = DistillationRecipe(teacher="run", distiller=distiller)
    objective = build_objective(recipe)
    objective.create_variables(ModelShapes(2, ("a", "b"), {}, {}))
    objective.load_files(tmp_path)
    (centres,) = objective.parameter_groups()["centres"]
    np.testing.assert_array_equal(centres, stored)


def test_a_student_of_logits_needs_a_teacher_with_classes(tiny_module, tmp_path, small_dataset):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    teaching = small_recipe(tmp_path / "a", small_dataset)
    student = student_recipe(
        tmp_path / "b", small_dataset, teaching.run, {"distiller": "soft_labels"}
    )
    with pytest.raises(RecipeError, match=r"models\.b: .* objective is triplet, which has none"):
        check_models({"a": teaching, "b": student}, "algorithm1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distillation": {"teacher": "t", "distiller": "hybrid", "weight": [0.5, 1.5]}},
         "weight.*between 0.0 and 1.0"),
        ({"distillation": {"teacher": "t", "distiller": "hybrid", "weight": [-0.1, 0.5]}},
         "weight.*between 0.0 and 1.0"),
        ({"distillation": {"teacher": "t", "distiller": "afl"}}, "features.*must name"),
        ({"distillation": {"teacher": "t", "distiller": "soft_labels"}}, "objective: arcface"),
        ({"batch": {"layout": "shuffled"}}, "batch.layout.*triplet or balanced"),
        ({"distillation": {"term_weights": "gradient_norm"}}, "needs a `teacher`"),
        ({"distillation": {"distiller": "hybrid"}}, "hybrid, which needs a `teacher`"),
        ({"distillation": {"distiller": "relational"}}, "relational, which needs a `teacher`"),
        ({"distillation": {"teacher": "t", "gradient_norm": {"order": "printed"}}},
         "printed, which swaps labels .* but that is cosine"),
    ],
)  # fmt: skip
def test_recipes_that_contradict_themselves(tmp_path, changes, message):
    with pytest.raises(RecipeError, match=message):
        small_recipe(tmp_path, "dataset", **changes)


def test_centres_that_are_damaged(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(ModelError, match="holds no class centres"):
        ClassCentres.load(tmp_path / "x.npz")


def test_every_image_once_an_epoch(tiny_module, tmp_path, small_dataset):
    batch = {"layout": "shuffled", "groups": 8, "steps_per_epoch": None}
    recipe = small_recipe(tmp_path, small_dataset, **ARCFACE | {"batch": batch})
    training = prepare_training(recipe)
    rows = training.batches.epoch(0)
    assert rows.shape == (len(training.labels) // 8, 8, 1)
    assert len(np.unique(rows)) == rows.size
    assert not np.array_equal(rows, training.batches.epoch(1))
    assert keras.config.dtype_policy().name == "float32"
