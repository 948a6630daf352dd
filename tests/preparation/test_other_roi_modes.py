"""Crops of other ROI modes are those that a preparation in that mode would have made."""

import json
import shutil

import numpy as np
import pytest
from prepared_eyes import contents, draw_folder, failures_of, image_names, prepare

from iris_tf.data.manifest import read_manifest, read_settings
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import write_png
from iris_tf.preparation import other_roi_modes
from iris_tf.preparation.file_stamps import file_stamp
from iris_tf.preparation.journal import Outcome
from iris_tf.preparation.kept_segmentation import mask_path, read_segmentation, write_masks
from iris_tf.preparation.other_roi_modes import cut_if_asked_for
from iris_tf.segmentation import opencv_segmenter
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason


@pytest.fixture
def eyes(tmp_path):
    return draw_folder(tmp_path / "eyes", persons=3, images=2)


def crops(folder):
    return {path: data for path, data in contents(folder).items() if path.startswith("roi/")}


@pytest.mark.parametrize(("first", "then"), [("algorithm1", "unrolled"), ("unrolled", "aligned")])
def test_crops_are_those_of_a_preparation_in_that_mode(eyes, tmp_path, monkeypatch, first, then):
    dataset = prepare(eyes, tmp_path / "out", roi_mode=first, jobs=1).folder
    wanted = prepare(eyes, tmp_path / "wanted", roi_mode=then, jobs=1)

    def nothing(*_):
        raise AssertionError("nothing is segmented again")

    monkeypatch.setattr(opencv_segmenter.OpenCVSegmenter, "__call__", nothing)
    cut_if_asked_for(dataset / then)
    assert read_manifest(dataset / then / "manifest.csv") == wanted.rows
    assert crops(dataset / then) == crops(wanted.folder)
    settings = read_settings(dataset / then / "dataset.json")
    assert settings == read_settings(wanted.folder / "dataset.json")


def test_they_are_made_once_and_again_when_the_dataset_changes(eyes, tmp_path):
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    asked = dataset.folder / "unrolled"
    cut_if_asked_for(asked)
    marked = asked / "mark"
    marked.touch()
    cut_if_asked_for(asked)
    assert marked.exists()
    limit = sorted(row.iris.iris_radius for row in dataset.rows)[1]
    prepare(eyes, dataset.folder, jobs=1, min_quality={"iris_radius": limit})
    cut_if_asked_for(asked)
    assert not marked.exists()
    assert len(read_manifest(asked / "manifest.csv")) == len(dataset.rows) - 1


def test_images_without_such_a_crop_are_failures_of_that_mode(eyes, tmp_path, monkeypatch):
    empty = eyes / image_names(3, 2)[5]
    empty.write_bytes(b"")
    empty.with_suffix(".gif").write_bytes(b"x")
    dataset = prepare(eyes, tmp_path / "out", roi_mode="unrolled", jobs=1)
    crop_roi, refused = other_roi_modes.crop_roi, []

    def refuse_one(pixels, eye, mode):
        if not refused:
            refused.append(mode)
            raise ExtractionError(FailureReason.ROI_IS_WHOLE_IMAGE, "Too large.")
        return crop_roi(pixels, eye, mode)

    monkeypatch.setattr(other_roi_modes, "crop_roi", refuse_one)
    cut_if_asked_for(dataset.folder / "algorithm1")
    assert refused == ["algorithm1"]
    failures = failures_of(dataset.folder / "algorithm1")
    assert failures.pop(image_names(3, 2)[5]) == ("unreadable", "The file is empty.")
    assert list(failures.values()) == [("roi_is_whole_image", "Too large.")]
    both = PreparedSet.read(dataset.folder / "algorithm1" / "manifest.csv").failed_of_split("all")
    split_of = {row.subject: row.split for row in dataset.rows}
    assert [row.split for row, _ in both] == [split_of[row.subject] for row, _ in both]
    rows = read_manifest(dataset.folder / "algorithm1" / "manifest.csv")
    assert len(rows) == len(dataset.rows) - 1


def test_changed_images_and_datasets_without_masks_are_refused(eyes, tmp_path):
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    old = shutil.copytree(dataset.folder, tmp_path / "old")
    shutil.rmtree(old / "segmentation")
    with pytest.raises(DatasetError, match=r"was not kept, as by versions before 0\.2\.0"):
        cut_if_asked_for(old / "unrolled")
    assert not (old / "unrolled").exists()
    changed = eyes / dataset.rows[3].image
    changed.write_bytes(changed.read_bytes() + b"x")
    with pytest.raises(DatasetError, match=f"{changed}: is missing or has changed"):
        cut_if_asked_for(dataset.folder / "unrolled")
    faces = prepare(eyes, tmp_path / "faces", segmenter="none", roi_mode="whole", jobs=1).folder
    with pytest.raises(DatasetError, match="was prepared without a segmenter"):
        cut_if_asked_for(faces / "unrolled")


