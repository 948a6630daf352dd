import json

import cv2
import numpy as np
import pytest

from iris_tf.data.crop_store import load_rois
from iris_tf.data.manifest import read_manifest, read_settings
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.support.errors import DatasetError

SIZE = (40, 60)


@pytest.fixture
def faces(tmp_path):
    """Colour images of four subjects, two of each, and one in grey. Red, green, blue by hand."""
    rng = np.random.default_rng(0)
    for subject in "abcd":
        folder = tmp_path / "faces" / subject
        folder.mkdir(parents=True)
        for sample in range(2):
            rgb = rng.integers(0, 256, (*SIZE, 3), np.uint8)
            cv2.imwrite(str(folder / f"{sample}.png"), rgb[..., ::-1])
            np.save(tmp_path / f"{subject}{sample}.npy", rgb)
    cv2.imwrite(str(tmp_path / "faces" / "d" / "grey.png"), rng.integers(0, 256, SIZE, np.uint8))
    return tmp_path / "faces"


def stored(faces, row):
    return np.load(faces.parent / f"{row.subject}{row.sample}.npy")


def prepared(faces, **options):
    options = {"segmenter": "none", "jobs": 1} | options
    return prepare(faces, faces.parent / "dataset", **options)


def test_whole_colour_images_are_crops_as_they_are(faces):
    dataset = prepared(faces, roi_mode="whole", channels=3)
    assert (dataset.counts["prepared"], dataset.counts["persons"]) == (9, 4)
    settings = read_settings(dataset.folder / "dataset.json")
    assert (settings["segmenter"], settings["segmenter_version"]) == ("none", "")
    assert (settings["roi_mode"], settings["channels"]) == ("whole", 3)
    assert "pupil" not in dataset.manifest.read_text().splitlines()[0]
    rows = [row for row in dataset.rows if row.sample != "grey"]
    rois = load_rois(rows, dataset.folder, SIZE, channels=3)
    np.testing.assert_array_equal(rois, [stored(faces, row) for row in rows])


def test_a_grey_image_in_a_colour_dataset_gets_equal_channels_and_is_counted(faces):
    dataset = prepared(faces, roi_mode="whole", channels=3)
    assert dataset.counts["notes"] == {"grey to three equal channels": 1}
    [row] = [row for row in dataset.rows if row.note]
    grey = cv2.imread(str(faces / row.image), cv2.IMREAD_GRAYSCALE)
    [roi] = load_rois([row], dataset.folder, SIZE, channels=3)
    np.testing.assert_array_equal(roi, np.stack([grey] * 3, axis=-1))


def test_colour_images_in_a_grey_dataset_become_luma(faces):
    dataset = prepared(faces, roi_mode="whole", channels=1)
    assert dataset.counts["notes"] == {"colour to grey": 8}
    rows = [row for row in dataset.rows if row.note]
    rois = load_rois(rows, dataset.folder, SIZE)
    luma = [stored(faces, row).astype(float) @ (0.299, 0.587, 0.114) for row in rows]
    assert rois.shape == (8, *SIZE) and np.abs(rois - luma).max() <= 1


def test_grey_and_colour_images_are_refused_unless_channels_are_chosen(faces):
    """9 images, 8 of them in colour; the rarer kind is named."""
    with pytest.raises(DatasetError) as refused:
        prepared(faces, roi_mode="whole")
    message = str(refused.value)
    assert message.startswith(f"{faces}: holds 1 grey and 8 colour images (grey: d/grey.png); ")
    assert "`--channels`" in message and "`dataset.channels`" in message
    assert not (faces.parent / "dataset" / "manifest.csv").exists()
    # The same folder goes on in grey, and crops nothing again.
    crop = faces.parent / "dataset" / "roi" / "a" / "0.png"
    before = crop.stat().st_mtime_ns
    dataset = prepared(faces, roi_mode="whole", channels=1)
    assert dataset.counts["notes"] == {"colour to grey": 8}
    assert crop.stat().st_mtime_ns == before


