import dataclasses
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_recipes import small_recipe, write_recipe

from iris_tf.config.load_recipe import load_recipe, recipe_yaml
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.data.manifest import read_manifest, read_settings, write_manifest
from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.support.errors import DatasetError, InUseError, ModelError, RecipeError, TrainingError
from iris_tf.support.files import sole_user
from iris_tf.training import prepare_training as preparation
from iris_tf.training import train_model as run_module
from iris_tf.training.check_training import check_models
from iris_tf.training.embedding_trainer import EmbeddingTrainer
from iris_tf.training.prepare_training import check_batches
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.train_model import resume, train

TESTS = Path(__file__).parents[1]


def weights_of(run):
    return [v.numpy() for v in load_embedding_model(run / "checkpoints" / "last.keras").weights]


def assert_same_weights(one, two, tolerance=1e-4):
    for a, b in zip(weights_of(one), weights_of(two), strict=True):
        assert np.abs(a - b).max() <= tolerance


def without_seconds(history):
    return [{name: v for name, v in row.items() if name != "seconds"} for row in history]


def assert_same_history(one, two):
    assert [row["epoch"] for row in one] == [row["epoch"] for row in two]
    for a, b in zip(without_seconds(one), without_seconds(two), strict=True):
        assert a == pytest.approx(b, abs=1e-3)


# -- What a run gives -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher(tiny_module, tmp_path_factory, small_dataset):
    """A finished run of the tiny network with another seed than the others. Not to be changed."""
    folder = tmp_path_factory.mktemp("teacher")
    return train(small_recipe(folder, small_dataset, seed=1, epochs=1)).path


FOUR_EPOCHS = {"epochs": 4, "warm_epochs": 1}


@pytest.fixture(scope="module")
def straight(tiny_module, tmp_path_factory, small_dataset):
    """A run of four epochs that nothing interrupted. Not to be changed."""
    folder = tmp_path_factory.mktemp("straight")
    return train(small_recipe(folder, small_dataset, **FOUR_EPOCHS)).path


def test_a_seed_determines_the_run(straight, tmp_path, small_dataset, read_history):
    again = train(small_recipe(tmp_path, small_dataset, **FOUR_EPOCHS)).path
    assert_same_weights(straight, again, 1e-6)
    assert_same_history(read_history(straight), read_history(again))


@pytest.mark.parametrize(
    ("switches", "layout", "clean"),
    [
        ({}, "balanced", True),
        ({"mixed_float16": True}, "triplet", False),
        ({"xla": True}, "triplet", False),
    ],
)
def test_every_switch_trains_with_teacher_and_unfreezing(
    teacher, tmp_path, small_dataset, read_history, switches, layout, clean
):
    recipe = small_recipe(
        tmp_path,
        small_dataset,
        network={"weights": str(teacher / "checkpoints" / "best.keras")},
        batch={"layout": layout, "images_per_identity": 2},
        distillation={"teacher": str(teacher), "clean": clean},
        warm_epochs=0,
        unfreeze_epochs=1,
        **switches,
    )
    teacher_file = teacher / "checkpoints" / "best.keras"
    before = teacher_file.read_bytes()
    run = train(recipe).path
    rows = read_history(run)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["unfrozen_stages"] for row in rows] == [1, 3]
    assert [row["distill_weight"] for row in rows] == [0.0, 0.5]
    # The teacher was not asked while its weight was 0.
    assert np.isnan(rows[0].pop("teacher_distance"))
    assert all(np.isfinite(value) for row in rows for value in row.values())
    second = rows[1]
    assert 0 < second["teacher_distance"] < 2
    assert second["distillation_loss"] == pytest.approx(0.5 * second["teacher_distance"], rel=1e-3)
    assert second["loss"] == pytest.approx(
        second["triplet_loss"] + second["distillation_loss"], rel=1e-3
    )
    model = load_embedding_model(run / "checkpoints" / "last.keras")
    assert all(np.isfinite(v.numpy()).all() for v in model.weights)
    fresh = build_embedding_model("tiny", (32, 32), 8, weights=str(teacher_file))
    moved = [
        v.path
        for v, w in zip(fresh.trainable_variables, model.trainable_variables, strict=True)
        if not np.array_equal(v.numpy(), w.numpy())
    ]
    assert any(path.startswith("conv1") for path in moved)
    assert teacher_file.read_bytes() == before
    assert keras.config.dtype_policy().name == "float32"  # of this process, again
    expected = "mixed_float16" if "mixed_float16" in switches else "float32"
    assert model.get_layer("conv2_conv").dtype_policy.name == expected


