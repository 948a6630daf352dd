import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from iris_tf.datasets.images import read_image
from iris_tf.datasets.manifest import read_manifest, read_settings
from iris_tf.datasets.splits import split_rows
from iris_tf.errors import DatasetError, ExtractionError, FailureReason, ModelError
from iris_tf.segmentation import extraction
from iris_tf.segmentation import segmenter as segmenter_module
from iris_tf.segmentation.extraction import CHUNK, Extraction
from iris_tf.segmentation.prepare import prepare
from iris_tf.segmentation.quality import iris_quality
from iris_tf.segmentation.roi import crop_roi
from iris_tf.segmentation.segmenter import segmenter_by_name

PERSONS, IMAGES_PER_EYE = 4, 4
ROOT = Path(__file__).parents[2]


def drawn_eye(seed):
    """A 320x240 eye without lids, and its centre and radii."""
    rng = np.random.default_rng(seed)
    image = np.full((240, 320), 190, np.float32)
    x, y = 160 + rng.uniform(-15, 15), 120 + rng.uniform(-10, 10)
    iris, pupil = rng.uniform(70, 85), rng.uniform(25, 35)
    centre = (round(x * 16), round(y * 16))
    cv2.circle(image, centre, round(iris * 16), 110, -1, cv2.LINE_AA, 4)
    image += 30 * cv2.GaussianBlur(rng.normal(0, 4, image.shape), (0, 0), 3)
    cv2.circle(image, centre, round(pupil * 16), 20, -1, cv2.LINE_AA, 4)
    image = cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), (x, y, pupil, iris)


def draw_folder(folder, persons=PERSONS, images=IMAGES_PER_EYE):
    """Eyes in the CASIA-Thousand layout; image n is `drawn_eye(n)`."""
    for i, name in enumerate(image_names(persons, images)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), drawn_eye(i)[0])
    return folder


def image_names(persons=PERSONS, images=IMAGES_PER_EYE):
    return [
        f"{p:03d}/{eye}/S5{p:03d}{eye}{i:02d}.png"
        for p in range(persons)
        for eye in "LR"
        for i in range(images)
    ]