def test_several_images_of_the_rarer_kind_are_counted(faces):
    for path in sorted(faces.glob("[abc]/*.png")):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        # Stored with three equal channels, it is grey.
        cv2.imwrite(str(path), np.stack([grey] * 3, axis=-1) if path.stem == "0" else grey)
    (faces / "a" / "broken.png").write_bytes(b"x")
    with pytest.raises(
        DatasetError, match=r"holds 7 grey and 2 colour images \(colour: d/0.png and 1 more\)"
    ):
        prepared(faces, roi_mode="whole")


def test_colour_images_alone_become_grey_without_being_asked(faces):
    (faces / "d" / "grey.png").unlink()
    dataset = prepared(faces, roi_mode="whole")
    assert dataset.counts["notes"] == {"colour to grey": 8}
    assert read_settings(dataset.folder / "dataset.json")["channels"] == 1


def test_the_centre_is_the_largest_square_in_the_middle(faces):
    dataset = prepared(faces, roi_mode="center", channels=3)
    rows = [row for row in dataset.rows if row.sample != "grey"]
    rois = load_rois(rows, dataset.folder, (40, 40), channels=3)
    np.testing.assert_array_equal(rois, [stored(faces, row)[:, 10:50] for row in rows])


def test_the_contact_sheet_shows_images_without_outlines(faces):
    dataset = prepared(faces, roi_mode="whole", channels=3)
    page = (dataset.folder / "contact_sheet.html").read_text()
    assert "no segmenter" in page and "confidence" not in page and "pupil" not in page
    thumbnail = cv2.imread(str(dataset.folder / "overlays" / "a" / "0.jpg"))
    original = cv2.imread(str(faces / "a" / "0.png"))
    error = np.abs(thumbnail.mean(axis=(0, 1)) - original.mean(axis=(0, 1)))
    assert error.max() < 3  # channels in their order


def test_a_finished_dataset_returns_at_once_and_an_image_that_is_too_small_fails(faces):
    cv2.imwrite(str(faces / "a" / "tiny.png"), np.zeros((15, 80), np.uint8))
    dataset = prepared(faces, roi_mode="whole", channels=1)
    assert dataset.failures == {"too_small": 1}
    before = dataset.manifest.stat().st_mtime_ns
    # A finished dataset was once asked for, also without the channels.
    for channels in (1, None):
        again = prepared(faces, roi_mode="whole", channels=channels)
        assert again.rows == read_manifest(dataset.manifest)
    assert dataset.manifest.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roi_mode": "aligned"}, r"segmenter is none, but the ROI mode aligned needs.*outlines"),
        ({"roi_mode": "whole", "segmenter": "opencv"}, "is opencv, but the ROI mode whole.*none"),
        ({"roi_mode": "whole", "min_quality": {"sharpness": 1}}, "leave them out"),
        ({"roi_mode": "whole", "segmenter_model": "a.tflite"}, "a.tflite.*leave the file out"),
        ({"roi_mode": "whole", "channels": 2}, "channels is 2; choose 1 for grey or 3"),
    ],
)
def test_choices_that_do_not_go_together_are_one_sentence(faces, options, message):
    with pytest.raises(DatasetError, match=message):
        prepared(faces, **options)
    assert not (faces.parent / "dataset").exists()


def test_colour_eyes_are_located_in_grey_and_cropped_in_colour(tmp_path, eyes):
    colour = tmp_path / "colour"
    for path in sorted(eyes.rglob("*.jpg"))[:12] + sorted(eyes.rglob("*.png"))[:12]:
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        target = colour / path.relative_to(eyes).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), np.stack([grey] * 3, axis=-1))
    options = {"segmenter": "opencv", "roi_mode": "aligned", "split_by": "identity", "jobs": 1}
    first = prepare(colour, tmp_path / "grey-crops", **options)
    second = prepare(colour, tmp_path / "colour-crops", channels=3, **options)
    assert [row.iris for row in first.rows] == [row.iris for row in second.rows]
    grey = load_rois(first.rows, first.folder, (64, 64))
    rgb = load_rois(second.rows, second.folder, (64, 64), channels=3)
    for channel in range(3):
        np.testing.assert_array_equal(rgb[..., channel], grey)