def test_a_validation_split_without_comparisons_leaves_the_loss_to_choose(
    tiny_module, tmp_path, small_dataset, read_history
):
    dataset = copy_of(small_dataset, tmp_path)
    rows = read_manifest(dataset / "manifest.csv")
    write_manifest(dataset / "manifest.csv", [row for row in rows if row.split != "val"])
    with pytest.warns(RuntimeWarning, match="validation split has too few eyes"):
        run = train(small_recipe(tmp_path, dataset))
    rows = read_history(run.path)
    assert "val_eer" not in rows[0]
    assert run.state().best_value == pytest.approx(min(row["loss"] for row in rows))


def test_crops_of_another_roi_mode_are_cut_when_asked_for(tiny_module, tmp_path, small_dataset):
    dataset = tmp_path / "dataset"
    shutil.copytree(small_dataset, dataset)
    run = train(small_recipe(tmp_path, dataset / "aligned", epochs=1))
    assert read_settings(run.dataset_description)["roi_mode"] == "aligned"
    assert run.manifest.read_bytes() == (dataset / "manifest.csv").read_bytes()


# -- What cannot be trained -----------------------------------------------------------------------


def copy_of(dataset, folder):
    """A dataset folder whose tables may be changed."""
    copy = folder / "dataset"
    shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns("packed", ".journal"))
    return copy


def assert_refused(recipe, error, *parts):
    with pytest.raises(error) as caught:
        train(recipe)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert str(part) in message
    assert not Path(recipe.run).exists()  # nothing was written


def test_a_missing_dataset_is_refused(tiny_module, tmp_path):
    recipe = small_recipe(tmp_path, tmp_path / "nothing")
    assert_refused(recipe, DatasetError, tmp_path / "nothing" / "manifest.csv")


def test_a_shipped_recipe_is_found_by_name(tmp_path):
    with pytest.raises(DatasetError, match=r"none.manifest\.csv"):
        train("student", [f"dataset={tmp_path / 'none'}", f"run={tmp_path / 'run'}"])
    names = "finetune, precision_faces, precision_irises, precision_periocular, student"
    with pytest.raises(RecipeError, match=names):
        train("studnt")


def test_a_dataset_without_training_rows_is_refused(tiny_module, tmp_path, small_dataset):
    dataset = copy_of(small_dataset, tmp_path)
    rows = read_manifest(dataset / "manifest.csv")
    write_manifest(dataset / "manifest.csv", [row for row in rows if row.split == "test"])
    assert_refused(small_recipe(tmp_path, dataset), DatasetError, "train", dataset)


def test_an_eye_on_both_sides_of_the_split_is_refused(tiny_module, tmp_path, small_dataset):
    dataset = copy_of(small_dataset, tmp_path)
    rows = read_manifest(dataset / "manifest.csv")
    first = next(i for i, row in enumerate(rows) if row.split == "train")
    rows[first] = dataclasses.replace(rows[first], split="val")
    write_manifest(dataset / "manifest.csv", rows)
    eye = f"the eye {rows[first].identity} is on both sides"
    assert_refused(small_recipe(tmp_path, dataset), DatasetError, dataset, eye)


def test_batches_shrink_to_a_small_dataset(tiny_module, tmp_path, small_dataset, read_history):
    # 8 subjects of the training split have 16 eyes, with 4 images each.
    batch = {"layout": "balanced", "groups": 32, "images_per_identity": 6}
    recipe = small_recipe(tmp_path, small_dataset, batch=batch)
    with pytest.warns(RuntimeWarning, match="batches of 16 identities with 4 images each"):
        run = train(recipe)
    assert run.recipe() == recipe  # as given, so that the run can be resumed with it
    assert json.loads(run.environment.read_text())["batch"] == [16, 4]
    assert len(read_history(run.path)) == 2


