"""Two local processes as the two workers of a training."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from one_of_the_workers import NAME, NETWORKS, ONE_STAGE, student
from small_recipes import small_recipe, write_recipe

from iris_tf.networks.embed_rois import load_embedding_model
from iris_tf.training import starting_point
from iris_tf.training.run_folder import RunFolder
from iris_tf.training.train_model import train

PROGRAM = [sys.executable, str(Path(__file__).with_name("one_of_the_workers.py")), "train"]
TWENTY_STEPS = {
    "objective": "contrastive",
    "batch": {"layout": "balanced", "groups": 8, "images_per_identity": 2, "steps_per_epoch": 5},
    "epochs": 4,
}
ENDS_WITHIN = 60  # seconds after another worker was killed; about 7 on an idle machine


@pytest.fixture
def addresses():
    """Addresses with free ports for two workers."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("", 0))) for _ in range(2)]
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in taken]


def start(addresses, index, *arguments, **environment):
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        env=os.environ | {"TF_CONFIG": json.dumps(config)} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def outcomes(workers):
    """Status, standard output and standard error of each, waited for at the same time."""
    try:
        texts = [worker.communicate(timeout=300) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    return [(worker.returncode, *text) for worker, text in zip(workers, texts, strict=True)]


def without_seconds(history):
    return [{name: v for name, v in row.items() if name != "seconds"} for row in history]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, small_dataset):
    """The same training in one process."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, NAME, ONE_STAGE)
        patch.setattr(starting_point, "build_student", student)
        return train(small_recipe(folder, small_dataset, **TWENTY_STEPS))


def assert_same_run(run, alone):
    for one, two in zip(
        load_embedding_model(run.last).get_weights(),
        load_embedding_model(alone.last).get_weights(),
        strict=True,
    ):
        assert np.abs(one - two).max() <= 1e-4
    both = [without_seconds(each.state().history) for each in (run, alone)]
    assert [row["epoch"] for row in both[0]] == [1, 2, 3, 4]
    for one, two in zip(*both, strict=True):
        assert one == pytest.approx(two, abs=1e-4)
    assert [path.name for path in run.checkpoints.glob("epoch-*")] == ["epoch-0004"]


def end_by(number, addresses, killed, run, epochs_done, *arguments):
    """Start both workers and send one a signal after an epoch; what the other says as it ends.

    `arguments` are those of each worker.
    """
    hold = {"HOLD_AFTER_EPOCH": str(epochs_done)}
    workers = [start(addresses, i, *each, **hold) for i, each in enumerate(arguments)]
    checkpoint = run.checkpoints / f"epoch-{epochs_done:04d}"
    while not checkpoint.is_dir():
        assert workers[0].poll() is None, workers[0].communicate()
        time.sleep(0.01)
    workers[killed].send_signal(number)
    killed_at = time.monotonic()
    (run.path / "go-on").touch()
    ended = outcomes(workers)
    (run.path / "go-on").unlink()
    assert time.monotonic() - killed_at < ENDS_WITHIN
    status = -number if number == signal.SIGKILL else 128 + number
    assert [ended[killed][0], ended[1 - killed][0]] == [status, 2], ended
    message = ended[1 - killed][2]
    assert "Traceback" not in message
    assert run.state().epochs_done == epochs_done
    return message


def test_killed_workers_end_the_others_and_all_resume_to_what_one_process_trains(
    addresses, tmp_path, small_dataset, alone
):
    # At first, each has a run folder of its own, as on machines without a common disk.
    recipes = []
    for name in ("chief", "other"):
        folder = tmp_path / name
        folder.mkdir()
        settings = {"strategy": "multi_worker", **TWENTY_STEPS}
        recipes.append(
            write_recipe(folder / "recipe.yaml", folder / "run", small_dataset, **settings)
        )
    run = RunFolder(tmp_path / "chief" / "run")
    message = end_by(signal.SIGKILL, addresses, 1, run, 1, *([each] for each in recipes))
    assert (
        f"{run.path}: worker 0 has lost another worker, whose own message says why; start all "
        f"workers again with `--resume {run.path}`, which goes on after the last checkpoint."
    ) in message
    assert os.listdir(tmp_path / "other") == ["recipe.yaml"]  # the chief alone has written
    assert json.loads(run.environment.read_text())["devices"] == 2

    resume = ("--resume", run.path)
    # SIGTERM ends a process in the middle of a step, in which the other one waits for it.
    message = end_by(signal.SIGTERM, addresses, 0, run, 2, resume, resume)
    assert f"{run.path}: worker 1 has lost another worker" in message

    chief, other = outcomes([start(addresses, i, *resume) for i in range(2)])
    assert (chief[0], other[0]) == (0, 0), (chief, other)
    assert "4 epochs" in chief[1]
    assert_same_run(run, alone)
