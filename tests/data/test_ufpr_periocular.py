"""A made folder in the layout of UFPR-Periocular: its protocol files become tables."""

import cv2
import numpy as np
import pytest

from iris_tf.data.layouts import read_layout
from iris_tf.data.manifest import read_manifest
from iris_tf.data.ufpr_periocular import write_ufpr_protocol
from iris_tf.evaluation.pair_lists import read_pairs
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.support.errors import DatasetError, OutputError


def name(subject, session, sample, eye):
    return f"C{subject:04d}S{session}I{sample}{eye}.jpg"


@pytest.fixture
def ufpr(tmp_path):
    images = tmp_path / "ufpr" / "periocularCropped"
    protocol = tmp_path / "ufpr" / "experimentalProtocol" / "open_world"
    (protocol / "test_pairs" / "fold1").mkdir(parents=True)
    images.mkdir()
    rng = np.random.default_rng(0)
    of_split = {"train": (1, 2), "val": (3,), "test": (4, 5)}
    for split, subjects in of_split.items():
        lines = []
        for subject in subjects:
            for eye in "LR":
                for sample in (1, 2):
                    file = name(subject, 1, sample, eye)
                    cv2.imwrite(str(images / file), rng.integers(0, 255, (70, 90, 3), np.uint8))
                    lines.append(f"{file} {2 * subject + (eye == 'R')} 33 1")
        (protocol / f"{split}_fold1.txt").write_text("\n".join(lines) + "\n")
    a, b = name(4, 1, 1, "L"), name(4, 1, 2, "L")
    c, d = name(5, 1, 1, "L"), name(4, 1, 1, "R")
    pairs = protocol / "test_pairs" / "fold1"
    (pairs / "1.txt").write_text(f"{a} {b} 1\n{a} {c} 0\n")
    (pairs / "2.txt").write_text(f"{b} {a} 1\n{a} {d} 0\n{a} {a} 1\n")
    return tmp_path / "ufpr"


def test_images_are_eyes_of_subjects(ufpr):
    scan = read_layout(ufpr / "periocularCropped")
    assert scan.name == "ufpr-periocular"
    row = scan.rows[0]
    assert (row.subject, row.eye, row.identity, row.sample) == ("0001", "L", "0001_L", "S1I1")


def test_a_fold_becomes_splits_and_lists(ufpr, tmp_path):
    files = write_ufpr_protocol(ufpr, "open", 1, tmp_path / "fold1")
    split, genuine, impostor = files
    dataset = prepare(
        ufpr / "periocularCropped", tmp_path / "data", segmenter="none", roi_mode="whole",
        channels=3, jobs=1, split=split,
    )  # fmt: skip
    rows = read_manifest(dataset.folder / "manifest.csv")
    found = {row.subject: row.split for row in rows}
    assert found == {
        "0001": "train", "0002": "train", "0003": "val", "0004": "test", "0005": "test",
    }  # fmt: skip
    test = [row for row in rows if row.split == "test"]
    # The pair listed again in the other order, and the image with itself, are left out.
    assert len(read_pairs(genuine, test, genuine=True)) == 1
    assert len(read_pairs(impostor, test, genuine=False)) == 2


@pytest.mark.parametrize(
    ("world", "fold", "message"),
    [
        ("half", 1, "world 'half' is unknown"),
        ("open", 4, "fold 4 is unknown"),
        ("open", 2, r"train_fold2\.txt: cannot be read"),
        ("open-valopen", 1, "cannot be read"),
    ],
)
def test_protocols_that_there_are_not(ufpr, tmp_path, world, fold, message):
    with pytest.raises(DatasetError, match=message):
        write_ufpr_protocol(ufpr, world, fold, tmp_path / "out")


def test_damaged_files(ufpr, tmp_path):
    protocol = ufpr / "experimentalProtocol" / "open_world"
    pairs = protocol / "test_pairs" / "fold1" / "2.txt"
    pairs.write_text("a.jpg b.jpg 1\na.jpg b.jpg x\n")
    with pytest.raises(DatasetError, match=r"2\.txt, line 2: a comparison must be 1"):
        write_ufpr_protocol(ufpr, "open", 1, tmp_path / "out")
    pairs.write_text("a.jpg b.jpg 1\na.jpg\n")
    with pytest.raises(DatasetError, match=r"2\.txt, line 2: has 1 fields, but needs 3"):
        write_ufpr_protocol(ufpr, "open", 1, tmp_path / "out")