def test_a_dataset_with_nothing_to_tell_apart_is_refused(tiny_module, tmp_path, small_dataset):
    dataset = copy_of(small_dataset, tmp_path)
    rows = read_manifest(dataset / "manifest.csv")
    kept = next(row.identity for row in rows if row.split == "train")
    write_manifest(dataset / "manifest.csv", [row for row in rows if row.identity == kept])
    for batch in ({"layout": "balanced", "groups": 17}, {"layout": "triplet", "groups": 17}):
        assert_refused(small_recipe(tmp_path, dataset, batch=batch), DatasetError, "17", " 1 ")


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        ("network", {"normalization": "local_contrast"}),
        ("network", {"pooling": "placed"}),
        ("augmentation", {"hidden_share": 0.1}),
        ("augmentation", {"sharpness": 0.1}),
        ("augmentation", {"degraded_share": 0.1}),
        ("augmentation", {"coarse_lost_share": 0.1}),
        ("batch", {"layout": "balanced", "turned": True}),
    ],
)
def test_what_is_for_strips_is_refused_on_other_crops(
    tiny_module, tmp_path, small_dataset, section, setting
):
    recipe = small_recipe(tmp_path, small_dataset, **{section: setting})
    assert_refused(recipe, RecipeError, f"{section}.{list(setting)[-1]}", "algorithm1", "unrolled")


def test_strips_for_local_contrast_are_not_resized(tiny_module, tmp_path, small_dataset):
    dataset = copy_of(small_dataset, tmp_path)
    described = json.loads((dataset / "dataset.json").read_text())
    described["settings"]["roi_mode"] = "unrolled"
    (dataset / "dataset.json").write_text(json.dumps(described))
    network = {"normalization": "local_contrast", "input_size": [32, 256], "reduction": [1, 1]}
    recipe = small_recipe(tmp_path, dataset, network=network)
    assert_refused(recipe, RecipeError, "[32, 256]", "[64, 512]", "network.reduction")


def test_models_are_looked_at_before_the_first_is_trained(tiny_module, tmp_path):
    def models(**student):
        recipes = {}
        for name, network in (("teacher", {}), ("student", student)):
            file = write_recipe(
                tmp_path / f"{name}.yaml", tmp_path / name, tmp_path / "none", network=network
            )
            recipes[name] = load_recipe(file, TrainRecipe)
        recipes["student"].distillation.teacher = recipes["teacher"].run
        return recipes

    check_models(models(), "algorithm1")
    for student, error, says in (
        ({"attention": ["conv9"]}, ModelError, "There is no layer 'conv9'"),
        ({"embedding_size": 6}, ModelError, "embeddings have 8 dimensions, but the student"),
        ({"pooling": "placed"}, RecipeError, "`network.pooling: placed` is for unrolled strips"),
    ):
        with pytest.raises(error, match=f"^models.student: .*{re.escape(says)}"):
            check_models(models(**student), "algorithm1")
    begun = models(embedding_size=6)
    RunFolder.create(begun["student"])
    check_models(begun, "algorithm1")  # was checked then, and says so itself
    with pytest.raises(ModelError, match=r"^models\.student: .* no layer 'conv9'"):
        check_models(models(attention=["conv9"]), "algorithm1")  # would be trained again


def test_weights_and_teachers_are_looked_at_before_the_first_model_is_trained(
    teacher, tmp_path, small_dataset
):
    file = str(teacher / "checkpoints" / "best.keras")

    def models(**student):
        recipes = {"first": small_recipe(tmp_path, small_dataset, network={"weights": file})}
        recipes["first"].run = str(tmp_path / "first")
        recipes["student"] = small_recipe(tmp_path, small_dataset, **student)
        return recipes

    first = str(RunFolder(tmp_path / "first").best)  # does not exist yet
    for weights in (file, first):
        check_models(
            models(network={"weights": weights, "attention": ["conv2_relu"]}), "algorithm1"
        )
        with pytest.raises(
            ModelError, match=r"^models\.student: .*not of the network mobilenet_v3"
        ):
            network = {"weights": weights, "name": "mobilenet_v3_large"}
            check_models(models(network=network), "algorithm1")
        with pytest.raises(ModelError, match=r"^models\.student: .*normalises crops by Roi"):
            network = {"weights": weights, "normalization": "local_contrast", "reduction": [1, 1]}
            network["input_size"] = [64, 512]
            check_models(models(network=network), "unrolled")
    missing = str(tmp_path / "none.keras")
    with pytest.raises(ModelError, match=r"^models\.student: .*none\.keras"):
        check_models(models(distillation={"teacher": missing}), "algorithm1")
    with pytest.raises(ModelError, match=r"^models\.student: .*takes algorithm1 crops"):
        check_models(models(distillation={"teacher": str(teacher)}), "aligned")
    assert not (tmp_path / "first").exists()


def test_batches_of_all_models_are_looked_at_before_the_first_is_trained(
    tiny_module, tmp_path, small_dataset
):
    def models(**batch):
        return {"student": small_recipe(tmp_path, small_dataset, batch=batch)}

    check_batches(models(layout="balanced", groups=99))
    with pytest.raises(DatasetError, match=r"^models\.student: A batch of 64 identities needs as"):
        check_batches(models(layout="balanced", groups=64, datasets=2))  # not shrunk


