import csv
import json
import subprocess
import sys
from pathlib import Path

import fuzz_images

from iris_tf.imaging.images import read_image
from iris_tf.preparation.prepare_dataset import prepare

ROOT = Path(__file__).parents[2]
MEBIBYTES = 600  # of address space beyond what libraries take


def test_damaged_images_are_failures_and_never_crashes_or_memory():
    done = subprocess.run(
        [sys.executable, "tests/fuzz_images.py", "0", "600", str(MEBIBYTES)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["bugs"] == []
    assert sum(result["ends"].values()) == 600
    # The mutations are of use only if both ends of the pipeline saw some.
    assert sum(n for end, n in result["ends"].items() if end.endswith("prepared")) > 60
    assert sum(n for end, n in result["ends"].items() if end.endswith("unreadable")) > 200
    assert result["grown_mebibytes"] < MEBIBYTES / 2


def test_a_folder_of_damaged_images_is_prepared(tmp_path):
    paths = fuzz_images.write_mutations(tmp_path / "eyes", 1, 500)
    dataset = prepare(tmp_path / "eyes", tmp_path / "out", layout="folder", jobs=2)
    with open(tmp_path / "out" / "failures.csv", newline="", encoding="utf-8") as file:
        failures = {row["image"]: row["reason"] for row in csv.DictReader(file)}
    assert "internal" not in failures.values()
    images = {path.relative_to(tmp_path / "eyes").as_posix() for path in paths}
    assert {row.image for row in dataset.rows} | failures.keys() == images
    assert len(dataset.rows) + len(failures) == 500
    for row in dataset.rows:
        assert read_image(dataset.folder / row.roi).pixels.any()
