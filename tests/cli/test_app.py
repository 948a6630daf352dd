import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from prepared_eyes import draw_folder
from small_recipes import write_recipe

from iris_tf.cli.console import report_errors
from iris_tf.data.manifest import read_manifest, write_manifest
from iris_tf.training.run_folder import RunFolder

VERBS = {
    "synthesize": ["--out", "--subjects", "--images", "--seed", "--scheduler"],
    "prepare": [
        "--images",
        "--layout",
        "casia-thousand",
        "--out",
        "--segmenter",
        "--segmenter-model",
        "--min-quality",
        "CSV table of a split",
        "--jobs",
        "--scheduler",
    ],
    "train": ["RECIPE", "--resume", "--list", "key=value"],
    "export": ["RUN", "--precision"],
    "evaluate": [
        "--model",
        "--manifest",
        "--split",
        "--out",
        "--baseline",
        "iriscode",
        "--protocol",
        "--genuine",
        "--impostor",
        "--resamples",
        "--scores",
    ],
    "benchmark": ["latency", "training", "prepare", "template"],
    "benchmark latency": ["--model", "--threads", "--runs", "--out"],
    "benchmark training": ["RECIPE", "--steps"],
    "benchmark prepare": ["--images", "--layout", "--segmenter", "--segmenter-model"],
    "benchmark template": ["IMAGE", "--model", "--runs"],
    "embed": ["--model", "IMAGES", "--calibration"],
    "verify": ["--model", "--threshold", "--operating-point", "far_1e-3", "--calibration"],
    "identify": [
        "--model",
        "--gallery",
        "--save-gallery",
        "--top",
        "--operating-point",
        "far_1e-3",
        "--layout",
        "--calibration",
    ],
    "calibrate": ["--model", "--images", "--out", "--layout"],
}


# -- Help -----------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_help_lists_the_verbs(run_cli):
    status, out, _ = run_cli("--help")
    assert status == 0
    for verb in VERBS:
        assert verb.split()[0] in out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(run_cli, verb):
    status, out, _ = run_cli(*verb.split(), "--help")
    assert status == 0
    for word in VERBS[verb]:
        assert word.lower() in out.lower()


def test_version(run_cli):
    import iris_tf

    assert run_cli("--version")[:2] == (0, f"iris_tf {iris_tf.__version__}\n")


# -- Without TensorFlow ---------------------------------------------------------------------------

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import iris_tf
from iris_tf.cli.app import main

for arguments in eval(sys.argv[1]):
    sys.argv = ["iris-tf", *arguments]
    print("$", *arguments, flush=True)
    try:
        main()
    except SystemExit as ended:
        print("status", ended.code or 0, flush=True)