def test_a_dataset_of_version_0_1_0_is_still_up_to_date(tmp_path, eyes):
    """It was split by `person` and did not say its channels."""
    out = prepare(eyes, tmp_path / "out", segmenter="opencv", jobs=1).folder
    description = json.loads((out / "dataset.json").read_text())
    assert description["settings"].pop("channels") == 1
    description["settings"]["split_by"] = "person"
    (out / "dataset.json").write_text(json.dumps(description))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    prepare(eyes, out, segmenter="opencv", jobs=1)
    prepare(eyes, out, segmenter="opencv", jobs=1, split_by="person")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    with pytest.raises(DatasetError, match="channels 1 instead of 3"):
        prepare(eyes, out, segmenter="opencv", jobs=1, channels=3)


# -- Periocular images ----------------------------------------------------------------------------


@pytest.fixture
def both_eyes(tmp_path):
    """Both eyes of three subjects, one colour image each."""
    rng = np.random.default_rng(1)
    for subject in "abc":
        for side in "LR":
            folder = tmp_path / "eyes" / subject / side
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "0.png"), rng.integers(0, 256, (*SIZE, 3), np.uint8))
    return tmp_path / "eyes"


def test_left_eyes_are_mirrored_on_request(both_eyes):
    dataset = prepared(both_eyes, roi_mode="whole", channels=3, mirror_left=True)
    assert [row.eye for row in dataset.rows] == ["L", "R"] * 3
    for row, roi in zip(
        dataset.rows, load_rois(dataset.rows, dataset.folder, SIZE, channels=3), strict=True
    ):
        image = cv2.imread(str(both_eyes / row.image))[..., ::-1]
        np.testing.assert_array_equal(roi, image[:, ::-1] if row.eye == "L" else image)
    assert read_settings(dataset.folder / "dataset.json")["mirror_left"] is True
    with pytest.raises(DatasetError, match="mirror_left True instead of None"):
        prepared(both_eyes, roi_mode="whole", channels=3)


def test_both_eyes_of_a_subject_are_one_identity_on_request(both_eyes, tmp_path):
    dataset = prepared(both_eyes, roi_mode="whole", channels=3, identities="subject")
    assert [row.identity for row in dataset.rows] == ["a", "a", "b", "b", "c", "c"]
    assert [row.subject for row in dataset.rows] == ["a", "a", "b", "b", "c", "c"]
    assert [row.eye for row in dataset.rows] == ["L", "R"] * 3
    assert len({row.split for row in dataset.rows}) == 3
    assert all(
        left.split == right.split
        for left, right in zip(dataset.rows[::2], dataset.rows[1::2], strict=True)
    )
    assert read_settings(dataset.folder / "dataset.json")["identities"] == "subject"
    with pytest.raises(DatasetError, match="identities 'subject' instead of None"):
        prepared(both_eyes, roi_mode="whole", channels=3)
    with pytest.raises(DatasetError, match="two irises of a subject are as different"):
        prepare(both_eyes, tmp_path / "irises", identities="subject")
    with pytest.raises(DatasetError, match="by 'side'; choose one of eye, subject"):
        prepare(both_eyes, tmp_path / "irises", identities="side")


def test_eyes_that_cannot_be_mirrored(both_eyes, faces, tmp_path):
    with pytest.raises(
        DatasetError, match=r"not known whether a/0\.png shows a left or a right eye"
    ):
        prepared(faces, roi_mode="whole", mirror_left=True)
    with pytest.raises(DatasetError, match="is for periocular crops"):
        prepare(both_eyes, tmp_path / "irises", mirror_left=True)
