"""What `prepare` says about files, labels and splits that it was given."""

import csv
import json
import shutil

import cv2
import pytest
from prepared_eyes import draw_folder, drawn_eye, failures_of, image_names, prepare

from iris_tf.data.manifest import read_manifest
from iris_tf.support.errors import DatasetError


def draw(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), drawn_eye(i)[0])
    return folder


@pytest.fixture
def eyes(tmp_path):
    return draw(tmp_path / "my eyes", *(f"{who}/{n}.png" for who in "abc" for n in "12"))


def test_files_of_kinds_that_are_not_read_are_counted_and_listed(eyes, tmp_path):
    for name in ("a/3.gif", "a/4.GIF", "d/1.heic", "notes.txt"):
        (eyes / name).parent.mkdir(exist_ok=True)
        (eyes / name).write_bytes(b"x")
    cv2.imwrite(str(eyes / "e.png"), drawn_eye(9)[0])  # does not fit the layout
    (eyes / "f").mkdir()
    (eyes / "f" / "1.png").write_bytes(b"")
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    assert dataset.counts["not_read"] == {".gif": 2, ".heic": 1}
    assert dataset.counts["without_images"] == {"identities": 2, "examples": ["f", "d"]}
    failures = failures_of(dataset.folder)
    detail = "Files ending in .gif are not read; convert them to PNG."
    assert failures["a/3.gif"] == failures["a/4.GIF"] == ("not_read", detail)
    assert failures.keys() == {"a/3.gif", "a/4.GIF", "d/1.heic", "f/1.png"}
    # They are no failures to extract.
    assert dataset.counts["images"] == 7
    assert dataset.failures == {"unreadable": 1}


def test_more_files_that_are_not_read_are_noticed_in_a_finished_dataset(eyes, tmp_path):
    prepare(eyes, tmp_path / "out", jobs=1)
    (eyes / "a" / "3.webp").write_bytes(b"x")
    assert prepare(eyes, tmp_path / "out", jobs=1).counts["not_read"] == {".webp": 1}
    (eyes / "a" / "3.webp").unlink()
    assert "not_read" not in prepare(eyes, tmp_path / "out", jobs=1).counts


def test_copies_in_another_file_format_are_duplicates(eyes, tmp_path):
    pixels = cv2.imread(str(eyes / "a" / "1.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(eyes / "a" / "3.bmp"), pixels)
    shutil.copy(eyes / "a" / "3.bmp", eyes / "a" / "4.bmp")
    shutil.copy(eyes / "a" / "1.png", eyes / "a" / "5.png")
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    assert failures_of(dataset.folder) == {
        "a/3.bmp": ("duplicate", "The file has the same pixels as a/1.png."),
        "a/4.bmp": ("duplicate", "The file has the same pixels as a/1.png."),
        "a/5.png": ("duplicate", "The file has the same bytes as a/1.png."),
    }
    assert not any("two identities" in hint for hint in dataset.counts["hints"])


def test_an_image_under_two_identities_is_pointed_out(eyes, tmp_path):
    shutil.copy(eyes / "a" / "1.png", eyes / "c" / "7.png")
    hint = prepare(eyes, tmp_path / "out", jobs=1).counts["hints"][0]
    assert hint == (
        "1 images lie under two identities, such as c/7.png and a/1.png: one of the labels is "
        "wrong; the first is kept"
    )


def test_both_eyes_in_one_folder_are_pointed_out(tmp_path):
    names = [f"{who}/aeva{side}{n}.png" for who in "abc" for side in "lr" for n in "12"]
    images = draw(tmp_path / "eyes", *names)
    (hint,) = prepare(images, tmp_path / "out", jobs=1).counts["hints"]
    assert hint.startswith("names of images look like sides (a/aeval1.png, a/aevar1.png)")
    assert prepare(images, tmp_path / "out", jobs=1).counts["hints"] == [hint]
    faces = prepare(images, tmp_path / "faces", segmenter="none", roi_mode="whole", jobs=1)
    assert "hints" not in faces.counts


def test_a_dataset_is_called_like_its_folder(eyes, tmp_path):
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    assert {row.dataset for row in dataset.rows} == {"my eyes"}
    assert json.loads((dataset.folder / "dataset.json").read_text())["name"] == "my eyes"
    # The split does not depend on it.
    moved = shutil.copytree(eyes, tmp_path / "moved")
    again = prepare(moved, tmp_path / "again", jobs=1)
    assert [row.split for row in again.rows] == [row.split for row in dataset.rows]


def test_a_dataset_of_the_first_version_keeps_its_name(eyes, tmp_path):
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    description = json.loads((dataset.folder / "dataset.json").read_text())
    del description["name"]
    (dataset.folder / "dataset.json").write_text(json.dumps(description))
    (dataset.folder / "manifest.csv").unlink()
    assert {row.dataset for row in prepare(eyes, tmp_path / "out", jobs=1).rows} == {"folder"}


def test_a_split_of_ones_own(tmp_path):
    images = draw_folder(tmp_path / "eyes", persons=3, images=2)
    (images / image_names(3, 2)[0]).write_bytes(b"")
    table = tmp_path / "split.csv"
    table.write_text("subject,split\n000,test\n001,train\n002,test\n")
    dataset = prepare(images, tmp_path / "out", split=table, jobs=1)
    splits = {row.subject: row.split for row in dataset.rows}
    assert splits == {"000": "test", "001": "train", "002": "test"}
    with open(dataset.folder / "failures.csv", newline="") as file:
        (failure,) = csv.DictReader(file)
    assert failure["split"] == "test"
    assert prepare(images, tmp_path / "out", split=table, jobs=1).rows == dataset.rows
    with pytest.raises(DatasetError, match=r"dataset of other settings \(split_table "):
        prepare(images, tmp_path / "out", jobs=1)
    table.write_text("subject,split\n000,train\n001,train\n002,test\n")
    with pytest.raises(DatasetError, match=r"dataset of other settings \(split_table "):
        prepare(images, tmp_path / "out", split=table, jobs=1)
    again = prepare(images, tmp_path / "manifest", split=dataset.manifest, jobs=1)
    assert read_manifest(again.manifest) == dataset.rows