def test_a_teacher_of_another_embedding_size_is_refused(teacher, tmp_path, small_dataset):
    recipe = small_recipe(
        tmp_path,
        small_dataset,
        network={"embedding_size": 6},
        distillation={"teacher": str(teacher)},
    )
    assert_refused(recipe, ModelError, teacher, "8 dimensions", "6")


def test_a_teacher_may_take_crops_of_another_size(teacher, tmp_path, small_dataset, read_history):
    recipe = small_recipe(
        tmp_path,
        small_dataset,
        network={"input_size": [40, 36]},
        distillation={"teacher": str(teacher)},
        warm_epochs=0,
    )
    rows = read_history(train(recipe).path)
    assert 0 < rows[1]["teacher_distance"] < 2


def test_a_teacher_of_other_crops_is_refused(teacher, tmp_path, small_dataset):
    dataset = copy_of(small_dataset, tmp_path)
    described = json.loads((dataset / "dataset.json").read_text())
    described["settings"]["roi_mode"] = "aligned"
    (dataset / "dataset.json").write_text(json.dumps(described))
    recipe = small_recipe(tmp_path, dataset, distillation={"teacher": str(teacher)})
    assert_refused(recipe, ModelError, teacher, "algorithm1", "aligned")


def test_a_missing_teacher_is_refused(tiny_module, tmp_path, small_dataset):
    for path in (tmp_path / "none.keras", tmp_path):
        recipe = small_recipe(tmp_path, small_dataset, distillation={"teacher": str(path)})
        assert_refused(recipe, ModelError, path)


def test_a_teacher_that_is_no_model_is_refused(tiny_module, tmp_path, small_dataset):
    (tmp_path / "teacher.keras").write_text("not a model")
    recipe = small_recipe(
        tmp_path, small_dataset, distillation={"teacher": str(tmp_path / "teacher.keras")}
    )
    assert_refused(recipe, ModelError, tmp_path / "teacher.keras")


def test_an_unknown_network_or_layer_is_refused(tiny_module, tmp_path, small_dataset):
    recipe = small_recipe(tmp_path, small_dataset, network={"name": "mobilenet_v4"})
    assert_refused(recipe, ModelError, "mobilenet_v4", "mobilenet_v3_large")
    recipe = small_recipe(tmp_path, small_dataset, network={"attention": ["conv2_rel"]})
    assert_refused(recipe, ModelError, "'conv2_rel'", "conv2_relu")


def test_groups_that_cannot_be_shared_by_the_devices_are_refused(
    tiny_module, tmp_path, small_dataset, monkeypatch
):
    three = SimpleNamespace(num_replicas_in_sync=3)
    monkeypatch.setattr(preparation, "strategy_of", lambda name: three)
    recipe = small_recipe(tmp_path, small_dataset, strategy="mirrored")
    assert_refused(recipe, RecipeError, "batch.groups", "4", "3 devices")


def test_a_folder_of_another_run_is_refused(tiny_module, tmp_path, small_dataset):
    recipe = small_recipe(tmp_path, small_dataset)
    RunFolder.create(recipe)
    other = small_recipe(tmp_path, small_dataset, epochs=3)
    with pytest.raises(RecipeError, match=r"epochs is 2 there and 3 here.*--resume .* epochs=3"):
        train(other)
    with pytest.raises(TrainingError, match="interrupted run"):
        train(recipe)
    assert (Path(recipe.run) / "recipe.yaml").read_text() == recipe_yaml(recipe)
    assert len(list(Path(recipe.run).iterdir())) == 1


# -- Going on -------------------------------------------------------------------------------------


def test_a_complete_run_is_resumed_at_once(teacher, monkeypatch):
    monkeypatch.setattr(run_module, "prepare_training", lambda recipe: pytest.fail("trained"))
    history = (teacher / "history.csv").read_bytes()
    assert resume(teacher).is_complete()
    assert (teacher / "history.csv").read_bytes() == history


def test_a_run_is_not_resumed_with_another_recipe(teacher, tmp_path, small_dataset):
    run = RunFolder.open(teacher)
    other = run.recipe()
    other.margin.warm = 0.3
    with pytest.raises(RecipeError, match=r"another recipe.*margin\.warm is 0\.4 there and 0\.3"):
        resume(teacher, other)
    resume(teacher, run.recipe())


