import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iris_tf.data.iris_record import IrisRecord
from iris_tf.data.manifest import (
    ManifestRow,
    model_segmenter,
    read_manifest,
    read_settings,
    write_manifest,
)
from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.errors import DatasetError

BARE = ManifestRow("001/L/a.jpg", "casia-lamp", "001", "L", "001_L", "a")
FULL = ManifestRow(
    'Ana, née "B"/x;y.png', "folder", "Ana", "", "Ana", "x;y", "test", "roi/x.png", "16-bit",
    IrisRecord(Ellipse(10, 20.5, 3, 4, 0.25), Ellipse(11, 21, 30, 40, -1.5), 0.75),
)  # fmt: skip


def written(tmp_path, rows=(BARE, FULL)):
    write_manifest(tmp_path / "manifest.csv", rows)
    return tmp_path / "manifest.csv"


def edited(tmp_path, old, new):
    path = written(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


def test_round_trip(tmp_path):
    assert read_manifest(written(tmp_path)) == [BARE, FULL]


@pytest.mark.parametrize(
    ("again", "name"),
    [
        (FULL, 'Ana, née "B"/x;y.png'),
        (replace(FULL, image='Ana, née "B"/./x;y.png', roi=""), 'Ana, née "B"/./x;y.png'),
        (replace(FULL, image="y.png"), "roi/x.png"),
        (replace(FULL, image="y.png", roi="roi/../roi/x.png"), "roi/../roi/x.png"),
    ],
)
def test_an_image_that_is_listed_twice_is_refused(tmp_path, again, name):
    path = written(tmp_path, [BARE, FULL, again])
    with pytest.raises(DatasetError) as caught:
        read_manifest(path)
    assert str(caught.value) == (
        f"{path}, line 4: {name} is listed in line 3 already, and would be compared with itself; "
        "remove either line."
    )


def test_images_of_two_datasets_may_have_one_name(tmp_path):
    other = replace(FULL, dataset="iitd", roi="roi/y.png")
    assert read_manifest(written(tmp_path, [FULL, other])) == [FULL, other]


def test_the_table_is_plain_csv(tmp_path):
    with open(written(tmp_path), newline="", encoding="utf-8") as file:
        bare, full = csv.DictReader(file)
    assert bare["image"] == "001/L/a.jpg"
    assert bare["pupil_x"] == ""
    assert full["image"] == FULL.image
    assert full["iris_angle"] == "-1.5000"
    assert full["visible"] == "0.7500"


def test_numpy_floats_are_written_like_floats(tmp_path):
    third = np.float32(1 / 3)
    row = replace(BARE, iris=IrisRecord(Ellipse(*[third] * 5), Ellipse(*[third] * 5), third))
    path = written(tmp_path, [row])
    assert ",".join(["0.3333"] * 11) in path.read_text().splitlines()[1]


def test_a_manifest_of_before_there_were_quality_figures_is_read(tmp_path):
    path = written(tmp_path)
    lines = [line.split(",confidence,")[0] for line in path.read_text().splitlines()]
    figures = 10
    assert len(lines[0].split(",")) == 9 + 5 + 5 + 1
    old = [lines[0]] + [line.removesuffix("," * figures) for line in lines[1:]]
    path.write_text("\n".join(old) + "\n")
    assert read_manifest(path) == [BARE, FULL]
    assert read_manifest(path)[1].iris.sharpness is None


def test_quality_figures_are_written_and_read(tmp_path):
    iris = replace(FULL.iris, confidence=0.25, sharpness=31.5, iris_radius=101.0)
    row = replace(FULL, iris=iris)
    (read,) = read_manifest(written(tmp_path, [row]))
    assert read == row
    found = read.iris
    assert (found.confidence, found.sharpness, found.margin_adequacy) == (0.25, 31.5, None)


def test_a_manifest_of_images_without_irises_has_no_columns_for_them(tmp_path):
    path = written(tmp_path, [BARE, replace(BARE, image="001/L/b.jpg")])
    header = path.read_text().splitlines()[0]
    assert header == "image,dataset,subject,eye,identity,sample,split,roi,note"
    assert [row.iris for row in read_manifest(path)] == [None, None]


def test_a_manifest_of_the_version_before_is_rewritten_byte_for_byte(tmp_path):
    before = Path(__file__).with_name("version_0_1_0") / "manifest.csv"
    rows = read_manifest(before)
    assert len(rows) == 12 and rows[0].iris.sharpness > 0.0
    assert written(tmp_path, rows).read_bytes() == before.read_bytes()


def test_a_byte_order_mark_of_a_spreadsheet_does_not_matter(tmp_path):
    path = written(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_manifest(path) == [BARE, FULL]


def test_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv.*iris-tf prepare"):
        read_manifest(tmp_path / "none.csv")


def test_missing_columns_are_named(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("image,subject\na,b\n")
    with pytest.raises(DatasetError, match="dataset, eye, identity, sample"):
        read_manifest(path)


@pytest.mark.parametrize("content", (b"", b"\x89PNG\r\n\x1a\n\x00\xff\xfe", b"image\xff,\n"))
def test_other_files_are_no_manifest(tmp_path, content):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"manifest\.csv"):
        read_manifest(path)


def test_bad_cells_are_named_with_their_line(tmp_path):
    with pytest.raises(DatasetError, match="line 3: visible is 'much'"):
        read_manifest(edited(tmp_path, "0.7500", "much"))
    with pytest.raises(DatasetError, match="line 3: the split 'exam'"):
        read_manifest(edited(tmp_path, ",test,", ",exam,"))
    with pytest.raises(DatasetError, match="line 3: iris_x is empty"):
        read_manifest(edited(tmp_path, ",11.0000,", ",,"))
    with pytest.raises(DatasetError, match="line 2: identity is empty"):
        read_manifest(edited(tmp_path, ",001_L,", ",,"))


def test_a_failed_write_leaves_the_old_table(tmp_path):
    path = written(tmp_path)
    before = path.read_bytes()

    def rows():
        yield BARE
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_manifest(path, rows())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


SETTINGS = {
    "images": "/eyes", "layout": "iitd", "segmenter": "opencv", "roi_mode": "aligned",
    "split_by": "subject", "seed": 0, "synthetic": False, "channels": 1,
}  # fmt: skip


def test_settings_are_read_back(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"complete": True, "settings": SETTINGS}))
    assert read_settings(path) == SETTINGS


