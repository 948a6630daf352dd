import dataclasses
import json

import pytest

from iris_tf.data.manifest import write_manifest
from iris_tf.evaluation.prepared_sets import PreparedSet, read_prepared_sets
from iris_tf.support.errors import DatasetError, EvaluationError

SETTINGS = {
    "images": "eyes", "layout": "folder", "segmenter": "network", "synthetic": False,
    "roi_mode": "unrolled", "split_by": "subject", "seed": 0, "channels": 1,
}  # fmt: skip


@pytest.fixture
def manifest(tmp_path, rows_of):
    def manifest(name, **changes):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        content = {"settings": SETTINGS | changes, "counts": {"failures": {"occluded": 2}}}
        (folder / "dataset.json").write_text(json.dumps(content))
        rows = [
            dataclasses.replace(row, roi=f"roi/{row.image}", split=split)
            for row, split in zip(rows_of([("a", "L"), ("b", "R")]), ("train", "test"), strict=True)
        ]
        write_manifest(folder / "manifest.csv", rows)
        return folder / "manifest.csv"

    return manifest


def test_one_set_keeps_its_names(manifest, tmp_path):
    [only] = read_prepared_sets([manifest("one")])
    assert only.settings == SETTINGS
    assert only.failures == {"occluded": 2}
    assert only.failed is None  # there is no failures.csv
    first, second = only.of_split("all")
    assert (first.dataset, first.image, first.roi) == ("set", "0.png", "roi/0.png")
    assert only.crop(first) == tmp_path / "one" / "roi" / "0.png"
    assert only.of_split("test") == [second]


def test_several_are_told_apart_by_their_folders(manifest, tmp_path):
    sets = read_prepared_sets([manifest("one"), manifest("two", segmenter="network")])
    for each, name in zip(sets, ("one", "two"), strict=True):
        first, _ = each.named_rows()
        assert (first.dataset, first.image, first.roi) == (name, f"{name}/0.png", "roi/0.png")
        assert each.crop(first) == tmp_path / name / "roi" / "0.png"


def test_failures_are_named_after_their_set_too(manifest):
    sets = [manifest("one"), manifest("two")]
    for path in sets:
        path.with_name("failures.csv").write_text("image,reason,detail\na/1.png,occluded,\n")
    for each, name in zip(read_prepared_sets(sets), ("one", "two"), strict=True):
        [(row, reason)] = each.failed_of_split("all")
        assert (row.dataset, row.image, reason) == (name, f"{name}/a/1.png", "occluded")


def test_splits_that_cannot_be_evaluated(manifest):
    prepared = PreparedSet.read(manifest("one"))
    with pytest.raises(DatasetError, match="split 'tests' is unknown"):
        prepared.of_split("tests")
    with pytest.raises(DatasetError, match="no row belongs to the split val"):
        prepared.of_split("val")


def test_sets_that_cannot_be_compared(manifest):
    with pytest.raises(EvaluationError, match="2 of the datasets lie in a folder called one"):
        read_prepared_sets([manifest("one"), manifest("deep/one"), manifest("two")])
    with pytest.raises(EvaluationError, match=r"roi_mode unrolled, but .*five.* with aligned"):
        read_prepared_sets([manifest("four"), manifest("five", roi_mode="aligned")])
    with pytest.raises(EvaluationError, match=r"segmenter_version 3, but .*seven.* with 4"):
        read_prepared_sets(
            [manifest("six", segmenter_version="3"), manifest("seven", segmenter_version="4")]
        )


def test_an_eye_on_both_sides_of_the_split_is_refused(manifest, tmp_path, rows_of):
    path = manifest("one")
    rows = [
        dataclasses.replace(row, roi=f"roi/{row.image}", split=split)
        for row, split in zip(rows_of([("a", "L")] * 2), ("train", "test"), strict=True)
    ]
    write_manifest(path, rows)
    prepared = PreparedSet.read(path)
    with pytest.raises(
        DatasetError, match=r"the eye a-L is on both sides .*\(0\.png in train, 1\.png in test\)"
    ):
        prepared.of_split("test")
    assert len(prepared.of_split("all")) == 2


def test_failures_belong_to_the_named_dataset_and_the_recorded_split(manifest):
    path = manifest("one")
    description = json.loads(path.with_name("dataset.json").read_text())
    path.with_name("dataset.json").write_text(json.dumps(description | {"name": "set"}))
    path.with_name("failures.csv").write_text(
        "image,reason,detail,split\nz/1.png,occluded,,val\nz/2.gif,not_read,,\n"
    )
    prepared = PreparedSet.read(path)
    [(row, reason)] = prepared.failed_of_split("val")
    assert (row.dataset, row.image, row.split, reason) == ("set", "z/1.png", "val", "occluded")
    assert prepared.failed_of_split("train") == []


def test_crops_outside_the_folder_are_not_shown(manifest, tmp_path):
    path = manifest("one")
    private = tmp_path / "private.png"
    private.write_bytes(b"")
    crop = path.parent / "roi" / "0.png"
    crop.parent.mkdir(exist_ok=True)
    crop.unlink(missing_ok=True)
    crop.symlink_to(private)
    prepared = PreparedSet.read(path)
    with pytest.raises(DatasetError, match="is a link that leads out of the folder"):
        prepared.crop(prepared.rows[0])


@pytest.mark.parametrize("counts", [[], {"failures": []}, {"failures": {"no_iris": "many"}}])
def test_damaged_counts_are_refused(manifest, counts):
    path = manifest("one")
    description = path.with_name("dataset.json")
    values = json.loads(description.read_text())
    description.write_text(json.dumps(values | {"counts": counts}))
    with pytest.raises(DatasetError, match="counts are not those of"):
        PreparedSet.read(path)
