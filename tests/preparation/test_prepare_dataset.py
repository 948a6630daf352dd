import json
import os
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from prepared_eyes import (
    IMAGES_PER_EYE,
    PERSONS,
    contents,
    draw_folder,
    drawn_eye,
    failures_of,
    image_names,
    prepare,
)

from iris_tf.data.manifest import read_manifest, read_settings
from iris_tf.data.splits import split_rows
from iris_tf.imaging.images import read_image
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason

# -- What a finished dataset holds ----------------------------------------------------------------


def test_every_eye_is_in_the_manifest_with_its_true_geometry(prepared):
    assert prepared.layout == "casia-thousand"
    assert [row.image for row in prepared.rows] == image_names()
    for i, row in enumerate(prepared.rows):
        x, y, pupil, iris = drawn_eye(i)[1]
        assert np.hypot(row.iris.pupil.x - x, row.iris.pupil.y - y) < 3
        assert np.hypot(row.iris.limbus.x - x, row.iris.limbus.y - y) < 3
        assert abs(row.iris.pupil.radius - pupil) < 3
        assert abs(row.iris.limbus.radius - iris) < 3
        assert 0.8 < row.iris.visible <= 1.0


def test_the_manifest_on_disk_is_what_is_returned(prepared):
    assert prepared.manifest == prepared.folder / "manifest.csv"
    assert read_manifest(prepared.manifest) == prepared.rows


def test_crops_are_those_of_the_segmenter(prepared, eyes):
    segment = segmenter_by_name("opencv")
    for row in prepared.rows[::7]:
        assert row.roi == f"roi/{row.image}"
        image = read_image(eyes / row.image).pixels
        expected = crop_roi(image, segment(image), "algorithm1")
        np.testing.assert_array_equal(read_image(prepared.folder / row.roi).pixels, expected)
    crops = {path for path in contents(prepared.folder) if path.startswith("roi/")}
    assert crops == {row.roi for row in prepared.rows}


def test_splits_are_those_of_the_whole_folder(prepared):
    expected = split_rows(prepared.rows, by="subject", seed=0)
    assert [row.split for row in prepared.rows] == [row.split for row in expected]


def test_settings_and_counts_are_written(prepared, eyes):
    description = json.loads((prepared.folder / "dataset.json").read_text())
    assert description["complete"] is True
    assert description["settings"] == {
        "images": str(eyes),
        "layout": "casia-thousand",
        "segmenter": "opencv",
        "segmenter_version": segmenter_by_name("opencv").version,
        "roi_mode": "algorithm1",
        "channels": 1,
        "split_by": "subject",
        "seed": 0,
        "min_quality": {},
        "synthetic": False,
    }
    assert description["counts"] == prepared.counts
    eyes_of = {"images": 2 * IMAGES_PER_EYE, "identities": 2, "persons": 1}
    assert prepared.counts == {
        "images": 32,
        "prepared": 32,
        "failed": 0,
        "failures": {},
        "persons": PERSONS,
        "identities": 2 * PERSONS,
        "identities_with_one_image": 0,
        "notes": {},
        "splits": {
            "train": {"images": 16, "identities": 4, "persons": 2},
            "val": eyes_of,
            "test": eyes_of,
        },
        "outside_layout": {"images": 0, "examples": []},
    }


@pytest.mark.parametrize("roi_mode, shape", (("unrolled", (64, 512)), ("aligned", None)))
def test_other_roi_modes_and_split_by_identity(tmp_path, roi_mode, shape):
    draw_folder(tmp_path / "eyes", persons=2, images=1)
    dataset = prepare(
        tmp_path / "eyes", tmp_path / "out", roi_mode=roi_mode, split_by="identity", jobs=1
    )
    assert sorted(row.split for row in dataset.rows) == ["test", "train", "train", "val"]
    for row in dataset.rows:
        height, width = read_image(dataset.folder / row.roi).pixels.shape
        assert (height, width) == (shape or (height, height))
    assert dataset.counts["identities_with_one_image"] == 4


# -- Images that fail, and images that are converted ----------------------------------------------


