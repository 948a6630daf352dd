"""Folders of synthetic eyes: determinism, resuming, refusals, ground truth files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from iris_tf.support.errors import DatasetError
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.synthetic.ground_truth import read_truth


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("eyes") / "a", subjects=3, images=2, seed=5, jobs=1)


def test_layout_and_files(written):
    names = set(_contents(written))
    expected = {"synthesis.json"}
    for subject in range(3):
        for eye in "LR":
            for sample in range(2):
                stem = f"{subject:03d}/{eye}/S5{subject:03d}{eye}{sample:02d}"
                expected |= {f"{stem}.jpg", f"{stem}.json", f"{stem}_mask.png"}
    assert names == expected
    assert json.loads((written / "synthesis.json").read_text())["seed"] == 5


def test_images_and_truth_can_be_read(written):
    for path in written.rglob("*.jpg"):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.shape == (480, 640)
        assert image.dtype == np.uint8
        pupil, iris, visible = read_truth(path)
        assert visible.shape == image.shape
        assert visible.dtype == bool
        assert visible.any()
        assert pupil.radius < iris.radius
        assert image[pupil.mask(image.shape)].mean() < image[visible].mean()
        mask = cv2.imread(str(path.with_name(path.stem + "_mask.png")), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) <= {0, 255}
        parameters = json.loads(path.with_suffix(".json").read_text())["parameters"]
        assert parameters["eye"] == path.parent.name
        assert pupil.radius / iris.radius == pytest.approx(parameters["pupil_ratio"], rel=0.1)


def test_same_bytes_whatever_the_jobs(written, tmp_path):
    assert _contents(synthesize(tmp_path / "b", 3, 2, 5, jobs=2)) == _contents(written)


def test_same_bytes_from_a_cluster(written, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        synthesize(tmp_path / "b", 3, 2, 5, scheduler=cluster.scheduler_address)
    # Finished ones need no cluster.
    out = synthesize(tmp_path / "b", 3, 2, 5, scheduler="tcp://127.0.0.1:9")
    assert _contents(out) == _contents(written)


def test_all_images_differ_and_another_seed_gives_others(written, tmp_path):
    other = synthesize(tmp_path / "c", 3, 2, 6, jobs=1)
    images = [path.read_bytes() for out in (written, other) for path in out.rglob("*.jpg")]
    assert len(set(images)) == len(images) == 24


def test_more_images_keep_the_first_ones(written, tmp_path):
    more = _contents(synthesize(tmp_path / "d", 1, 3, 5, jobs=1))
    first = _contents(written)
    for name in ("000/L/S5000L01.jpg", "000/R/S5000R00_mask.png"):
        assert more[name] == first[name]


def test_resumes_without_touching_finished_images(tmp_path):
    out = synthesize(tmp_path / "e", 2, 2, 1, jobs=1)
    before = _contents(out)
    gone = ["000/L/S5000L01.jpg", "001/R/S5001R00.json", "001/R/S5001R01_mask.png"]
    for name in gone:
        (out / name).unlink()
    redone = {Path(name).name[:8] for name in gone}
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.jpg")}
    synthesize(out, 2, 2, 1, jobs=1)
    assert _contents(out) == before
    for path, time in times.items():
        assert (path.stat().st_mtime_ns == time) == (path.stem not in redone)


def test_nothing_half_written_stays_when_a_write_fails(tmp_path, monkeypatch):
    from iris_tf.synthetic import dataset_writer as writer

    def full_disk(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        synthesize(tmp_path / "f", 1, 1, 1, jobs=1)
    assert not list((tmp_path / "f").rglob("*.jpg"))
    monkeypatch.undo()
    out = synthesize(tmp_path / "f", 1, 1, 1, jobs=1)
    assert len(list(out.rglob("*.jpg"))) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subjects": 4}, "subjects 3 instead of 4"),
        ({"images": 3}, "images 2 instead of 3"),
        ({"seed": 6}, "seed 5 instead of 6"),
        ({"image_format": "png"}, "jpg instead of png"),
    ],
)
def test_refuses_a_folder_of_another_synthesis(written, changes, words):
    before = _contents(written)
    with pytest.raises(DatasetError, match=words):
        synthesize(written, **({"subjects": 3, "images": 2, "seed": 5, "jobs": 1} | changes))
    assert _contents(written) == before


def test_refuses_a_folder_with_other_files_and_a_file(tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "letter.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"no synthesis\.json"):
        synthesize(tmp_path / "g", 1, 1, 0)
    with pytest.raises(DatasetError, match="is a file"):
        synthesize(tmp_path / "g" / "letter.txt", 1, 1, 0)
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "synthesis.json").write_text("{")
    with pytest.raises(DatasetError, match="cannot be read"):
        synthesize(tmp_path / "h", 1, 1, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subjects": 0}, "subjects is 0"),
        ({"images": 0}, "images is 0"),
        ({"subjects": 1001}, "subjects is 1001"),
        ({"images": 101}, "images is 101"),
        ({"seed": -1}, "seed is -1"),
        ({"jobs": 0}, "jobs is 0"),
        ({"image_format": "gif"}, "'gif'"),
    ],
)
def test_impossible_values(tmp_path, changes, words):
    arguments = {"subjects": 1, "images": 1, "seed": 0, "jobs": 1} | changes
    with pytest.raises(DatasetError, match=words):
        synthesize(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_png_images(tmp_path):
    out = synthesize(tmp_path / "p", 1, 1, 2, jobs=1, image_format="png")
    path = out / "000" / "L" / "S5000L00.png"
    assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape == (480, 640)
    assert read_truth(path)[2].any()


def test_missing_truth_is_named(written, tmp_path):
    with pytest.raises(DatasetError, match=r"x\.json"):
        read_truth(tmp_path / "x.jpg")
    source = next(written.rglob("*.json"))
    geometry = json.loads(next(p for p in written.rglob("S5*.json")).read_text())
    (tmp_path / "y.json").write_text(json.dumps(geometry))
    with pytest.raises(DatasetError, match=r"y_mask\.png"):
        read_truth(tmp_path / "y.jpg")
    assert source.exists()
