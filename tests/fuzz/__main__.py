"""Many mutants of each format, each format in a process of its own.

    PYTHONPATH=tests python -m fuzz [SEED] [FORMAT ...]

prints a line for each format, and exits with status 1 if there was a defect: an exception that is
not the project's, a message that is not one short sentence, a crash or a hang.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.targets import TARGETS, run


def one_format(name, seed, folder):
    """In a process of its own, which a crash may end."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    progress = Path(folder) / "number"
    made = run(name, seed, TARGETS[name].in_full, Path(folder) / "files",
               lambda number: progress.write_text(str(number)))  # fmt: skip
    (Path(folder) / "result.json").write_text(json.dumps(made))


def fuzz(name, seed):
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        code = f"from fuzz.__main__ import one_format; one_format({name!r}, {seed}, {folder!r})"
        ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
        result = Path(folder) / "result.json"
        if result.is_file():
            accepted, defects = json.loads(result.read_text())
        else:
            number = (Path(folder) / "number").read_text()
            accepted, defects = (
                0,
                [f"{name} {seed} {number}: {ended.returncode} {ended.stderr[-500:]}"],
            )
        count = TARGETS[name].in_full
        print(f"{name}: {count} mutants, {accepted} accepted, {len(defects)} defects, "
              f"{time.monotonic() - start:.0f} s", flush=True)  # fmt: skip
        for defect in defects:
            print(f"  {defect}", flush=True)
        return defects


if __name__ == "__main__":
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    sys.exit(any([fuzz(name, seed) for name in sys.argv[2:] or TARGETS]))
