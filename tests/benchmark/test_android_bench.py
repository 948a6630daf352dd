"""`android_demo/bench.sh` with a phone that is a folder."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "android_demo"
PHONE = DEMO / "core" / "src" / "test" / "resources" / "phone_result.json"
FILES = "sdcard/Android/data/org.iristf.demo/files"
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="bench.sh needs bash")

# Like the real one, `adb shell` joins its arguments and lets the phone's shell take them apart.
ADB = """
cd "$PHONE"
case "$1" in
    get-state) test -e connected ;;
    push) cp "$2" "$PHONE$3" ;;
    pull) cp "$PHONE$2" "$3" ;;
    shell) shift; PATH="$PHONE/bin:$PATH" sh -c "$(echo "$*" | sed "s#/sdcard#$PHONE/sdcard#g")" ;;
esac
"""
# What `am start` does: the app makes its folder, and answers a plan with what lies ready.
AM = f"""
[ "$1 $2 $3" = "start -n org.iristf.demo/.MainActivity" ] || exit 1
shift 3
while [ $# -gt 0 ]; do
    [ "$1" = --es ] || exit 1
    printf %s "$3" > "$2.extra"
    shift 3
done
[ -e broken ] || /bin/mkdir -p {FILES}/models
[ -e plan.extra ] || exit 0
for answer in answer.*; do cp "$answer" "{FILES}/$(cat token.extra).${{answer#answer.}}"; done
"""


def program(path, text, interpreter="/bin/sh"):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{interpreter}\n{text}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def phone(tmp_path):
    folder = tmp_path / "phone"
    program(tmp_path / "bin" / "adb", ADB)
    program(tmp_path / "bin" / "sleep", "")
    main = f"import sys\nsys.path.insert(0, {str(DEMO.parent)!r})\nfrom iris_tf.cli import main\n"
    program(tmp_path / "bin" / "iris-tf", main + "main()\n", sys.executable)
    folder.mkdir()
    program(folder / "bin" / "am", AM)
    program(folder / "bin" / "pm", "test -e installed")
    program(folder / "bin" / "input", "")
    program(folder / "bin" / "getprop", r"printf 'Some phone\r\n'")
    program(folder / "bin" / "mkdir", "exit 1")  # folders are made by the app
    (folder / "connected").touch()
    (folder / "installed").touch()
    return folder


def bench(phone, *arguments, minutes="1", path=None):
    tools = phone.parent / "bin"
    return subprocess.run(
        [BASH, str(DEMO / "bench.sh"), *map(str, arguments)],
        env=os.environ | {"PHONE": str(phone), "BENCH_MINUTES": minutes,
                          "PATH": path or f"{tools}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip


def test_models_are_pushed_the_plan_is_run_and_the_result_imported(phone, tmp_path):
    shutil.copy(PHONE, phone / "answer.json")
    models = [tmp_path / "a model.tflite", tmp_path / "b.tflite"]
    for model in models:
        model.write_text(model.name)
    plan = '{"backends": ["gpu"], "models": ["a model.tflite", "b.tflite"], "runs": 200}'
    done = bench(phone, tmp_path / "out", "--plan", plan, *models)
    assert done.returncode == 0, done.stderr
    assert "Some phone;" in done.stdout
    assert (phone / "plan.extra").read_text() == plan
    for model in models:
        assert (phone / FILES / "models" / model.name).read_text() == model.name
    (kept,) = (tmp_path / "out" / "results").iterdir()
    assert json.loads(kept.read_text()) == json.loads(PHONE.read_text())
    assert not list((phone / FILES).glob("*.json")), "the phone is left as it was"


def test_without_plan_and_models(phone, tmp_path):
    shutil.copy(PHONE, phone / "answer.json")
    done = bench(phone, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    plan = json.loads((phone / "plan.extra").read_text())
    assert plan == {"backends": ["cpu-xnnpack", "gpu"], "threads": [1, 2, 4]}
    assert (tmp_path / "out" / "latency.csv").is_file()


def test_what_the_phone_says_instead_of_a_result_is_said(phone, tmp_path):
    (phone / "answer.txt").write_text("Benchmark plan: runs is 3.\n")
    done = bench(phone, tmp_path / "out", "--plan", '{"runs": 3}')
    assert done.returncode == 2
    assert done.stderr == "Error: the phone says: Benchmark plan: runs is 3.\n"
    assert not (tmp_path / "out").exists()


def test_a_broken_result_is_named_and_not_imported(phone, tmp_path):
    (phone / "answer.json").write_text("{}")
    done = bench(phone, tmp_path / "out")
    assert done.returncode != 0
    assert "schema is missing" in done.stderr
    assert not (tmp_path / "out").exists()


def test_bad_arguments_are_refused_with_a_sentence(phone, tmp_path):
    for arguments, message in (
        ((), "say where results are collected"),
        (("out", "--plan"), "--plan needs a plan"),
        (("out", "--plan", "{'runs': 50}"), "must not contain single quotes"),
        (("out", tmp_path / "none.tflite"), "there is no such file"),
    ):
        done = bench(phone, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
    assert not (phone / "plan.extra").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda phone: (phone / "connected").unlink(), "adb sees no phone"),
        (lambda phone: (phone / "installed").unlink(), "the app is not installed"),
        (lambda phone: (phone.parent / "bin" / "adb").unlink(), "adb is not installed"),
        (lambda phone: (phone.parent / "bin" / "iris-tf").unlink(), "iris-tf is not installed"),
        (lambda phone: (phone / "broken").touch(), "the app does not start"),
    ],
)
def test_what_is_missing_is_said(phone, tmp_path, change, message):
    change(phone)
    model = tmp_path / "m.tflite"
    model.touch()
    # Only what the script needs, so that a real adb is not found.
    for name in ("bash", "sh", "sed", "cat", "cp", "ls", "test", "date", "tr"):
        (phone.parent / "bin" / name).symlink_to(shutil.which(name))
    done = bench(phone, tmp_path / "out", model, path=str(phone.parent / "bin"))
    assert done.returncode == 2
    assert f"Error: {message}" in done.stderr


def test_a_phone_that_does_not_answer_is_given_up(phone, tmp_path):
    program(phone / "bin" / "am", "")
    done = bench(phone, tmp_path / "out", minutes="0")
    assert done.returncode == 2
    assert "no result within 0 minutes" in done.stderr
