"""When a pipeline trains a model, resumes it, or trains it again from the start."""

import json

import pytest
import yaml

from iris_tf.config.load_recipe import recipe_yaml
from iris_tf.config.release_recipe import ReleaseRecipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.pipelines.stages import Stages
from iris_tf.support.errors import RecipeError
from iris_tf.training.run_folder import RunFolder, TrainingState
from iris_tf.training.starting_point import FROM_RECIPE


class Trainings:
    """Stand-in for training: records calls and writes the files that training would."""

    def __init__(self):
        self.calls, self.interrupt = [], False

    def train(self, recipe, start):
        assert start == FROM_RECIPE
        run = RunFolder(recipe.run)
        assert not run.path.exists()
        self._work("train", run, recipe)

    def resume(self, path, recipe, start):
        assert start == FROM_RECIPE
        self._work("resume", RunFolder(path), recipe)

    def _work(self, what, run, recipe):
        self.calls.append(what)
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        run.recipe_file.write_text(recipe_yaml(recipe))
        if self.interrupt:
            raise KeyboardInterrupt
        run.best.write_text("")
        run.history_file.write_text("")


@pytest.fixture
def mobiiris():
    from iris_tf.pipelines import mobiiris_stages

    return mobiiris_stages


@pytest.fixture
def trainings(monkeypatch):
    import iris_tf.training.train_model

    trainings = Trainings()
    for name in ("train", "resume"):
        monkeypatch.setattr(iris_tf.training.train_model, name, getattr(trainings, name))
    return trainings


@pytest.fixture
def released(monkeypatch, tmp_path):
    """The released weights."""
    folder = tmp_path / "models" / "mobiiris"
    folder.mkdir(parents=True)
    (folder / "model_card.json").write_text("{}")
    (folder / "mobiiris.keras").write_text("first")
    monkeypatch.setattr("iris_tf.tflite.released_models.FOLDERS", (tmp_path / "models",))
    return folder / "mobiiris.keras"


@pytest.fixture
def files(tmp_path):
    """What else a training depends on."""
    (tmp_path / "manifest.csv").write_text("some images")
    (tmp_path / "teacher.keras").write_text("knows all")
    return tmp_path / "manifest.csv", tmp_path / "teacher.keras"


@pytest.fixture
def stage(mobiiris, trainings, files, tmp_path):
    """Run the training stage of a recipe as in a new process; returns the recorded calls."""
    manifest, teacher = files

    def stage(weights="pretrained", interrupt=False, **settings):
        run = str(tmp_path / "run" / "student")
        recipe = TrainRecipe(run=run, dataset=str(tmp_path), **settings)
        recipe.network.weights = str(weights)
        recipe.distillation.teacher = str(teacher)
        trainings.calls.clear()
        trainings.interrupt = interrupt
        stages = Stages(tmp_path / "run", "run: run\n")
        if interrupt:
            with pytest.raises(KeyboardInterrupt):
                mobiiris.train_stage(stages, "student", recipe, manifest)
        else:
            mobiiris.train_stage(stages, "student", recipe, manifest)
        return list(trainings.calls)

    return stage


def test_changed_released_weights_are_trained_from_again(stage, released):
    assert stage() == ["train"]
    assert stage() == []
    released.write_text("second")
    assert stage() == ["train"]
    assert stage() == []


def test_an_interrupted_training_goes_on_unless_its_weights_have_changed(stage, released):
    assert stage(interrupt=True) == ["train"]
    assert stage(interrupt=True) == ["resume"]
    released.write_text("second")
    assert stage(interrupt=True) == ["train"]
    assert stage() == ["resume"]
    assert stage() == []


def test_another_setting_trains_again_and_sets_the_earlier_run_aside(stage, released, tmp_path):
    assert stage(seed=1) == ["train"]
    run, aside = tmp_path / "run" / "student", tmp_path / "run" / "student.replaced"
    for earlier, seed in ((1, 2), (2, 3)):
        assert stage(seed=seed) == ["train"]
        assert RunFolder(run).recipe().seed == seed
        assert RunFolder(aside).recipe().seed == earlier  # with its checkpoints
        assert RunFolder(aside).best.is_file()
        assert stage(seed=seed) == []


def test_another_number_of_epochs_alone_resumes(stage, released, tmp_path):
    assert stage(epochs=40) == ["train"]
    assert stage(epochs=50) == ["resume"]
    state = TrainingState(epochs_done=50, history=[{"loss": 1.0}] * 50)
    run = RunFolder(tmp_path / "run" / "student")
    run.save_state(state, lambda path: path.write_text(""))
    assert stage(epochs=40) == ["train"]  # cannot be undone
    assert stage(epochs=41, seed=1) == ["train"]


def test_a_stage_that_an_earlier_version_did_stays_done(stage, released, tmp_path):
    """Its stamp says `loss`, and lacks keys that are new."""
    assert stage() == ["train"]
    stamp = tmp_path / "run" / ".stages" / "train-student.json"
    values = json.loads(stamp.read_text())
    recipe = yaml.safe_load(values["recipe"])
    recipe["loss"] = recipe.pop("objective")
    recipe["network"]["attention_kernel"] = 7
    for section, key in (("distillation", "distiller"), ("optimizer", "name")):
        del recipe[section][key]
    stamp.write_text(json.dumps(values | {"recipe": yaml.safe_dump(recipe)}))
    assert stage() == []
    recipe["epochs"] += 1
    stamp.write_text(json.dumps(values | {"recipe": yaml.safe_dump(recipe)}))
    assert stage() == ["resume"]


def test_so_are_a_file_of_ones_own_and_the_teacher(stage, files, tmp_path):
    own = tmp_path / "own.keras"
    own.write_text("first")
    assert stage(own) == ["train"]
    for path in (own, files[1]):
        path.write_text("second")
        assert stage(own) == ["train"]
        assert stage(own) == []


def test_the_released_weights_matter_only_where_they_are_named(stage, released):
    assert stage("none") == ["train"]
    released.write_text("second")
    assert stage("none") == []


def test_other_images_are_left_to_the_training_to_refuse(stage, files, released):
    assert stage() == ["train"]
    files[0].write_text("other images")
    assert stage() == ["resume"]


def test_a_release_cannot_start_from_what_it_replaces(released, tmp_path):
    from iris_tf.pipelines.released_model_stages import check_folders

    recipe = ReleaseRecipe(
        run="run", out=str(released.parent), models={"mobiiris": {"network": {}}}
    )
    for weights in ("pretrained", str(released)):
        recipe.training = {"network": {"weights": weights}}
        with pytest.raises(RecipeError, match="mobiiris would start from it") as caught:
            check_folders(recipe)
        assert str(released) in str(caught.value)
    recipe.out = str(tmp_path / "elsewhere")
    check_folders(recipe)
