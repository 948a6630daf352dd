import json
from dataclasses import replace

import pytest

from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.pipelines.stages import Stages
from iris_tf.support.errors import InUseError, RecipeError
from iris_tf.support.files import sole_user

RECIPE = "run: out\nseed: 1\n"


class Work:
    """An action that writes its outputs, and how often it ran."""

    def __init__(self, *outputs):
        self.outputs, self.count = list(outputs), 0

    def __call__(self):
        self.count += 1
        for path in self.outputs:
            path.write_text(str(self.count))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("one")
    return source


def test_a_finished_stage_is_skipped_also_by_another_process(folder, source):
    work = Work(folder / "a.txt")
    inputs = {"file": source, "size": (32, 64), "names": ["a"]}
    for expected in (True, False, False):
        # Each `Stages` stands for a process.
        assert Stages(folder, RECIPE).run("first", inputs, work.outputs, work) is expected
    assert work.count == 1


def test_changed_content_of_an_input_file_runs_it_again(folder, source):
    work, stages = Work(folder / "a.txt"), Stages(folder, RECIPE)
    stages.run("first", {"file": source}, work.outputs, work)
    source.touch()  # same content
    assert not stages.run("first", {"file": source}, work.outputs, work)
    source.write_text("two")
    assert stages.run("first", {"file": source}, work.outputs, work)
    assert not stages.run("first", {"file": source}, work.outputs, work)
    assert work.count == 2


def test_two_processes_are_not_at_work_in_one_folder(folder):
    work, stages = Work(folder / "a.txt"), Stages(folder, RECIPE)
    with sole_user(folder), pytest.raises(InUseError):
        stages.run("first", {}, work.outputs, work)
    assert work.count == 0
    assert stages.run("first", {}, work.outputs, work)


@pytest.mark.parametrize("changed", [{"size": 65}, {"size": 64, "more": None}, {}])
def test_a_changed_value_runs_it_again(folder, changed):
    work, stages = Work(folder / "a.txt"), Stages(folder, RECIPE)
    stages.run("first", {"size": 64}, work.outputs, work)
    assert stages.run("first", changed, work.outputs, work)
    assert work.count == 2


def test_a_recipe_that_an_earlier_version_spelled_otherwise_is_unchanged(folder):
    work, stages = Work(folder / "a.txt"), Stages(folder, RECIPE)
    recipe = TrainRecipe(run="run", dataset="data", objective="triplet")
    assert stages.run("train", {"recipe": recipe}, work.outputs, work)
    stamp = folder / ".stages/train.json"
    values = json.loads(stamp.read_text())
    assert "objective: triplet\n" in values["recipe"]
    # Its former key, and no key that has come since.
    earlier = values["recipe"].replace("objective: triplet", "loss: triplet")
    earlier = earlier.replace("  distiller: cosine\n", "")
    stamp.write_text(json.dumps({"recipe": earlier}))
    assert not stages.run("train", {"recipe": recipe}, work.outputs, work)
    for other in (
        replace(recipe, epochs=recipe.epochs + 1),
        replace(recipe, objective="contrastive"),
    ):
        stamp.write_text(json.dumps({"recipe": earlier}))
        assert stages.run("train", {"recipe": other}, work.outputs, work)
    stamp.write_text(json.dumps({"recipe": earlier + "unheard_of: 1\n"}))
    assert stages.run("train", {"recipe": recipe}, work.outputs, work)
    assert work.count == 4


def test_a_missing_output_runs_it_again(folder):
    work, stages = Work(folder / "a.txt", folder / "b.txt"), Stages(folder, RECIPE)
    stages.run("first", {}, work.outputs, work)
    work.outputs[1].unlink()
    assert stages.run("first", {}, work.outputs, work)
    assert work.outputs[1].read_text() == "2"


def test_an_interrupted_stage_runs_again(folder):
    work, stages = Work(folder / "a.txt"), Stages(folder, RECIPE)

    def interrupted():
        work()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.run("first", {}, work.outputs, interrupted)
    assert Stages(folder, RECIPE).run("first", {}, work.outputs, work)


def test_a_stage_that_was_interrupted_on_new_inputs_is_not_taken_for_done_on_old_ones(folder):
    work, stages = Work(folder / "a.txt"), Stages(folder, RECIPE)
    stages.run("first", {"size": 1}, work.outputs, work)

    def interrupted():
        work()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.run("first", {"size": 2}, work.outputs, interrupted)
    # What lies there now was made, half, from size 2.
    assert stages.run("first", {"size": 1}, work.outputs, work)


