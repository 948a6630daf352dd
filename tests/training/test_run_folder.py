import csv
import json
import os

import pytest

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.support.errors import ModelError, RecipeError, TrainingError
from iris_tf.training.run_folder import RunFolder, TrainingState


def recipe_for(folder, *overrides):
    path = folder.parent / "recipe_of_a_test.yaml"
    path.write_text(f"run: {folder}\ndataset: eyes\nepochs: 2\nwarm_epochs: 1\n")
    return load_recipe(path, TrainRecipe, ["unfreeze_epochs=1", *overrides])


def state_after(epochs):
    history = [{"epoch": n, "loss": 1.0 / n} for n in range(1, epochs + 1)]
    return TrainingState(epochs, history, best_epoch=epochs, best_value=1.0 / max(epochs, 1))


def save(run, epochs):
    run.save_state(state_after(epochs), lambda path: path.write_text(f"weights {epochs}"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def test_a_new_run_keeps_its_recipe(folder):
    recipe = recipe_for(folder, "seed=4")
    RunFolder.create(recipe)
    run = RunFolder.open(folder)
    assert run.recipe() == recipe
    assert run.state() == TrainingState()
    assert run.state_weights() is None
    assert not run.is_complete()
    with pytest.raises(ModelError, match="no epoch of this run is complete"):
        run.best_model()


def test_there_must_be_a_run_to_open(folder):
    with pytest.raises(ModelError, match="holds no run") as caught:
        RunFolder.open(folder)
    assert str(folder) in str(caught.value)


def test_the_state_is_that_of_the_newest_epoch(folder):
    run = RunFolder.create(recipe_for(folder))
    save(run, 1)
    assert run.state() == state_after(1)
    assert not run.is_complete()
    save(run, 2)
    assert run.state() == state_after(2)
    assert run.state_weights().read_text() == "weights 2"
    assert run.is_complete()
    assert len(list(run.checkpoints.iterdir())) == 1  # older ones are cleared away


def test_epoch_10_is_newer_than_epoch_9(folder):
    run = RunFolder.create(recipe_for(folder, "epochs=20"))
    for epochs in (9, 10):
        save(run, epochs)
    (run.checkpoints / "epoch-0009").mkdir()  # as if the clearing had been interrupted
    assert run.state().epochs_done == 10


def test_epoch_10000_is_newer_than_epoch_9999(folder):
    run = RunFolder.create(recipe_for(folder, "epochs=20000"))
    for epochs in (9999, 10000):
        save(run, epochs)
    assert run.state().epochs_done == 10000


def test_weights_that_were_never_finished_are_not_a_state(folder):
    run = RunFolder.create(recipe_for(folder))
    save(run, 1)

    def killed(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.save_state(state_after(2), killed)
    assert run.state() == state_after(1)
    assert run.state_weights().read_text() == "weights 1"

    # A kill leaves the temporary folder behind; the next epoch clears it away.
    (run.checkpoints / ".epoch-0002.0123abcd").mkdir()
    assert run.state() == state_after(1)
    save(run, 2)
    assert os.listdir(run.checkpoints) == ["epoch-0002"]


def test_history_has_one_row_an_epoch(folder):
    run = RunFolder.create(recipe_for(folder))
    for epochs in (1, 2, 2):  # the second epoch is repeated
        save(run, epochs)
    with open(run.history_file, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"epoch": "1", "loss": "1.0"}, {"epoch": "2", "loss": "0.5"}]


def test_no_best_yet_survives_json(folder):
    run = RunFolder.create(recipe_for(folder))
    state = TrainingState(epochs_done=1, history=[{"epoch": 1}])
    run.save_state(state, lambda path: path.write_text(""))
    assert run.state() == state  # best_value is infinite
    assert json.loads((run.checkpoints / "epoch-0001" / "state.json").read_text())


def test_another_recipe_in_the_folder_is_refused(folder):
    RunFolder.create(recipe_for(folder))
    other = recipe_for(folder, "optimizer.head.maximum=0.01")
    with pytest.raises(RecipeError, match=r"another recipe.*optimizer\.head\.maximum") as caught:
        RunFolder.create(other)
    assert str(folder) in str(caught.value)
    with pytest.raises(RecipeError, match="another recipe"):
        RunFolder.open(folder).check_recipe(other)
    RunFolder.open(folder).check_recipe(recipe_for(folder))


def test_an_interrupted_or_complete_run_is_not_started_again(folder):
    recipe = recipe_for(folder)
    run = RunFolder.create(recipe)
    with pytest.raises(TrainingError, match=rf"interrupted.*--resume {folder}"):
        RunFolder.create(recipe)
    save(run, 2)
    with pytest.raises(TrainingError, match="complete"):
        RunFolder.create(recipe)


def test_a_folder_with_other_files_is_refused(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(RecipeError, match="not empty"):
        RunFolder.create(recipe_for(folder))
    assert os.listdir(folder) == ["thesis.tex"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-9],
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"epochs_done": 2', '"epochs_done": 1'),
        lambda text: text.replace('"epochs_done": 2', '"epochs_done": "2"'),
        lambda text: text.replace('"best_epoch": 2', '"best_epoch": 3'),
        lambda text: text.replace('"loss": 1.0', '"loss": null'),
        lambda text: text.replace('"history"', '"histories"'),
        lambda text: text.replace('"loss"', '"\\ud800"'),
    ],
)
def test_a_damaged_state_is_one_sentence(folder, change):
    run = RunFolder.create(recipe_for(folder))
    save(run, 2)
    file = run.checkpoints / "epoch-0002" / "state.json"
    damaged = change(file.read_text())
    assert damaged != file.read_text()
    file.write_text(damaged)
    with pytest.raises(TrainingError, match=r"state\.json: the state of the run cannot be read"):
        run.state()


def test_other_folders_beside_checkpoints_are_no_state(folder):
    run = RunFolder.create(recipe_for(folder))
    save(run, 1)
    (run.checkpoints / "epoch-old").mkdir()
    assert run.state() == state_after(1)


def test_a_damaged_environment_does_not_lead_to_another_dataset(folder, tmp_path):
    run = RunFolder.create(recipe_for(folder))
    for text in ("", '{"dataset": "', "[]"):
        run.environment.write_text(text)
        with pytest.raises(TrainingError, match=r"environment\.json: cannot be read"):
            run.dataset()
