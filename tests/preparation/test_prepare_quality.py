import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
from prepared_eyes import contents, draw_folder, failures_of, image_names, prepare

from iris_tf.data.manifest import read_settings
from iris_tf.imaging.images import read_image
from iris_tf.preparation import extraction
from iris_tf.preparation.extraction import Extraction
from iris_tf.segmentation import segmenter as segmenter_module
from iris_tf.segmentation.quality import iris_quality
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import DatasetError, ModelError

# -- Quality and confidence -----------------------------------------------------------------------


def test_rows_carry_the_figures_of_their_images(prepared, eyes):
    segment = segmenter_by_name("opencv")
    for row in prepared.rows[::7]:
        image = read_image(eyes / row.image).pixels
        eye = segment(image)
        assert row.iris.confidence == pytest.approx(eye.confidence, abs=1e-4)
        for name, value in asdict(iris_quality(image, eye)).items():
            assert getattr(row.iris, name) == pytest.approx(value, abs=1e-4), name


def test_limits_turn_images_away_and_other_limits_segment_nothing_again(tmp_path, made_segmenter):
    eyes = draw_folder(tmp_path / "eyes", persons=4, images=2)
    shutil.copy(eyes / "000/L/S5000L00.png", eyes / "000/L/S5000L09.png")
    real, seen = segmenter_by_name("opencv"), []

    def segment(image):
        seen.append(image)
        return real(image)

    options = {"segmenter": made_segmenter(segment, "limited"), "jobs": 1}
    out = tmp_path / "out"
    everything = prepare(eyes, out, **options)
    assert len(seen) == 17
    assert everything.failures == {"duplicate": 1}
    radii = sorted(row.iris.iris_radius for row in everything.rows)
    limits = {"iris_radius": radii[3]}

    some = prepare(eyes, out, min_quality=limits, **options)
    assert some.failures == {"duplicate": 1, "low_quality": 3}
    assert len(some.rows) == 13
    for image, (reason, detail) in failures_of(out).items():
        if reason == "low_quality":
            (row,) = (row for row in everything.rows if row.image == image)
            assert f"iris_radius {row.iris.iris_radius:.4f} (at least {radii[3]:g})" in detail
    assert read_settings(out / "dataset.json")["min_quality"] == limits
    assert len(seen) == 17

    doubtful = prepare(eyes, tmp_path / "doubtful", min_quality={"confidence": 0.0}, **options)
    least = sorted(row.iris.confidence for row in doubtful.rows)[1] + 1e-6
    assert len(seen) == 34
    prepare(eyes, out, min_quality={"confidence": least, "iris_radius": 1}, **options)
    reasons = [reason for reason, _ in failures_of(out).values()]
    assert sorted(reasons) == ["duplicate", "low_confidence", "low_confidence"]

    # And back: as if there had never been a limit.
    before = contents(prepare(eyes, tmp_path / "fresh", **options).folder)
    count = len(seen)
    assert prepare(eyes, out, **options).rows == everything.rows
    assert contents(out) == before
    fresh = prepare(eyes, tmp_path / "limited", min_quality=limits, **options)
    assert len(seen) == count + 17
    prepare(eyes, out, min_quality=limits, **options)
    assert contents(out) == contents(fresh.folder)
    assert len(seen) == count + 17


def test_limits_that_turn_everything_away_are_an_error_that_can_be_taken_back(tmp_path, eyes):
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match=r"none of the 32 images.*32 low_quality"):
        prepare(eyes, out, jobs=1, min_quality={"iris_radius": 4000})
    assert len(failures_of(out)) == 32
    assert (out / "contact_sheet.html").is_file()
    crops = {path: path.stat().st_mtime_ns for path in (out / "roi").rglob("*.png")}
    assert len(prepare(eyes, out, jobs=1).rows) == 32
    assert all(path.stat().st_mtime_ns == then for path, then in crops.items())