assert not {"tensorflow", "keras"} & set(sys.modules)
"""


def run_without_tensorflow(*commands):
    """Exit statuses, standard output and standard error of commands where it is not installed."""
    commands = [[str(argument) for argument in command] for command in commands]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, repr(commands)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    statuses = [int(line.split()[1]) for line in lines if line.startswith("status ")]
    assert len(statuses) == len(commands)
    return statuses, done.stdout, done.stderr


def test_help_does_not_load_tensorflow():
    statuses, _, _ = run_without_tensorflow(
        ["--help"], *([*verb.split(), "--help"] for verb in VERBS)
    )
    assert set(statuses) == {0}


def test_using_a_model_does_not_load_tensorflow(exported, small_images, small_dataset, tmp_path):
    model = exported / "mobile_float16.tflite"
    row = read_manifest(small_dataset / "manifest.csv")[0]
    crop, eye = small_dataset / row.roi, small_images / row.image
    manifest = small_dataset / "manifest.csv"
    statuses, out, _ = run_without_tensorflow(
        ["embed", "--model", model, crop, eye],
        ["verify", "--model", model, crop, eye],
        ["identify", "--model", model, "--gallery", eye.parent, eye],
        ["calibrate", "--model", model, "--images", eye.parent],
        ["evaluate", "--model", model, "--manifest", manifest, "--out", tmp_path],
        ["benchmark", "latency", "--model", model, "--threads", "1", "--runs", "50"],
        ["benchmark", "template", "--model", model, "--runs", "5", eye],
    )
    assert statuses[0] == statuses[4] == statuses[5] == statuses[6] == 0
    assert statuses[1] in (0, 1)
    assert "similarity 1.0000" in out
    assert statuses[2] in (0, 1)
    assert f"   1  {eye.name} " in out
    assert statuses[3] == 2  # only a few images


def test_training_without_tensorflow_says_what_to_install(trained_run):
    statuses, _, err = run_without_tensorflow(["train", "recipe.yaml"], ["export", trained_run])
    assert statuses == [2, 2]
    assert err.splitlines() == [err.splitlines()[0]] * 2
    assert "TensorFlow" in err
    assert "iris_tf[cpu]" in err


# -- Mistakes: one sentence, status 2, nothing else -----------------------------------------------


PROGRESS = re.compile(r"[A-Z].*: \d+/\d+ in \d+ s$")


@pytest.fixture
def refused(run_cli):
    def refused(*arguments):
        status, out, err = run_cli(*arguments)
        assert status == 2
        assert out == ""
        [line] = [line for line in err.splitlines() if not PROGRESS.match(line)]
        assert line.startswith("Error: ")
        assert line.endswith(".")
        return line

    return refused


@pytest.fixture
def manifest(small_dataset):
    return small_dataset / "manifest.csv"


def test_impossible_numbers_of_eyes(refused, tmp_path):
    message = refused("synthesize", "--out", tmp_path / "eyes", "--subjects", 0)
    assert "subjects is 0" in message
    assert not (tmp_path / "eyes").exists()


def test_missing_and_empty_image_folders(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty"):
        message = refused("prepare", "--images", folder, "--out", tmp_path / "out")
        assert str(folder) in message
    assert not (tmp_path / "out").exists()


def test_a_layout_that_does_not_match(refused, tmp_path):
    (tmp_path / "eyes").mkdir()
    cv2.imwrite(str(tmp_path / "eyes" / "holiday.png"), np.zeros((80, 80), np.uint8))
    message = refused("prepare", "--images", tmp_path / "eyes", "--out", tmp_path / "out")
    assert "holiday.png" in message
    for layout in ("casia-thousand", "iitd", "folder"):
        assert layout in message


def test_an_unknown_segmenter(refused, small_images, tmp_path):
    arguments = ("--images", small_images, "--out", tmp_path / "out")
    message = refused("prepare", *arguments, "--segmenter", "magic")
    assert "magic" in message
    assert "opencv" in message


def test_quality_limits_and_model_files_that_cannot_be(refused, small_images, tmp_path):
    arguments = ("prepare", "--images", small_images, "--out", tmp_path / "out")
    message = refused(*arguments, "--min-quality", "focus=20")
    assert "'focus'" in message
    assert message.endswith("margin_adequacy, sharpness.")
    assert "sharpness=much" in refused(*arguments, "--min-quality", "sharpness=much")
    model = tmp_path / "none.tflite"
    message = refused(*arguments, "--segmenter", "opencv", "--segmenter-model", model)
    assert str(model) in message
    message = refused(*arguments, "--jobs", 2, "--scheduler", "tcp://127.0.0.1:9")
    assert "leave jobs out" in message
    assert not (tmp_path / "out").exists()


def test_prepare_says_what_it_was_not_given(run_cli, tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    for name in ("000/L/1.gif", "000/L/2.gif", "003/R/S5003R00.heic"):
        (eyes / name).parent.mkdir(parents=True, exist_ok=True)
        (eyes / name).write_bytes(b"x")
    (tmp_path / "split.csv").write_text("subject,split\n000,train\n001,val\n002,test\n")
    arguments = ("--segmenter", "opencv", "--split", tmp_path / "split.csv")
    status, out, err = run_cli("prepare", "--images", eyes, "--out", tmp_path / "out", *arguments)
    assert (status, "Error" in err) == (0, False)
    assert "  files of kinds that are not read: 2 .gif, 1 .heic" in out.splitlines()
    assert "  identities without a usable image: 1 (003_R)" in out.splitlines()
    splits = {row.subject: row.split for row in read_manifest(tmp_path / "out" / "manifest.csv")}
    assert splits == {"000": "train", "001": "val", "002": "test"}


def test_limits_of_a_prepared_dataset(run_cli, small_images, small_dataset, tmp_path):
    shutil.copytree(small_dataset, tmp_path / "out")
    rows = read_manifest(small_dataset / "manifest.csv")
    limit = sorted(row.iris.iris_radius for row in rows)[2]
    arguments = ("prepare", "--images", small_images, "--out", tmp_path / "out")
    status, out, _ = run_cli(*arguments, "--min-quality", f"iris_radius={limit}")
    assert status == 0
    assert "failed, low_quality: 2 " in out
    assert f"{len(rows) - 2} of " in out
    assert str(tmp_path / "out" / "contact_sheet.html") in out


def test_recipes(refused, tmp_path, small_dataset):
    assert str(tmp_path / "none.yaml") in refused("train", tmp_path / "none.yaml")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"run: {tmp_path / 'run'}\ndataset: {small_dataset}\nepoch: 3\n")
    assert f"{recipe}, line 3: epoch" in refused("train", recipe)
    recipe.write_text(f"run: {tmp_path / 'run'}\ndataset: {small_dataset}\n")
    assert "command line: epochs" in refused("train", recipe, "epochs=many")
    assert "command line: epochs" in refused("benchmark", "training", recipe, "epochs=many")
    assert not (tmp_path / "run").exists()


def test_a_missing_dataset(refused, tiny, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path / "run", tmp_path / "none")
    assert str(tmp_path / "none" / "manifest.csv") in refused("train", recipe)


def test_folders_of_other_runs(refused, trained_run, tiny, tmp_path, small_dataset):
    recipe = write_recipe(tmp_path / "recipe.yaml", trained_run, small_dataset)
    assert "another recipe" in refused("train", recipe)
    assert "another recipe" in refused("train", recipe, "--resume", trained_run)
    assert "holds no run" in refused("train", "--resume", small_dataset)
    assert "complete" in refused("train", trained_run / "recipe.yaml")


def test_a_run_s_length_alone_can_be_changed(refused, run_cli, trained_run):
    assert "2 epochs are completed" in refused("train", "--resume", trained_run, "epochs=1")
    assert "another recipe (seed" in refused("train", "--resume", trained_run, "seed=6")
    status, out, _ = run_cli("train", "--resume", trained_run, "epochs=2")
    assert (status, out.split(",")[0]) == (0, f"{trained_run}: 2 epochs")


def test_shipped_recipes_are_listed_and_found_by_name(refused, run_cli, tmp_path):
    status, out, _ = run_cli("train", "--list")
    assert status == 0
    names = [line.split(":")[0] for line in out.splitlines()]
    assert {"finetune", "student"} <= set(names)
    message = refused("train", "studnt")
    assert all(name in message for name in names)
    for verb in (["train"], ["benchmark", "training"]):
        message = refused(*verb, "student", f"dataset={tmp_path / 'none'}", f"run={tmp_path / 'r'}")
        assert str(tmp_path / "none" / "manifest.csv") in message


def test_a_notice_is_a_sentence(tmp_path, small_dataset):
    batch = {"layout": "balanced", "groups": 17, "images_per_identity": 2}
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path / "run", small_dataset, batch=batch)
    program = [sys.executable, str(Path(__file__).parents[1] / "tiny_network.py")]
    done = subprocess.run(
        [*program, "train", recipe, "epochs=1"], capture_output=True, text=True, check=True
    )
    [notice] = [line for line in done.stderr.splitlines() if "17 identities" in line]
    assert notice.startswith("Warning: 16 of 16 training identities have several images")
    assert "fit_batch(" not in done.stderr  # the line of code that gave it


def test_train_needs_a_recipe_or_a_run(run_cli):
    status, _, err = run_cli("train", "epochs=3")
    assert status == 2
    assert "--list" in err
    status, _, err = run_cli("train")
    assert status == 2
    assert "--resume" in err
    assert "Traceback" not in err


def test_exports_that_cannot_be(refused, trained_run, exported, tmp_path):
    assert str(tmp_path) in refused("export", tmp_path)
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    message = refused("export", trained_run, "--precision", "float32,float8")
    assert "float8" in message
    assert "float16" in message
    # The earlier export is whole.
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before


def test_a_run_without_a_model(refused, tiny, tmp_path, small_dataset):
    from small_recipes import small_recipe

    run = RunFolder.create(small_recipe(tmp_path, small_dataset))
    shutil.copy(small_dataset / "dataset.json", run.path)
    assert "no epoch of this run is complete" in refused("export", run.path)


def test_models_that_are_none(refused, exported, manifest, small_dataset, tmp_path):
    crop = small_dataset / read_manifest(manifest)[0].roi
    text = tmp_path / "text.tflite"
    text.write_text("This is not a model.")
    shutil.copy(exported / "model_card.json", tmp_path)
    empty = tmp_path / "empty.keras"
    empty.write_bytes(b"")
    out = ("--manifest", manifest, "--out", tmp_path / "out")
    for model in (text, empty, tmp_path / "none.tflite", tmp_path / "none.keras", tmp_path):
        assert str(model) in refused("evaluate", "--model", model, *out)
    for model in (text, tmp_path / "none.tflite"):
        assert str(model) in refused("benchmark", "latency", "--model", model)
        assert str(tmp_path) in refused("embed", "--model", model, crop)
        assert str(tmp_path) in refused("verify", "--model", model, crop, crop)
        assert str(tmp_path) in refused("identify", "--model", model, "--gallery", crop, crop)
        assert str(tmp_path) in refused("calibrate", "--model", model, "--images", crop.parent)
    assert not (tmp_path / "out").exists()


def test_a_damaged_model(refused, exported, manifest, tmp_path):
    data = (exported / "mobile_float32.tflite").read_bytes()
    (tmp_path / "half.tflite").write_bytes(data[: len(data) // 2])
    message = refused("benchmark", "latency", "--model", tmp_path / "half.tflite")
    assert str(tmp_path / "half.tflite") in message


def test_model_cards(refused, exported, manifest, small_dataset, tmp_path):
    crop = small_dataset / read_manifest(manifest)[0].roi
    model = tmp_path / "mobile_float16.tflite"
    shutil.copy(exported / model.name, model)
    assert str(tmp_path / "model_card.json") in refused("embed", "--model", model, crop)
    (tmp_path / "model_card.json").write_text("{")
    assert str(tmp_path / "model_card.json") in refused("verify", "--model", model, crop, crop)
    shutil.copy(exported / "model_card.json", tmp_path)
    shutil.copy(exported / "mobile_float32.tflite", model)
    assert "SHA-256" in refused("verify", "--model", model, crop, crop)


@pytest.fixture
def bad_images(tmp_path):
    good = np.full((240, 320), 128, np.uint8)
    encoded = cv2.imencode(".jpg", good)[1].tobytes()
    files = {
        "empty.jpg": b"",
        "truncated.jpg": encoded[: len(encoded) // 2],
        "text.png": b"not an image",
        "wall.png": cv2.imencode(".png", good)[1].tobytes(),  # an image, and no eye
        "tiny.png": cv2.imencode(".png", good[:1, :1])[1].tobytes(),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return [*(tmp_path / name for name in files), tmp_path / "none.png", tmp_path]


def test_pictures_that_cannot_be_used_are_named(refused, exported, bad_images, small_dataset):
    model = exported / "mobile_float16.tflite"
    crop = small_dataset / read_manifest(small_dataset / "manifest.csv")[0].roi
    for path in bad_images:
        assert f"{path}: " in refused("embed", "--model", model, path)
        assert f"{path}: " in refused("verify", "--model", model, crop, path)


def test_bad_numbers(refused, exported):
    model = exported / "mobile_float16.tflite"
    for threads in ("two", "1,,2", "0", "-1", ""):
        message = refused("benchmark", "latency", "--model", model, "--threads", threads)
        assert "threads" in message
    assert "runs is 3" in refused("benchmark", "latency", "--model", model, "--runs", 3)


def test_splits_and_manifests(refused, exported, small_dataset, tmp_path):
    model = exported / "mobile_float16.tflite"
    shutil.copytree(small_dataset, tmp_path / "d", ignore=shutil.ignore_patterns("packed"))
    manifest, out = tmp_path / "d" / "manifest.csv", tmp_path / "out"
    rows = [row for row in read_manifest(manifest) if row.split == "test"]

    def evaluate(path):
        return refused("evaluate", "--model", model, "--manifest", path, "--out", out)

    assert str(tmp_path / "none.csv") in evaluate(tmp_path / "none.csv")
    (tmp_path / "d" / rows[0].roi).write_bytes(b"")
    assert str(tmp_path / "d" / rows[0].roi) in evaluate(manifest)
    (tmp_path / "d" / rows[0].roi).unlink()
    assert str(tmp_path / "d" / rows[0].roi) in evaluate(manifest)
    write_manifest(manifest, rows[:1])
    shutil.copy(small_dataset / rows[0].roi, tmp_path / "d" / rows[0].roi)
    assert "comparisons" in evaluate(manifest)
    write_manifest(manifest, [])
    assert "test" in evaluate(manifest)
    assert not out.exists()


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    refused, run_cli, tiny, tmp_path, small_dataset
):
    disk = tmp_path / "disk"
    disk.mkdir()
    recipe = write_recipe(tmp_path / "recipe.yaml", disk / "run", small_dataset, epochs=3)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")

    def resize(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)

    def until_full(*arguments):
        line = refused(*arguments)
        assert line.startswith(f"Error: {disk}{os.sep}run")
        assert "the disk is full" in line

    try:
        # No room from the start, and then a little more each time, so that it runs full at
        # each kind of file in turn.
        resize("4k")
        until_full("train", recipe)
        for size in ("40k", "80k", "120k", "150k", "170k"):
            resize(size)
            until_full("train", "--resume", disk / "run")
        resize("64m")
        assert run_cli("train", "--resume", disk / "run")[0] == 0
        run = RunFolder.open(disk / "run")
        assert [row["epoch"] for row in run.state().history] == [1, 2, 3]
        assert len(run.history_file.read_text().splitlines()) == 4
        assert sorted(path.name for path in run.checkpoints.iterdir()) == [
            "best.keras", "epoch-0003", "last.keras",
        ]  # fmt: skip
        json.loads(run.environment.read_text())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_written_is_named(refused, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    out = tmp_path / "file" / "eyes"
    assert str(tmp_path / "file") in refused("synthesize", "--out", out, "--subjects", 1)


def test_errors_of_the_program_are_not_hidden(capfd):
    def broken():
        raise ZeroDivisionError

    with pytest.raises(SystemExit) as ended:
        report_errors(broken)
    assert ended.value.code == 70
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_only_a_decision_has_status_1(command, small_images, tmp_path):
    first, second, *_ = sorted(small_images.glob("000/L/*.jpg"))
    other = sorted(small_images.glob("001/R/*.jpg"))[0]

    def status(*images, reader="cat"):
        done = subprocess.run(
            ["bash", "-c", f'"$@" 2> {tmp_path / "err"} | {reader}; exit ${{PIPESTATUS[0]}}', "-",
             command, "verify", *images],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return done.returncode

    assert status(first, second) == 0
    assert status(first, other) == 1
    # The reader has gone before there is a decision to read.
    assert status(first, second, reader="true") == 141
    assert (tmp_path / "err").read_text() == ""


def test_a_damaged_installation_is_no_decision():
    code = "import sys; sys.modules['typer'] = None; from iris_tf.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 70
    assert "typer" in done.stderr


def test_links_that_end_in_a_circle_are_one_sentence(run_cli, tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for images, out in ((tmp_path / "a", tmp_path / "out"), (tmp_path, tmp_path / "a")):
        status, _, error = run_cli("prepare", "--images", images, "--out", out)
        assert (status, error.count("Error: ")) == (2, 1)


def test_sigterm_ends_a_command_and_its_workers(command, tmp_path):
    out = tmp_path / "eyes"
    process = subprocess.Popen(
        [command, "synthesize", "--out", out, "--subjects", "500", "--jobs", "2"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: list(out.glob("*/*/*.jpg")))
    assert members(process.pid) > 1
    process.terminate()
    assert process.wait(timeout=60) == 143
    wait_for(lambda: not members(process.pid))
    assert not list(out.rglob(".*"))  # nothing half written


def test_workers_end_with_a_killed_command(command, tmp_path):
    out = tmp_path / "eyes"
    process = subprocess.Popen(
        [command, "synthesize", "--out", out, "--subjects", "500", "--jobs", "2"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: list(out.glob("*/*/*.jpg")))
    process.kill()
    process.wait()
    wait_for(lambda: not members(process.pid))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def members(session):
    """Number of running processes of a session."""
    listed = subprocess.run(["ps", "-o", "stat=", "-s", str(session)], capture_output=True)
    return sum(not line.startswith(b"Z") for line in listed.stdout.splitlines())


def test_names_cannot_steer_the_terminal(command, tmp_path):
    name = tmp_path / "clear\x1b[2J\u202egnp\udcff"
    done = subprocess.run([command, "verify", name, name], capture_output=True)
    assert done.returncode == 2
    message = done.stderr.decode()
    assert r"clear\x1b[2J\u202egnp\udcff" in message
    assert "\x1b" not in message


def test_a_terminal_of_another_encoding_shows_escapes(command, tmp_path):
    surroundings = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        [command, "verify", tmp_path / "\u773c.png", "b.png"], capture_output=True, env=surroundings
    )
    assert done.returncode == 2
    assert rb"\u773c.png" in done.stderr


def test_settings_of_keras_for_other_programs_do_not_count(tmp_path):
    settings = {"image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "from iris_tf.cli.console import load_tensorflow\nload_tensorflow()\n"
        "import keras\nconfig = keras.config\n"
        "print(config.backend(), config.image_data_format(), config.floatx(), config.epsilon())"
    )
    surroundings = os.environ | {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=surroundings
    )
    assert done.stdout == "tensorflow channels_last float32 1e-07\n", done.stderr


def test_an_aborted_prompt_is_no_decision():
    def aborted():
        raise SystemExit(1)

    with pytest.raises(SystemExit) as ended:
        report_errors(aborted)
    assert ended.value.code == 2


def test_an_output_that_cannot_be_written_is_told_before_the_work(refused, exported, tmp_path):
    (tmp_path / "images").mkdir()  # with nothing in it, which is told later
    (tmp_path / "file").write_text("")
    model = exported / "mobile_float32.tflite"
    for verb, *arguments in (
        ("calibrate", "--images", tmp_path / "images", "--out", tmp_path / "file" / "c.json"),
        ("identify", tmp_path / "no.png", "--gallery", tmp_path / "images",
         "--save-gallery", tmp_path / "file" / "g.npz"),
        ("evaluate", "--manifest", tmp_path / "none.csv", "--out", tmp_path / "file"),
        ("evaluate", "--manifest", tmp_path / "none.csv", "--out", tmp_path / "report",
         "--scores", tmp_path / "file" / "s.npz"),
    ):  # fmt: skip
        message = refused(verb, *arguments, "--model", model)
        assert message.startswith(f"Error: {tmp_path / 'file'}: Not a directory")