def test_other_folders_are_left_alone(eyes, tmp_path):
    dataset = prepare(eyes, tmp_path / "out", jobs=1).folder
    for folder in (dataset, dataset / "elsewhere", tmp_path / "unrolled"):
        before = folder.exists()
        cut_if_asked_for(folder)
        assert folder.exists() == before
    theirs = dataset / "unrolled" / "thesis.txt"
    theirs.parent.mkdir()
    theirs.write_text("kept")
    cut_if_asked_for(dataset / "unrolled")
    assert [path.name for path in theirs.parent.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("with_own_mask", [False, True])
def test_masks_are_kept_as_they_are(tmp_path, with_own_mask):
    rng = np.random.default_rng(0)
    visible, own = rng.random((2, 40, 60)) < 0.5
    pupil, iris = Ellipse(30.1, 20.2, 5, 5, 0), Ellipse(30, 20, 15, 14, 0.5)
    own_mask = own if with_own_mask else None
    eye = SegmentedEye(pupil, iris, visible, 0.9, iris_minus_pupil=own_mask, tilt=1.5)
    write_masks(tmp_path / "a.png", eye)
    read = read_segmentation(
        tmp_path / "a.png",
        Outcome("a.png", "", pupil=pupil, iris=iris, confidence=0.9, tilt=1.5),
    )
    assert (read.pupil, read.iris, read.confidence, read.tilt) == (pupil, iris, 0.9, 1.5)
    np.testing.assert_array_equal(read.visible, visible)
    if with_own_mask:
        np.testing.assert_array_equal(read.iris_minus_pupil, own)
    else:
        assert read.iris_minus_pupil is None


def test_a_description_that_is_no_object_is_none_of_ours(eyes, tmp_path):
    dataset = prepare(eyes, tmp_path / "out", jobs=1).folder
    (dataset / "aligned").mkdir()
    (dataset / "aligned" / "dataset.json").write_text(json.dumps([1]))
    cut_if_asked_for(dataset / "aligned")
    assert not (dataset / "aligned" / "manifest.csv").exists()


def test_images_of_another_folder_are_not_read_for_their_stamps(eyes, tmp_path):
    """The journal's size and times can be those of another file; its SHA-256 cannot."""
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    [journal] = (dataset.folder / ".journal").glob("*.jsonl")
    image = eyes / dataset.rows[0].image
    other = shutil.copy(eyes / dataset.rows[1].image, image)
    outcomes = [json.loads(line) for line in journal.read_text().splitlines()]
    for outcome in outcomes:
        outcome["stamp"] = file_stamp(eyes / outcome["image"])
    journal.write_text("".join(json.dumps(outcome) + "\n" for outcome in outcomes))
    with pytest.raises(DatasetError, match=f"{other}: is missing or has changed"):
        cut_if_asked_for(dataset.folder / "unrolled")


@pytest.mark.parametrize("change", ["size", "damaged", "link"])
def test_masks_that_are_not_the_images_are_refused(eyes, tmp_path, change):
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    mask = dataset.folder / mask_path(dataset.rows[2].roi)
    content = mask.read_bytes()
    if change == "size":
        write_png(mask, np.full((100, 100), 255, np.uint8))
        message = "have another size than the image"
    elif change == "damaged":
        mask.write_bytes(content[: len(content) // 2])
        message = "cannot be read"
    else:
        (tmp_path / "elsewhere.png").write_bytes(content)
        mask.unlink()
        mask.symlink_to(tmp_path / "elsewhere.png")
        message = "leads out of the folder"
    with pytest.raises(DatasetError, match=message):
        cut_if_asked_for(dataset.folder / "unrolled")


@pytest.mark.parametrize("content", [b"image,why\nx,y\n", b"\xff\xfe\n", None])
def test_a_damaged_table_of_failures_is_one_sentence(eyes, tmp_path, content):
    dataset = prepare(eyes, tmp_path / "out", jobs=1).folder
    table = dataset / "failures.csv"
    table.unlink() if content is None else table.write_bytes(content)
    with pytest.raises(DatasetError, match="is missing or not a table of `iris-tf prepare`"):
        cut_if_asked_for(dataset / "unrolled")
