import csv

import numpy as np
import pytest

from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.lfw_halves import write_lfw_halves
from iris_tf.evaluation.lfw_pairs import read_lfw_pairs
from iris_tf.imaging.images import write_png
from iris_tf.support.errors import EvaluationError, OutputError

# Four folds of one genuine and one impostor comparison: A B, C D, E F, G B.
PAIRS = "4\t1\n" + "".join(
    f"{one}\t1\t2\n{one}\t1\t{two}\t1\n" for one, two in ("AB", "CD", "EF", "GB")
)


@pytest.fixture
def lfw(tmp_path):
    """Subjects A to H with two images each, and twenty-five more with one or two."""
    folder = tmp_path / "lfw"
    more = {f"X{number:02d}": 1 + number % 2 for number in range(50)}
    for name, samples in (dict.fromkeys("ABCDEFGH", 2) | more).items():
        (folder / name).mkdir(parents=True)
        for sample in range(1, samples + 1):
            write_png(folder / name / f"{name}_{sample:04d}.png", np.zeros((32, 32), np.uint8))
    (tmp_path / "pairs.txt").write_text(PAIRS)
    return folder


def splits(half):
    with open(half.split, newline="") as file:
        return {row["subject"]: row["split"] for row in csv.DictReader(file)}


def test_each_half_tests_its_folds_and_trains_on_all_others(lfw, tmp_path):
    first, second = write_lfw_halves(lfw, tmp_path / "pairs.txt", tmp_path / "out")
    assert (first.split.parent.name, second.split.parent.name) == ("half1", "half2")
    one, two = splits(first), splits(second)
    assert {name for name in one if one[name] == "test"} == set("ABCD")
    assert {name for name in two if two[name] == "test"} == set("EFGB")
    assert one.keys() == two.keys()
    assert len(one) == 58
    assert first.subjects == {
        "test": 4,
        "val": 2,  # of E to H and the 25 others with two images, every tenth
        "train": 52,
    }
    assert [name for name in one if one[name] == "val"] == ["X11", "X31"]
    assert "H" in one
    assert one["H"] == "train"  # in no comparison


def test_the_pairs_of_the_halves_are_those_of_the_list(lfw, tmp_path):
    halves = write_lfw_halves(lfw, tmp_path / "pairs.txt", tmp_path / "out")
    lines = [half.pairs.read_text().splitlines() for half in halves]
    assert [own[0] for own in lines] == ["2\t1", "2\t1"]
    assert [*lines[0][1:], *lines[1][1:]] == PAIRS.splitlines()[1:]
    rows = [
        ManifestRow(f"{name}/{name}_{n:04d}.png", "lfw", name, "", name, str(n))
        for name in "EFGB"
        for n in (1, 2)
    ]
    found = read_lfw_pairs(halves[1].pairs, rows)
    assert found.genuine.tolist() == [[0, 1], [4, 5]]


def test_too_few_folds(lfw, tmp_path):
    (tmp_path / "pairs.txt").write_text("2\t1\n" + "\n".join(PAIRS.splitlines()[1:5]))
    with pytest.raises(EvaluationError, match="has 2 folds, but each half needs two"):
        write_lfw_halves(lfw, tmp_path / "pairs.txt", tmp_path / "out")


def test_files_of_others_are_not_overwritten(lfw, tmp_path):
    write_lfw_halves(lfw, tmp_path / "pairs.txt", tmp_path / "out")
    write_lfw_halves(lfw, tmp_path / "pairs.txt", tmp_path / "out")
    own = tmp_path / "out" / "half1" / "split.csv"
    own.write_text("name,split\n")
    with pytest.raises(OutputError, match=r"split\.csv: exists"):
        write_lfw_halves(lfw, tmp_path / "pairs.txt", tmp_path / "out")