def test_every_readable_image_has_a_thumbnail(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    (eyes / "000/L/S5000L01.png").write_bytes(b"junk")
    cv2.imwrite(str(eyes / "000/L/S5000L02.png"), np.full((240, 320), 128, np.uint8))
    out = prepare(eyes, tmp_path / "out", jobs=1).folder
    names = {name.removeprefix("overlays/") for name in contents(out) if "overlays/" in name}
    assert "000/L/S5000L01.jpg" not in names
    assert names == {name.replace("png", "jpg") for name in image_names(3, 1)} | {
        "000/L/S5000L02.jpg"
    }
    page = (out / "contact_sheet.html").read_text()
    assert all(f'src="overlays/{name}"' in page for name in names)
    assert "000/L/S5000L01.png: This is not a" in page


def test_a_lost_thumbnail_is_made_again_when_it_is_missed(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    out = prepare(eyes, tmp_path / "out", jobs=1).folder
    before = contents(out)
    (out / "overlays/000/L/S5000L00.jpg").unlink()
    (out / "manifest.csv").unlink()
    prepare(eyes, out, jobs=1)
    assert contents(out) == before


# -- The segmenter's network ----------------------------------------------------------------------


class NetworkSegmenter:
    """Takes its version from a file; finds what the built-in one finds."""

    name = "with-network"

    def __init__(self, model=None):
        if model is None or not model.is_file():
            raise ModelError(f"{model}: there is no such network; give another file.")
        self.version = model.read_text()

    def __call__(self, image):
        return segmenter_by_name("opencv")(image)


@pytest.fixture
def with_network(monkeypatch):
    monkeypatch.setitem(segmenter_module.SEGMENTERS, "with-network", (__name__, "NetworkSegmenter"))
    return "with-network"


def test_a_network_that_cannot_be_used_is_an_error_before_any_work(tmp_path, eyes, with_network):
    for options, error in (
        ({"segmenter": with_network}, ModelError),
        ({"segmenter": with_network, "segmenter_model": tmp_path / "none.tflite"}, ModelError),
        ({"segmenter": "opencv", "segmenter_model": tmp_path / "none.tflite"}, DatasetError),
    ):
        with pytest.raises(error, match=r"no such network|has no network"):
            prepare(eyes, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_other_weights_make_a_dataset_out_of_date(tmp_path, with_network):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    model = tmp_path / "network"
    model.write_text("weights-1")
    options = {"segmenter": with_network, "segmenter_model": model, "jobs": 1}
    out = prepare(eyes, tmp_path / "out", **options).folder
    assert read_settings(out / "dataset.json")["segmenter_version"] == "weights-1"
    # The same weights elsewhere are the same.
    moved = shutil.copy(model, tmp_path / "copy")
    prepare(eyes, out, segmenter=with_network, segmenter_model=moved, jobs=1)
    before = contents(out)
    model.write_text("weights-2")
    found = r"out of date, because version 'weights-1' .* this is version 'weights-2'; choose"
    with pytest.raises(DatasetError, match=found):
        prepare(eyes, out, **options)
    assert contents(out) == before
    # The process that has used the old weights takes the new ones.
    new = prepare(eyes, tmp_path / "new", **options)
    assert read_settings(new.folder / "dataset.json")["segmenter_version"] == "weights-2"


def test_a_dataset_of_before_there_were_versions_is_out_of_date(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    out = prepare(eyes, tmp_path / "out", jobs=1).folder
    description = json.loads((out / "dataset.json").read_text())
    for name in ("segmenter_version", "min_quality"):
        del description["settings"][name]
    (out / "dataset.json").write_text(json.dumps(description))
    assert read_settings(out / "dataset.json")["segmenter"] == "opencv"
    with pytest.raises(DatasetError, match=r"version unknown of the segmenter 'opencv' made it"):
        prepare(eyes, out)


def test_a_worker_with_other_weights_or_other_folders_stops_the_run(tmp_path, with_network):
    (tmp_path / "network").write_text("old")
    how = Extraction(
        tmp_path, tmp_path, "algorithm1", with_network, tmp_path / "network", version="new"
    )
    with pytest.raises(DatasetError, match=r"has version 'old' instead of 'new'.*on all machines"):
        extraction._process_chunk([], how)
    with pytest.raises(DatasetError, match=r"does not see this folder.*under the same paths"):
        extraction._process_chunk([], replace(how, out=tmp_path / "elsewhere"))


def test_each_thread_of_a_worker_has_a_segmenter_of_its_own(tmp_path):
    how = Extraction(
        tmp_path, tmp_path, "aligned", "opencv", None, segmenter_by_name("opencv").version
    )
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(extraction.worker_segmenter, how).result()
        assert other.submit(extraction.worker_segmenter, how).result() is theirs
    assert extraction.worker_segmenter(how) is extraction.worker_segmenter(how)
    assert extraction.worker_segmenter(how) is not theirs
