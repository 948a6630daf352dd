import errno
import os

import cv2
import numpy as np
import pytest

from iris_tf.data import crop_store as roi_store
from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import ManifestRow
from iris_tf.imaging.images import resize_roi
from iris_tf.support.errors import DatasetError


def row(number, roi=None):
    roi = f"roi/{number}.png" if roi is None else roi
    return ManifestRow(f"{number}.jpg", "folder", f"{number}", "L", f"{number}L", "0", roi=roi)


@pytest.fixture
def crops(tmp_path):
    """Five crops of different sizes in a dataset folder."""
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (20 + 9 * i, 30 + 5 * i), dtype=np.uint8) for i in range(5)]
    (tmp_path / "roi").mkdir()
    for i, crop in enumerate(crops):
        cv2.imwrite(str(tmp_path / f"roi/{i}.png"), crop)
    return crops


def packed(folder):
    return sorted(file.name for file in (folder / "packed").iterdir())


def test_crops_come_resized_in_the_order_of_the_rows(tmp_path, crops):
    order = [3, 0, 4, 1, 3]
    rois = load_rois([row(i) for i in order], tmp_path, (24, 32))
    assert rois.shape == (5, 24, 32)
    assert rois.dtype == np.uint8
    assert isinstance(rois, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        rois[0] = 0
    for found, i in zip(rois, order, strict=True):
        np.testing.assert_array_equal(found, resize_roi(crops[i], (24, 32)))


def test_crops_are_packed_once(tmp_path, crops, monkeypatch):
    rows = [row(i) for i in range(5)]
    first = np.array(load_rois(rows, tmp_path, (24, 32)))
    monkeypatch.setattr(roi_store, "read_crop", None)  # nothing is read again
    np.testing.assert_array_equal(load_rois(rows, tmp_path, (24, 32)), first)
    assert len(packed(tmp_path)) == 1


def test_another_size_or_row_list_is_another_copy(tmp_path, crops):
    rows = [row(i) for i in range(5)]
    load_rois(rows, tmp_path, (24, 32))
    assert load_rois(rows, tmp_path, (32, 24)).shape == (5, 32, 24)
    assert len(load_rois(rows[:3], tmp_path, (24, 32))) == 3
    backwards = load_rois(rows[::-1], tmp_path, (24, 32))
    np.testing.assert_array_equal(backwards[0], resize_roi(crops[4], (24, 32)))
    assert len(packed(tmp_path)) == 4


def test_a_new_crop_replaces_the_copy(tmp_path, crops):
    rows = [row(i) for i in range(5)]
    load_rois(rows, tmp_path, (24, 32))
    before = packed(tmp_path)
    changed = 255 - crops[2]
    cv2.imwrite(str(tmp_path / "roi/2.png"), changed)
    os.utime(tmp_path / "roi/2.png", ns=(1, 1))
    rois = load_rois(rows, tmp_path, (24, 32))
    np.testing.assert_array_equal(rois[2], resize_roi(changed, (24, 32)))
    assert len(packed(tmp_path)) == 1
    assert packed(tmp_path) != before


def test_unusable_rows_are_named(tmp_path, crops):
    with pytest.raises(DatasetError, match=r"7\.png: .*no such file.*prepare"):
        load_rois([row(0), row(7)], tmp_path, (24, 32))
    with pytest.raises(DatasetError, match=r"no ROI crop for 1\.jpg"):
        load_rois([row(0), row(1, roi="")], tmp_path, (24, 32))
    with pytest.raises(DatasetError, match="no crops"):
        load_rois([], tmp_path, (24, 32))
    whole = (tmp_path / "roi/3.png").read_bytes()
    for content in (b"", b"not a png", whole[: len(whole) // 2]):
        (tmp_path / "roi/3.png").write_bytes(content)
        with pytest.raises(DatasetError, match=r"3\.png: .*cannot be read"):
            load_rois([row(0), row(3)], tmp_path, (24, 32))
        assert packed(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path, crops, monkeypatch):
    def full(rows, header):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match="No space left"):
        load_rois([row(0)], tmp_path, (24, 32))
    assert packed(tmp_path) == []


def test_crops_outside_the_dataset_are_refused(tmp_path, crops):
    private = tmp_path / "private.png"
    (tmp_path / "roi" / "0.png").rename(private)
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    (tmp_path / "roi").rename(dataset / "roi")
    (dataset / "roi" / "0.png").symlink_to(private)
    (dataset / "linked").symlink_to(tmp_path)
    for outside in ("roi/0.png", "linked/private.png", "../private.png", str(private)):
        with pytest.raises(DatasetError, match="leads out of the folder"):
            load_rois([row(1), row(0, outside)], dataset, (24, 32))
    (dataset / "roi" / "5.png").symlink_to("4.png")
    assert len(load_rois([row(1), row(5)], dataset, (24, 32))) == 2


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_packed_copy_is_made_again(tmp_path, crops, content):
    rows = [row(i) for i in range(5)]
    first = np.array(load_rois(rows, tmp_path, (24, 32)))
    (copy,) = (tmp_path / "packed").iterdir()
    copy.write_bytes(content)
    np.testing.assert_array_equal(load_rois(rows, tmp_path, (24, 32)), first)
    np.save(copy, first[:, :5])  # of another shape
    np.testing.assert_array_equal(load_rois(rows, tmp_path, (24, 32)), first)
