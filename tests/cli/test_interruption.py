"""Ctrl-C says how to go on."""

import os
import pty
import subprocess
import sys
import time

import pytest

from iris_tf.config.load_recipe import load_recipe
from iris_tf.config.training_recipe import TrainRecipe
from iris_tf.training.run_folder import RunFolder, TrainingState


@pytest.fixture
def interrupted(run_cli, monkeypatch):
    """Runs a command in which a function is interrupted; gives what was said."""

    def run(function, *arguments, before=lambda: None):
        def interrupt(*_, **__):
            before()
            raise KeyboardInterrupt

        monkeypatch.setattr(function, interrupt)
        status, _, err = run_cli(*arguments)
        assert status == 130
        [line] = [line for line in err.splitlines() if line.startswith("Interrupted. ")]
        return line

    return run


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"run: {tmp_path / 'my run'}\ndataset: {tmp_path / 'dataset'}\n")
    return path


def test_commands_that_resume_say_so(interrupted, tmp_path):
    for function, verb, *arguments in (
        ("iris_tf.preparation.prepare_dataset.prepare", "prepare", "--images", tmp_path),
        ("iris_tf.synthetic.dataset_writer.synthesize", "synthesize"),
    ):
        line = interrupted(function, verb, *arguments, "--out", tmp_path / "out")
        assert "Run the same command again: it goes on where it stopped." in line


def test_a_training_names_the_command_that_resumes_it(interrupted, recipe, tmp_path):
    train = ("iris_tf.training.train_model.train", "train", recipe)
    assert "Nothing has been trained yet: run the same command again." in interrupted(*train)
    run = tmp_path / "my run"

    def two_epochs():
        folder = RunFolder.create(load_recipe(recipe, TrainRecipe))
        history = [{"loss": 1.0}, {"loss": 0.5}]
        folder.save_state(TrainingState(epochs_done=2, history=history), lambda path: None)

    command = f"`iris-tf train --resume '{run}'` goes on at the beginning of epoch 3."
    assert command in interrupted(*train, before=two_epochs)
    resume = ("iris_tf.training.train_model.resume", "train", "--resume", run)
    assert command in interrupted(*resume)


def test_what_appears_whole_was_not_written(interrupted, tmp_path):
    line = interrupted("iris_tf.exporting.export_run.export_run", "export", tmp_path)
    assert f"{tmp_path / 'models'} is as it was before: run the same command again." in line
    line = interrupted(
        "iris_tf.pipelines.evaluation_stage.evaluate_and_report", "evaluate", "--model",
        "a.tflite", "--manifest", "m.csv", "--out", tmp_path,
    )  # fmt: skip
    assert "Nothing was written: run the same command again." in line


def test_ctrl_c_on_a_terminal(tmp_path):
    """As a user sees it: the key, one sentence, status 130, and the same command goes on."""
    arguments = ["synthesize", "--out", str(tmp_path / "eyes"), "--subjects", "300", "--jobs", "1"]
    code = "from iris_tf.cli import main; main()"
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=end, stdout=end, stderr=end, start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # its own terminal
    )  # fmt: skip
    os.close(end)
    give_up = time.monotonic() + 300
    while not list((tmp_path / "eyes").glob("*/*/*.jpg")):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    os.write(terminal, b"\x03")
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not part:
            break
        shown += part
    assert process.wait(timeout=300) == 130
    assert b"it goes on where it stopped." in shown
    assert b"Traceback" not in shown
