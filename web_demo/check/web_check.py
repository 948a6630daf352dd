"""Check the page for browsers: types, style, unit tests, the build, and the page in Chromium.

    python web_demo/check/web_check.py

Each step passes, fails, or is skipped because a tool is missing; the exit status is 1 if a step
failed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "android_demo" / "check"))

import check_steps
from check_steps import Missing, made, run_steps

DEMO = Path(__file__).resolve().parents[1]
BUILD = DEMO / "build"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
NODE = 20  # least main version
PACKAGES = "nodejs (from 20 on) with npm, openjdk-17-jdk-headless (or newer) and chromium"


def program(name: str) -> str:
    """Path of a program."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is missing; install {PACKAGES}.")
    return found


def run(command: Sequence[str | Path], shown: Sequence[str] = (), **options) -> str:
    """Run a command in the page's folder; return its lines of output that hold one of `shown`."""
    lines = [line.strip() for line in check_steps.run(command, cwd=DEMO, **options).splitlines()]
    return "; ".join(line for line in lines if any(word in line for word in shown))


def npm(*arguments: str, shown: Sequence[str] = ()) -> str:
    """Run npm without colours."""
    return run([program("npm"), *arguments], shown, env=os.environ | {"NO_COLOR": "1", "CI": "1"})


def packages() -> None:
    """Install the packages of package-lock.json."""
    version = run([program("node"), "--version"], shown="v")
    if int(version.lstrip("v").split(".")[0]) < NODE:
        raise Missing(f"Node.js {version} is too old; install {PACKAGES}.")
    stamp = DEMO / "node_modules" / ".package-lock.json"
    lock = DEMO / "package-lock.json"
    if not stamp.exists() or stamp.stat().st_mtime < lock.stat().st_mtime:
        npm("ci", "--no-progress")


def core() -> None:
    """Compile the app's core to JavaScript."""
    made(DEMO / "node_modules")
    program("java")
    npm("run", "core")


def types() -> None:
    """Check types."""
    made(BUILD / "core" / "core.mjs")
    npm("run", "types")


def style() -> None:
    """Lint."""
    made(BUILD / "core" / "core.mjs")
    npm("run", "lint")


def unit_tests() -> str:
    """Run the unit tests, also against the fixtures of the app and of Python."""
    made(BUILD / "core" / "core.mjs")
    return npm("run", "unit", shown=["Tests "])


def page() -> str:
    """Build the page."""
    made(BUILD / "core" / "core.mjs")
    npm("run", "build")
    files = [path for path in (DEMO / "dist").rglob("*") if path.is_file()]
    return f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1e6:.1f} MB"


def reference() -> None:
    """Write photographs with Python's results."""
    python = os.environ | {"PYTHONPATH": str(DEMO.parent)}
    probe = [sys.executable, "-c", "import iris_tf.recognition.recognizer"]
    if subprocess.run(probe, check=False, env=python, stderr=subprocess.DEVNULL).returncode != 0:
        raise Missing(f"{sys.executable} lacks the project's dependencies; run `make test` once.")
    shutil.rmtree(BUILD / "reference", ignore_errors=True)
    run([sys.executable, DEMO / "check" / "reference.py", BUILD / "reference"], env=python)


def browser() -> str:
    """Test the page in Chromium, and import its benchmark with Python."""
    made(DEMO / "dist" / "sw.js")
    made(BUILD / "reference" / "reference.json")
    if not Path(CHROMIUM).exists():
        raise Missing(f"{CHROMIUM} is missing; install {PACKAGES}, or set CHROMIUM to its path.")
    found = npm("run", "browser", shown=["Tests ", "The first load has", "crops differ"])
    collected = BUILD / "collected"
    shutil.rmtree(collected, ignore_errors=True)
    command = (
        "import sys; from iris_tf.benchmark.collection import import_results; "
        "found = import_results([sys.argv[1]], sys.argv[2]); "
        "print(f'{found.rows} rows imported, {found.invalid} invalid')"
    )
    python = os.environ | {"PYTHONPATH": str(DEMO.parent)}
    result = made(BUILD / "browser_result.json")
    imported = run([sys.executable, "-c", command, result, collected], ["imported"], env=python)
    return f"{found}; {imported}"


STEPS: tuple[Callable[[], str | None], ...] = (
    packages, core, types, style, unit_tests, page, reference, browser,
)  # fmt: skip


def main() -> int:
    """Run all steps and print their results."""
    for stale in (DEMO / "dist", BUILD / "browser_result.json"):
        shutil.rmtree(stale, ignore_errors=True)
        stale.unlink(missing_ok=True)
    return run_steps(STEPS)


if __name__ == "__main__":
    sys.exit(main())