def test_a_stage_that_breaks_its_promise_is_not_done(folder):
    stages = Stages(folder, RECIPE)
    with pytest.raises(FileNotFoundError, match=r"first.*a\.txt"):
        stages.run("first", {}, [folder / "a.txt"], lambda: None)
    work = Work(folder / "a.txt")
    assert stages.run("first", {}, work.outputs, work)


def test_stages_do_not_mix(folder):
    one, two = Work(folder / "a.txt"), Work(folder / "b.txt")
    stages = Stages(folder, RECIPE)
    stages.run("train a", {"x": 1}, one.outputs, one)
    stages.run("train b", {"x": 1}, two.outputs, two)
    assert stages.run("train a", {"x": 2}, one.outputs, one)
    assert not stages.run("train b", {"x": 1}, two.outputs, two)


def test_another_recipe_is_refused_and_named(folder):
    Stages(folder, RECIPE)
    with pytest.raises(RecipeError, match=r"another recipe.*seed") as caught:
        Stages(folder, RECIPE.replace("seed: 1", "seed: 2"))
    assert str(folder) in str(caught.value)
    assert (folder / "recipe.yaml").read_text() == RECIPE


def test_a_model_s_setting_may_be_corrected(folder):
    """Its stages have the setting as an input; those of other models stay complete."""
    teacher, student = Work(folder / "teacher"), Work(folder / "student")

    def pipeline(size):
        recipe = RECIPE + f"models:\n  teacher: {{}}\n  student: {{network: {{size: {size}}}}}\n"
        stages = Stages(folder, recipe)
        stages.run("train teacher", {"size": 8}, teacher.outputs, teacher)
        stages.run("train student", {"size": size}, student.outputs, student)
        assert (folder / "recipe.yaml").read_text() == recipe

    for size, trained in ((6, (1, 1)), (8, (1, 2)), (8, (1, 2))):
        pipeline(size)
        assert (teacher.count, student.count) == trained


def test_models_may_be_compared_on_another_list(folder):
    recipe = "run: out\ndataset:\n  images: faces\n"
    Stages(folder, recipe)
    Stages(folder, recipe + "  folds: pairs.txt\n")
    assert "folds: pairs.txt" in (folder / "recipe.yaml").read_text()
    with pytest.raises(RecipeError, match=r"dataset\.images is faces there and eyes here"):
        Stages(folder, recipe.replace("faces", "eyes"))


def test_results_may_be_published_elsewhere(folder):
    first = RECIPE + "out: here\ntraining:\n  out: 3\n"
    Stages(folder, first)
    Stages(folder, first.replace("here", "there"))
    assert (folder / "recipe.yaml").read_text() == first.replace("here", "there")
    for old, new, key in (("seed: 1", "seed: 2", "seed"), ("out: 3", "out: 4", "training.out")):
        with pytest.raises(RecipeError, match=rf"another recipe \({key} is") as caught:
            Stages(folder, first.replace(old, new).replace("here", "elsewhere"))
        assert "elsewhere" not in str(caught.value)
    assert "there" in (folder / "recipe.yaml").read_text()


def test_an_attempt_with_other_inputs_is_told_what_changed(folder, source):
    work, told = Work(folder / "a.txt"), []

    def run(action=work, **inputs):
        return Stages(folder, RECIPE).run(
            "first", {"file": source} | inputs, work.outputs, action, told.append
        )

    def interrupted():
        raise KeyboardInterrupt

    run(size=1)
    assert not run(size=1)
    assert told == []
    source.write_text("two")
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, size=1)
    assert told.pop() == {"file"}
    assert run(size=1)  # goes on with what the interrupted attempt has begun
    assert told == []
    source.write_text("three")
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, size=1)
    source.write_text("two")
    run(size=2)
    assert told == [{"file"}, {"file", "size"}]
    run(size=2, more=3)  # nobody knows what it was
    assert len(told) == 2


def test_a_folder_with_other_files_is_refused(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(RecipeError, match="not empty"):
        Stages(folder, RECIPE)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_what_a_killed_start_left_is_no_other_file(folder):
    folder.mkdir()
    (folder / ".recipe.yaml.0a1b2c3d.yaml").write_text("half")
    Stages(folder, RECIPE)
    assert (folder / "recipe.yaml").read_text() == RECIPE


def test_an_empty_folder_is_taken(folder):
    folder.mkdir()
    Stages(folder, RECIPE)
    assert (folder / "recipe.yaml").read_text() == RECIPE