def children_of(process):
    """Ids of a process's child processes."""
    return [int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def start_prepare(eyes, out, jobs):
    """Run `prepare` in a process of its own, and wait for its first finished chunk."""
    code = (
        "import sys; from iris_tf.segmentation.prepare import prepare; "
        "prepare(sys.argv[1], sys.argv[2], jobs=int(sys.argv[3]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(eyes), str(out), str(jobs)],
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((out / ".journal").glob("[!.]*.jsonl")):
        if process.poll() is not None or time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"no chunk was finished: {process.communicate()[1]}")
        time.sleep(0.01)
    return process


def failures_of(out):
    with open(out / "failures.csv", newline="", encoding="utf-8") as file:
        return {row["image"]: (row["reason"], row["detail"]) for row in csv.DictReader(file)}


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return draw_folder(tmp_path_factory.mktemp("eyes"))


@pytest.fixture(scope="module")
def prepared(eyes, tmp_path_factory):
    return prepare(eyes, tmp_path_factory.mktemp("prepared") / "out", jobs=1)


@pytest.fixture
def made_segmenter(monkeypatch):
    """Register a function as the segmenter of the returned name, for this process."""

    def register(function, name):
        module = type(sys)(f"segmenter_of_a_test_{name}")
        function.version = "1"
        module.Segmenter = lambda: function
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(segmenter_module.SEGMENTERS, name, (module.__name__, "Segmenter"))
        return name

    return register


# -- What a finished dataset holds ----------------------------------------------------------------


def test_every_eye_is_in_the_manifest_with_its_true_geometry(prepared):
    assert prepared.layout == "casia-thousand"
    assert [row.image for row in prepared.rows] == image_names()
    for i, row in enumerate(prepared.rows):
        x, y, pupil, iris = drawn_eye(i)[1]
        assert np.hypot(row.pupil_x - x, row.pupil_y - y) < 3
        assert np.hypot(row.iris_x - x, row.iris_y - y) < 3
        assert abs(np.sqrt(row.pupil_a * row.pupil_b) - pupil) < 3
        assert abs(np.sqrt(row.iris_a * row.iris_b) - iris) < 3
        assert 0.8 < row.visible <= 1.0


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
    expected = split_rows(prepared.rows, by="person", seed=0)
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
        "split_by": "person",
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


# -- Quality and confidence -----------------------------------------------------------------------


def test_rows_carry_the_figures_of_their_images(prepared, eyes):
    segment = segmenter_by_name("opencv")
    for row in prepared.rows[::7]:
        image = read_image(eyes / row.image).pixels
        eye = segment(image)
        assert row.confidence == pytest.approx(eye.confidence, abs=1e-4)
        for name, value in asdict(iris_quality(image, eye)).items():
            assert getattr(row, name) == pytest.approx(value, abs=1e-4), name


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
    radii = sorted(row.iris_radius for row in everything.rows)
    limits = {"iris_radius": radii[3]}

    some = prepare(eyes, out, min_quality=limits, **options)
    assert some.failures == {"duplicate": 1, "low_quality": 3}
    assert len(some.rows) == 13
    for image, (reason, detail) in failures_of(out).items():
        if reason == "low_quality":
            (row,) = (row for row in everything.rows if row.image == image)
            assert f"iris_radius {row.iris_radius:.4f} (at least {radii[3]:g})" in detail
    assert read_settings(out / "dataset.json")["min_quality"] == limits
    assert len(seen) == 17

    doubtful = prepare(eyes, tmp_path / "doubtful", min_quality={"confidence": 0.0}, **options)
    least = sorted(row.confidence for row in doubtful.rows)[1] + 1e-6
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
    with pytest.raises(DatasetError, match=r"out of date, because version weights-1 .*-2; choose"):
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
    with pytest.raises(DatasetError, match=r"of version 'old' and not 'new'.*on all machines"):
        extraction._process_chunk([], how)
    with pytest.raises(DatasetError, match=r"does not see this folder.*under the same paths"):
        extraction._process_chunk([], replace(how, out=tmp_path / "elsewhere"))


def test_each_thread_of_a_worker_has_a_segmenter_of_its_own(tmp_path):
    how = Extraction(
        tmp_path, tmp_path, "aligned", "opencv", None, segmenter_by_name("opencv").version
    )
    with ThreadPoolExecutor(1) as other:
        theirs = other.submit(extraction._segmenter, how).result()
        assert other.submit(extraction._segmenter, how).result() is theirs
    assert extraction._segmenter(how) is extraction._segmenter(how)
    assert extraction._segmenter(how) is not theirs


# -- Folders that cannot be used ------------------------------------------------------------------


def test_choices_and_folders_are_checked_before_any_work(tmp_path, eyes):
    out = tmp_path / "out"
    with pytest.raises(DatasetError, match="aligned"):
        prepare(eyes, out, roi_mode="square")
    with pytest.raises(DatasetError, match="opencv"):
        prepare(eyes, out, segmenter="magic")
    with pytest.raises(DatasetError, match="person, identity"):
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
    with pytest.raises(DatasetError, match=r"2 persons.*at least 3"):
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
    with pytest.raises(DatasetError, match=r"\(seed 0 and not 1\); choose another folder"):
        prepare(eyes, prepared.folder, seed=1)
    with pytest.raises(DatasetError, match="roi_mode 'algorithm1' and not 'unrolled'"):
        prepare(eyes, prepared.folder, roi_mode="unrolled")
    assert contents(prepared.folder) == before


# -- Running again --------------------------------------------------------------------------------


def test_a_finished_dataset_returns_at_once(eyes, prepared, monkeypatch):
    def never(*args):
        raise AssertionError("nothing is to be processed or written")

    for name in ("extract_all", "write_json", "write_failures", "write_manifest"):
        monkeypatch.setattr(f"iris_tf.segmentation.prepare.{name}", never)
    assert prepare(eyes, prepared.folder) == prepared


def test_processes_do_not_change_a_byte(tmp_path, eyes, prepared):
    prepare(eyes, tmp_path / "out", jobs=2)
    assert contents(tmp_path / "out") == contents(prepared.folder)


@pytest.mark.parametrize(
    "workers",
    ({"n_workers": 2, "threads_per_worker": 1}, {"n_workers": 1, "threads_per_worker": 2}),
)
def test_a_cluster_does_not_change_a_byte(tmp_path, eyes, prepared, workers):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(processes=True, dashboard_address=None, **workers) as cluster:
        prepare(eyes, tmp_path / "out", scheduler=cluster.scheduler_address)
    # A finished one needs no cluster.
    dataset = prepare(eyes, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    assert dataset.rows == prepared.rows
    assert contents(tmp_path / "out") == contents(prepared.folder)


def test_changed_removed_and_new_images_are_all_that_is_processed(tmp_path, made_segmenter):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=2)
    real, seen = segmenter_by_name("opencv"), []

    def segment(image):
        seen.append(image)
        return real(image)

    name = made_segmenter(segment, "counting")
    prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
    assert len(seen) == 12
    cv2.imwrite(str(eyes / "000/L/S5000L00.png"), drawn_eye(50)[0])
    cv2.imwrite(str(eyes / "000/L/S5000L09.png"), drawn_eye(51)[0])
    (eyes / "001/R/S5001R00.png").unlink()
    again = prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
    assert len(seen) == 14
    fresh = prepare(eyes, tmp_path / "fresh", segmenter=name, jobs=1)
    assert again.rows == fresh.rows
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_lost_crop_is_made_again(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    first = prepare(eyes, tmp_path / "out", jobs=1)
    before = contents(first.folder)
    (first.folder / first.rows[2].roi).unlink()
    (first.folder / first.rows[3].roi).write_bytes(b"")  # as after a power cut
    prepare(eyes, tmp_path / "out", jobs=1)
    assert contents(first.folder) == before


def test_a_damaged_journal_costs_only_time(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    first = prepare(eyes, tmp_path / "out", jobs=1)
    before = contents(first.folder)
    (first.folder / ".journal" / "finished.jsonl").write_bytes(b'{"image": "000')
    (first.folder / ".journal" / "0123.jsonl").write_bytes(bytes(100))
    first.manifest.unlink()
    prepare(eyes, tmp_path / "out", jobs=1)
    assert contents(first.folder) == before


@pytest.mark.parametrize("jobs", (1, 2))
def test_killed_runs_go_on_and_end_the_same(tmp_path, eyes, prepared, jobs):
    out = tmp_path / "out"
    process = start_prepare(eyes, out, jobs)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = list((out / ".journal").glob("[!.]*.jsonl"))
    assert not (out / "manifest.csv").exists()
    assert not (out / "contact_sheet.html").exists()
    assert json.loads((out / "dataset.json").read_text())["complete"] is False
    kept = {path: path.stat().st_mtime_ns for path in (out / "roi").rglob("[!.]*.png")}
    assert len(kept) >= CHUNK * len(done)

    prepare(eyes, out, jobs=3 - jobs)
    assert contents(out) == contents(prepared.folder)
    untouched = sum(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert untouched >= CHUNK * len(done)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
def test_a_killed_worker_is_one_sentence_and_the_next_run_goes_on(tmp_path, eyes, prepared):
    out = tmp_path / "out"
    process = start_prepare(eyes, out, 2)
    commands = {
        child: Path(f"/proc/{child}/cmdline").read_text() for child in children_of(process.pid)
    }
    workers = [child for child, command in commands.items() if "popen_loky" in command]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert re.search(r"DatasetError: .*worker process was killed.*run again", errors)
    assert not (out / "manifest.csv").exists()

    prepare(eyes, out, jobs=1)
    assert contents(out) == contents(prepared.folder)


def test_a_killed_worker_is_one_sentence(tmp_path, eyes, monkeypatch):
    monkeypatch.setattr("iris_tf.segmentation.extraction._process_chunk", lambda *args: os._exit(1))
    with pytest.raises(DatasetError, match=r"worker process was killed.*run again"):
        prepare(eyes, tmp_path / "out", jobs=2)


def test_a_full_disk_surfaces_and_the_run_goes_on_when_there_is_room(tmp_path, eyes, prepared):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = sum(map(len, contents(prepared.folder).values()))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size // 2}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        for jobs in (2, 1):
            with pytest.raises(OSError, match="No space left") as caught:
                prepare(eyes, disk / "out", jobs=jobs)
            assert not isinstance(caught.value, DatasetError)
            assert not (disk / "out" / "manifest.csv").exists()
        crops = list((disk / "out" / "roi").rglob("*.png"))
        assert crops
        for crop in crops:
            name = crop.relative_to(disk / "out").as_posix()
            assert crop.read_bytes() == contents(prepared.folder)[name]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        prepare(eyes, disk / "out", jobs=1)
        assert contents(disk / "out") == contents(prepared.folder)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