SCHEDULED = ("margin", "ratio_left", "ratio_right", "distill_weight")


def schedules(rows):
    return [[row[name] for name in SCHEDULED if name in row] for row in rows]


def test_a_complete_run_is_prolonged(straight, tmp_path, small_dataset, read_history):
    recipe = small_recipe(tmp_path, small_dataset, epochs=2, warm_epochs=1)
    first = read_history(train(recipe).path)
    longer = small_recipe(tmp_path, small_dataset, **FOUR_EPOCHS)
    run = resume(recipe.run, longer)
    assert run.is_complete()
    rows = read_history(run.path)
    assert rows[:2] == first
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    # The remaining epochs follow the schedules of a run of four.
    assert schedules(rows[2:]) == schedules(read_history(straight)[2:])
    assert schedules(rows[1:2]) != schedules(read_history(straight)[1:2])
    assert run.recipe() == longer
    resume(recipe.run, small_recipe(tmp_path, small_dataset, epochs=5, warm_epochs=1))
    notes = [line for line in run.recipe_file.read_text().splitlines() if line.startswith("#")]
    assert notes == [
        "# epochs was 2 until epoch 2 was completed.",
        "# epochs was 4 until epoch 4 was completed.",
    ]


def test_an_interrupted_run_takes_another_length(tiny_module, tmp_path, small_dataset, monkeypatch):
    recipe = small_recipe(tmp_path, small_dataset, **FOUR_EPOCHS)
    with monkeypatch.context() as context:
        kill_before_the_state_of(3, context)
        with pytest.raises(Killed):
            train(recipe)
    recipe.epochs = 1
    with pytest.raises(RecipeError, match="2 epochs are completed, so `epochs` cannot be 1"):
        resume(recipe.run, recipe)
    recipe.epochs, recipe.seed = 3, 8
    with pytest.raises(RecipeError, match=r"another recipe \(seed is 7 there and 8 here\)"):
        resume(recipe.run, recipe)
    assert RunFolder.open(recipe.run).recipe().epochs == 4
    recipe.seed = 7
    assert resume(recipe.run, recipe).state().epochs_done == 3


def test_a_run_that_another_process_trains_is_left_alone(teacher, monkeypatch):
    monkeypatch.setattr(RunFolder, "is_complete", lambda run: False)
    monkeypatch.setattr(run_module, "prepare_training", lambda recipe: pytest.fail("trained"))
    with sole_user(teacher), pytest.raises(InUseError):
        resume(teacher)


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(ModelError, match="holds no run"):
        resume(tmp_path)


class Killed(Exception):
    pass


def kill_before_the_state_of(epochs, monkeypatch):
    """Stop as a kill would, when models are written and the state is not."""
    save_state = RunFolder.save_state

    def save_or_die(run, state, save_weights):
        if state.epochs_done == epochs:
            raise Killed
        save_state(run, state, save_weights)

    monkeypatch.setattr(RunFolder, "save_state", save_or_die)


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_kill_between_model_and_state_repeats_the_epoch(
    straight, tmp_path, small_dataset, read_history, monkeypatch, epochs
):
    recipe = small_recipe(tmp_path, small_dataset, **FOUR_EPOCHS)
    with monkeypatch.context() as context:
        kill_before_the_state_of(epochs, context)
        with pytest.raises(Killed):
            train(recipe)
    run = RunFolder.open(recipe.run)
    assert run.state().epochs_done == epochs - 1
    assert run.last.is_file()  # newer than the state
    resume(recipe.run, recipe)
    assert_same_history(read_history(run.path), read_history(straight))
    assert_same_weights(run.path, straight)
    assert run.state().best_epoch == RunFolder.open(straight).state().best_epoch


def test_a_run_is_not_resumed_on_a_changed_dataset(
    tiny_module, tmp_path, small_dataset, monkeypatch
):
    dataset = copy_of(small_dataset, tmp_path)
    recipe = small_recipe(tmp_path, dataset)
    with monkeypatch.context() as context:
        kill_before_the_state_of(2, context)
        with pytest.raises(Killed):
            train(recipe)
    rows = read_manifest(dataset / "manifest.csv")
    write_manifest(dataset / "manifest.csv", rows[1:])
    with pytest.raises(TrainingError, match="has changed since the run"):
        resume(recipe.run)
    write_manifest(dataset / "manifest.csv", rows)
    assert resume(recipe.run).is_complete()