def test_settings_of_version_0_1_0_are_read_as_those_of_today(tmp_path):
    path = tmp_path / "dataset.json"
    earlier = {key: value for key, value in SETTINGS.items() if key != "channels"}
    path.write_text(json.dumps({"settings": earlier | {"split_by": "person"}}))
    assert read_settings(path) == SETTINGS
    strips = {"images": "drawn as strips", "segmenter": "network", "roi_mode": "unrolled"}
    path.write_text(json.dumps({"settings": earlier | strips}))
    read = read_settings(path)
    assert (read["segmenter"], model_segmenter(read)) == ("none", "network")
    assert model_segmenter(SETTINGS) == "opencv"


@pytest.mark.parametrize("content", (None, "", "{", "[]", "{}", '{"settings": []}'))
def test_other_files_hold_no_settings(tmp_path, content):
    path = tmp_path / "dataset.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DatasetError, match=r"dataset\.json: is missing or not written by"):
        read_settings(path)


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - {"channels"}))
def test_a_missing_setting_is_named(tmp_path, name):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"settings": {k: v for k, v in SETTINGS.items() if k != name}}))
    with pytest.raises(DatasetError, match=f"{name} is missing"):
        read_settings(path)


@pytest.mark.parametrize("path", ["/etc/passwd.png", "../private.png", "roi/../../private.png"])
@pytest.mark.parametrize("cell", ["roi/x.png", "001/L/a.jpg"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, cell, path):
    manifest = edited(tmp_path, cell, path)
    with pytest.raises(
        DatasetError, match=r"line [23]: .* which leads out of its folder"
    ) as caught:
        read_manifest(manifest)
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("images", 5), ("split_by", ["subject"]), ("seed", "1"), ("channels", True), ("layout", None)],
)
def test_settings_of_another_type_are_refused(tmp_path, name, value):
    settings = {
        "images": "eyes", "layout": "folder", "segmenter": "opencv", "roi_mode": "aligned",
        "split_by": "subject", "seed": 0, "synthetic": False,
    }  # fmt: skip
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"settings": settings}))
    assert read_settings(path)["channels"] == 1
    path.write_text(json.dumps({"settings": settings | {name: value}}))
    with pytest.raises(DatasetError, match=f"{name} in the settings is"):
        read_settings(path)
