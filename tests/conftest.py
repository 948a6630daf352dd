import csv
import fcntl
import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# As in the commands: TensorFlow may not recognise a virtual processor.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

pytest_plugins = [
    "fixtures.drawn_datasets",
    "fixtures.pixel_models",
    "fixtures.populations",
    "fixtures.small_models",
]


def pytest_collection_finish():
    """Spare the collections that each training asks for TensorFlow's half million objects."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """`made_once(name, make)`: a folder that `make(folder)` fills for all workers. Do not modify.

    The other workers of pytest-xdist wait for the first one that asks for it.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def made_once(name, make):
        folder, finished = base / name, base / f"{name}.finished"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not finished.exists():
                make(folder)
                finished.touch()
        return folder

    return made_once


@pytest.fixture(scope="session")
def small_images(made_once):
    """Synthetic eyes of 12 subjects, 4 images per eye. Do not modify."""
    from iris_tf.synthetic.dataset_writer import synthesize

    return made_once("small-images", lambda folder: synthesize(folder, 12, 4, seed=3, jobs=1))


@pytest.fixture(scope="session")
def small_dataset(made_once, small_images, tmp_path_factory):
    """Dataset prepared from `small_images`. Do not modify, except for its packed crops."""
    from iris_tf.preparation.prepare_dataset import prepare

    made = made_once("small-dataset", lambda folder: prepare(small_images, folder, jobs=1))
    return shutil.copytree(made, tmp_path_factory.mktemp("small") / "dataset")


@pytest.fixture(scope="session")
def released_float32(made_once):
    """The released recognition model in float32, which is exported on demand. Do not modify."""
    from iris_tf.exporting.export_weights import export_weights
    from iris_tf.tflite.released_models import RECOGNITION, released_weights

    folder = made_once(
        "released-float32",
        lambda folder: export_weights(released_weights(RECOGNITION), folder, ["float32"]),
    )
    return folder / "mobiiris_float32.tflite"


@pytest.fixture
def tiny(monkeypatch):
    """Name of the network of `tiny_network`, registered for one test."""
    import tiny_network

    monkeypatch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
    return tiny_network.NAME


@pytest.fixture(scope="module")
def tiny_module():
    """The network of `tiny_network`, registered for the tests of one file."""
    import tiny_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny_network.NETWORKS, tiny_network.NAME, tiny_network.SPEC)
        yield


@pytest.fixture
def run_cli(monkeypatch, capfd):
    """Runs `iris-tf` in this process: (exit status, standard output, standard error)."""

    def run(*arguments):
        from iris_tf.cli.app import main

        monkeypatch.setattr("sys.argv", ["iris-tf", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capfd.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def read_history():
    def read(run):
        with open(run / "history.csv", newline="", encoding="utf-8") as file:
            return [
                {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
            ]

    return read


@pytest.fixture(scope="session")
def command():
    """Path of the installed `iris-tf`."""
    path = Path(sys.executable).with_name("iris-tf")
    assert path.is_file(), "install the package: pip install -e ."
    return path


def _train(command, dataset, folder):
    folder.mkdir()
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"run: {folder / 'mobile'}\n"
        f"dataset: {dataset}\n"
        "network:\n"
        "  input_size: [32, 32]\n"
        "  embedding_size: 16\n"
        "  weights: none\n"
        "  attention: [expanded_conv_3_squeeze_excite_mul]\n"
        "  batchnorm_momentum: 0.5\n"
        "batch: {groups: 4, steps_per_epoch: 4}\n"
        "warm_epochs: 1\n"
        "unfreeze_epochs: 0\n"
    )
    done = subprocess.run(
        [command, "train", recipe, "epochs=2", "seed=5"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"{folder / 'mobile'}: 2 epochs" in done.stdout
    # A log gets progress, but no warnings of libraries.
    assert "Training mobile: 8/8" in done.stderr
    assert "Warning" not in done.stderr


@pytest.fixture(scope="session")
def trained_run(made_once, command, small_dataset, tmp_path_factory):
    """Run folder of MobileNetV3-Large at 32x32, two epochs by `iris-tf train`. Do not modify."""
    made = made_once("trained", lambda folder: _train(command, small_dataset, folder)) / "mobile"
    run = shutil.copytree(made, tmp_path_factory.mktemp("trained") / "mobile")
    # The run and its dataset may be those of another worker, which has made them.
    dataset = json.loads((run / "environment.json").read_text())["dataset"]
    for file in (path for path in run.iterdir() if path.suffix in (".json", ".yaml")):
        text = file.read_text().replace(dataset, str(small_dataset))
        file.write_text(text.replace(str(made), str(run)))
    return run


@pytest.fixture(scope="session")
def exported(made_once, trained_run):
    """Folder with the run's .tflite files and their card. Do not modify."""
    from iris_tf.exporting.export_run import export_run

    made = made_once("exported", lambda folder: shutil.copytree(export_run(trained_run)[0], folder))
    return shutil.copytree(made, trained_run / "models", dirs_exist_ok=True)