def test_a_run_is_not_resumed_on_other_crops_or_with_another_teacher(
    teacher, tmp_path, small_dataset, monkeypatch
):
    dataset, other = copy_of(small_dataset, tmp_path), tmp_path / "teacher.keras"
    shutil.copy2(RunFolder.open(teacher).best, other)
    changes = {"distillation": {"teacher": str(other)}}
    recipe = small_recipe(tmp_path, dataset, **changes)
    with monkeypatch.context() as context:
        kill_before_the_state_of(2, context)
        with pytest.raises(Killed):
            train(recipe)
    description = dataset / "dataset.json"
    before = description.read_text()
    settings = json.loads(before)
    settings["settings"]["roi_mode"] = "aligned"  # the manifest would be the same
    description.write_text(json.dumps(settings))
    with pytest.raises(TrainingError, match=r"dataset\.json \(roi_mode\): has changed since"):
        resume(recipe.run)
    description.write_text(before)
    shutil.copy2(RunFolder.open(recipe.run).last, other)
    with pytest.raises(TrainingError, match=r"distillation\.teacher .*keras: has changed since"):
        resume(recipe.run)
    shutil.copy2(RunFolder.open(teacher).best, other)
    assert resume(recipe.run).is_complete()


def test_a_diverged_training_is_one_sentence(tiny_module, tmp_path, small_dataset):
    rates = {"maximum": 1e30, "minimum": 1e30}
    recipe = small_recipe(
        tmp_path, small_dataset, optimizer=dict.fromkeys(("backbone", "attention", "head"), rates)
    )
    with pytest.raises(
        TrainingError,
        match=r"has diverged: .* became NaN at step \d of 5 in epoch 1\. .* lower learning rates "
        r"\(`optimizer\.backbone\.maximum`",
    ):
        train(recipe)
    assert not RunFolder.open(recipe.run).best.exists()


def test_checkpoints_before_a_divergence_stay(tiny_module, tmp_path, small_dataset, monkeypatch):
    recipe = small_recipe(tmp_path, small_dataset)
    begin = EmbeddingTrainer.begin_epoch

    def broken_in_the_second(trainer, epoch):
        begin(trainer, epoch)
        if epoch == 1:
            kernel = trainer.student.get_layer("head_dense").kernel
            kernel.assign(kernel * np.nan)

    with monkeypatch.context() as context:
        context.setattr(EmbeddingTrainer, "begin_epoch", broken_in_the_second)
        with pytest.raises(
            TrainingError,
            match=r"NaN at step 1 of 5 in epoch 2\. The checkpoints of epoch 1 are kept",
        ):
            train(recipe)
    run = RunFolder.open(recipe.run)
    assert run.state().epochs_done == 1
    assert all(np.isfinite(w).all() for w in load_embedding_model(run.best).get_weights())
    assert len(resume(run.path).state().history) == 2


def test_a_run_killed_in_the_middle_of_epochs_ends_where_an_uninterrupted_one_ends(
    tiny_module, tmp_path, small_dataset, read_history
):
    changes = {"batch": {"groups": 8, "steps_per_epoch": 100}, "epochs": 4}
    straight = train(small_recipe(tmp_path, small_dataset, **changes)).path

    recipe = write_recipe(tmp_path / "killed.yaml", tmp_path / "killed", small_dataset, **changes)
    program = [sys.executable, str(TESTS / "tiny_network.py"), "train"]
    run = RunFolder(tmp_path / "killed")
    command = [*program, str(recipe)]
    for epochs_done in (1, 2):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            state = run.checkpoints / f"epoch-{epochs_done:04d}"
            while not state.is_dir():
                assert process.poll() is None, "it ended before it could be killed"
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.3))  # any moment will do
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert epochs_done <= run.state().epochs_done < 4
        command = [*program, "--resume", str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    assert [row["epoch"] for row in read_history(run.path)] == [1, 2, 3, 4]
    assert_same_history(read_history(run.path), read_history(straight))
    assert_same_weights(run.path, straight)
    assert [path.name for path in run.checkpoints.glob("epoch-*")] == ["epoch-0004"]
    assert not list(run.checkpoints.glob(".epoch-*"))


def test_the_environment_is_recorded(teacher):
    environment = json.loads((teacher / "environment.json").read_text())
    assert environment["devices"] == 1
    assert (environment["train_images"], environment["train_identities"]) == (64, 16)
    model = load_embedding_model(teacher / "checkpoints" / "best.keras")
    assert environment["parameters"] == sum(v.numpy().size for v in model.weights)
    assert environment["packages"]["keras"] == keras.__version__