@pytest.mark.parametrize("mine", ["split.csv", "genuine.csv", "impostor.csv"])
def test_tables_of_others_are_not_overwritten(ufpr, tmp_path, mine):
    out = tmp_path / "out"
    out.mkdir()
    (out / mine).write_text("kept")
    with pytest.raises(OutputError, match=f"{mine}: exists and is no earlier output"):
        write_ufpr_protocol(ufpr, "open", 1, out)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(mine, "kept")]
    (out / mine).unlink()
    first = [path.read_text() for path in write_ufpr_protocol(ufpr, "open", 1, out)]
    assert [path.read_text() for path in write_ufpr_protocol(ufpr, "open", 1, out)] == first


# -- The closed world: all splits have images of the same eyes ------------------------------------


@pytest.fixture
def closed(ufpr):
    """One image of each eye in training, one in validation or test; the protocol lists no pairs."""
    protocol = ufpr / "experimentalProtocol" / "closed_world"
    protocol.mkdir()
    lines = {"train": [], "val": [], "test": []}
    for subject in range(1, 6):
        for eye in "LR":
            lines["train"].append(f"{name(subject, 1, 1, eye)} {2 * subject + (eye == 'R')}")
            other = "val" if subject == 3 else "test"
            lines[other].append(f"{name(subject, 1, 2, eye)} {2 * subject + (eye == 'R')}")
    for split, rows in lines.items():
        (protocol / f"{split}_fold1.txt").write_text("\n".join(rows) + "\n")
    return ufpr


def prepare_closed(closed, tmp_path, **options):
    (table,) = write_ufpr_protocol(closed, "closed", 1, tmp_path / "fold1")
    return prepare(
        closed / "periocularCropped", tmp_path / "data", segmenter="none", roi_mode="whole",
        channels=3, jobs=1, split=table, **options,
    )  # fmt: skip


def test_a_closed_world_is_split_by_image(closed, tmp_path):
    dataset = prepare_closed(closed, tmp_path, split_by="image")
    of_split = {
        split: {row.identity for row in dataset.rows if row.split == split}
        for split in ("train", "val", "test")
    }
    assert len(of_split["train"]) == 10
    assert of_split["val"] == {"0003_L", "0003_R"}
    assert len(of_split["test"]) == 8
    assert of_split["test"] < of_split["train"]
    prepared = PreparedSet.read(dataset.manifest)
    assert len(prepared.of_split("test")) == 8  # its identities are on both sides, as intended
    assert prepared.failed_of_split("test") == []


def test_pairs_of_a_closed_world_are_tables_where_there_are_any(closed, tmp_path):
    pairs = closed / "experimentalProtocol" / "closed_world" / "test_pairs" / "fold1"
    pairs.mkdir(parents=True)
    one, two = name(1, 1, 2, "L"), name(2, 1, 2, "L")
    (pairs / "1.txt").write_text(f"{one} {two} 0\n")
    files = write_ufpr_protocol(closed, "closed", 1, tmp_path / "fold1")
    assert [file.name for file in files] == ["split.csv", "genuine.csv", "impostor.csv"]


def test_identities_on_both_sides_are_refused_unless_asked_for(closed, tmp_path):
    with pytest.raises(DatasetError, match="on both sides of the split"):
        prepare_closed(closed, tmp_path)
    table = tmp_path / "fold1" / "split.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DatasetError, match=r"no split for 1 images .* such as C0005S1I2R\.jpg"):
        prepare(
            closed / "periocularCropped", tmp_path / "data", segmenter="none", roi_mode="whole",
            split=table, split_by="image",
        )  # fmt: skip
    with pytest.raises(DatasetError, match="Splits by image come from a table"):
        prepare(
            closed / "periocularCropped", tmp_path / "data", segmenter="none", roi_mode="whole",
            split_by="image",
        )  # fmt: skip