def test_bad_images_are_counted_with_their_reasons_and_the_rest_is_kept(tmp_path):
    eyes = tmp_path / "eyes"
    good, _ = drawn_eye(1)
    for i, person in enumerate("abc"):
        (eyes / person).mkdir(parents=True)
        cv2.imwrite(str(eyes / person / "good.png"), drawn_eye(10 + i)[0])
    png = cv2.imencode(".png", good)[1].tobytes()
    (eyes / "a" / "zero.png").write_bytes(b"")
    (eyes / "a" / "cut.png").write_bytes(png[: len(png) // 2])
    (eyes / "a" / "text.jpg").write_text("no image")
    cv2.imwrite(str(eyes / "b" / "dot.png"), good[:1, :1])
    cv2.imwrite(str(eyes / "b" / "grey.png"), np.full((240, 320), 128, np.uint8))
    shutil.copy(eyes / "a" / "good.png", eyes / "c" / "copy.png")
    os.symlink(eyes / "gone.png", eyes / "c" / "dangling.png")
    cv2.imwrite(str(eyes / "b" / "deep.png"), drawn_eye(20)[0].astype(np.uint16) * 257)
    colour = np.dstack([drawn_eye(21)[0], drawn_eye(21)[0], drawn_eye(21)[0] // 2])
    cv2.imwrite(str(eyes / "b" / "colour.png"), colour)

    dataset = prepare(eyes, tmp_path / "out", layout="folder", jobs=1)

    reasons = {image: reason for image, (reason, _) in failures_of(dataset.folder).items()}
    assert reasons.pop("b/grey.png") in ("no_pupil", "no_iris", "implausible_geometry")
    assert reasons == {
        "a/zero.png": "unreadable",
        "a/cut.png": "unreadable",
        "a/text.jpg": "unreadable",
        "b/dot.png": "too_small",
        "c/copy.png": "duplicate",
        "c/dangling.png": "unreadable",
    }
    assert "a/good.png" in failures_of(dataset.folder)["c/copy.png"][1]
    assert dataset.failures["unreadable"] == 4
    assert sum(dataset.failures.values()) == dataset.counts["failed"] == 7
    notes = {row.image: row.note for row in dataset.rows}
    assert notes == {
        "a/good.png": "",
        "b/good.png": "",
        "b/deep.png": "16-bit to 8-bit",
        "b/colour.png": "colour to grey",
        "c/good.png": "",
    }
    assert {p for p in contents(dataset.folder) if p.startswith("roi/")} == {
        row.roi for row in dataset.rows
    }


def test_a_crash_of_the_segmenter_is_one_failure_with_its_message(tmp_path, eyes, made_segmenter):
    real = segmenter_by_name("opencv")
    crashing = read_image(eyes / image_names()[5]).pixels

    def segment(image):
        if np.array_equal(image, crashing):
            raise ZeroDivisionError("division\nby zero")
        return real(image)

    dataset = prepare(eyes, tmp_path / "out", segmenter=made_segmenter(segment, "crash"), jobs=1)
    assert dataset.failures == {"internal": 1}
    assert failures_of(dataset.folder) == {
        image_names()[5]: ("internal", "ZeroDivisionError: division by zero")
    }
    assert len(dataset.rows) == len(image_names()) - 1


def test_a_segmenter_without_a_confidence_is_a_failure(tmp_path, eyes, made_segmenter):
    real = segmenter_by_name("opencv")
    doubtful = read_image(eyes / image_names()[5]).pixels

    def segment(image):
        eye = real(image)
        return replace(eye, confidence=np.nan) if np.array_equal(image, doubtful) else eye

    dataset = prepare(eyes, tmp_path / "out", segmenter=made_segmenter(segment, "nan"), jobs=1)
    assert dataset.failures == {"internal": 1}
    assert failures_of(dataset.folder)[image_names()[5]][1] == "ValueError: a figure is nan"


def test_splits_do_not_depend_on_what_fails(tmp_path, eyes, prepared, made_segmenter):
    real = segmenter_by_name("opencv")

    def segment(image):
        if image.astype(int).sum() % 3 == 0:
            raise ExtractionError(FailureReason.NO_PUPIL, "For this test.")
        return real(image)

    name = made_segmenter(segment, "choosy")
    dataset = prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
    split_of = {row.image: row.split for row in prepared.rows}
    assert 0 < len(dataset.rows) < len(prepared.rows)
    assert all(row.split == split_of[row.image] for row in dataset.rows)


def test_images_of_one_stem_keep_two_crops(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    cv2.imwrite(str(eyes / "000/L/S5000L00.bmp"), drawn_eye(99)[0])
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    crops = [row.roi for row in dataset.rows if row.identity == "000_L"]
    assert crops == ["roi/000/L/S5000L00.bmp.png", "roi/000/L/S5000L00.png.png"]
    assert all((dataset.folder / crop).is_file() for crop in crops)


def test_no_two_names_share_a_crop(tmp_path):
    names = ("x.png", "x.bmp", "x.png.png", "x.png.png.png")
    for k in range(12):
        image = tmp_path / "eyes" / "abc"[k // 4] / names[k % 4]
        image.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), drawn_eye(90 + k)[0])
    dataset = prepare(tmp_path / "eyes", tmp_path / "out", jobs=1)
    assert len({row.roi for row in dataset.rows}) == 12
    assert all((dataset.folder / row.roi).is_file() for row in dataset.rows)


def test_memory_that_runs_out_is_no_failure_of_the_image(tmp_path, eyes, made_segmenter):
    def segment(image):
        raise MemoryError

    with pytest.raises(MemoryError):
        prepare(eyes, tmp_path / "out", segmenter=made_segmenter(segment, "greedy"), jobs=1)


def test_nothing_left_is_an_error_with_the_reasons(tmp_path):
    for i, person in enumerate("abcd"):
        (tmp_path / "eyes" / person).mkdir(parents=True)
        (tmp_path / "eyes" / person / "x.png").write_bytes(b"" if i else b"junk")
    with pytest.raises(DatasetError, match=r"none of the 4 images.*4 unreadable.*failures\.csv"):
        prepare(tmp_path / "eyes", tmp_path / "out", jobs=1)
    assert len(failures_of(tmp_path / "out")) == 4
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_a_split_without_a_crop_is_an_error(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    for image in (eyes / "001").rglob("*.png"):
        image.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no image of the split .*2 unreadable"):
        prepare(eyes, tmp_path / "out", jobs=1)


def test_generated_eyes_are_labelled_as_such(tmp_path, eyes):
    shutil.copytree(eyes, tmp_path / "eyes")
    (tmp_path / "eyes" / "synthesis.json").write_text("{}")
    dataset = prepare(tmp_path / "eyes", tmp_path / "out", jobs=1)
    assert read_settings(dataset.folder / "dataset.json")["synthetic"] is True


# -- Folders that cannot be used ------------------------------------------------------------------


def test_choices_and_folders_are_checked_before_any_work(tmp_path, eyes):
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="aligned"):
        prepare(eyes, out, roi_mode="square")
    with pytest.raises(DatasetError, match="opencv"):
        prepare(eyes, out, segmenter="magic")
    with pytest.raises(DatasetError, match="subject, identity"):
        prepare(eyes, out, split_by="eye")
    with pytest.raises(DatasetError, match="jobs is 0"):
        prepare(eyes, out, jobs=0)
    with pytest.raises(DatasetError, match="leave jobs out"):
        prepare(eyes, out, jobs=2, scheduler="tcp://127.0.0.1:9")
    with pytest.raises(DatasetError, match="no quality figure called 'focus'"):
        prepare(eyes, out, min_quality={"focus": 1})
    with pytest.raises(DatasetError, match="no such folder"):
        prepare(tmp_path / "none", out)
    with pytest.raises(DatasetError, match="tried mmu1"):
        prepare(eyes, out, layout="mmu1")
    with pytest.raises(DatasetError, match="inside the image folder"):
        prepare(eyes, eyes / "out")
    assert not out.exists()


def test_fewer_than_three_persons_are_an_error(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=2, images=1)
    with pytest.raises(DatasetError, match=r"2 subjects.*at least 3"):
        prepare(eyes, tmp_path / "out")


def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path, eyes):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match="holds other files"):
        prepare(eyes, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    with pytest.raises(DatasetError, match="this is a file"):
        prepare(eyes, tmp_path / "out" / "thesis.tex")
    (tmp_path / "out" / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match="not written by"):
        prepare(eyes, tmp_path / "out")


def test_a_dataset_of_other_settings_is_refused_and_left_alone(eyes, prepared):
    before = contents(prepared.folder)
    with pytest.raises(DatasetError, match=r"\(seed 0 instead of 1\); choose another folder"):
        prepare(eyes, prepared.folder, seed=1)
    with pytest.raises(DatasetError, match="roi_mode 'algorithm1' instead of 'unrolled'"):
        prepare(eyes, prepared.folder, roi_mode="unrolled")
    assert contents(prepared.folder) == before
