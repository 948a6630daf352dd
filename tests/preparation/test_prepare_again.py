import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from prepared_eyes import contents, draw_folder, drawn_eye, image_names, prepare

from iris_tf.preparation import prepare_dataset
from iris_tf.preparation.extraction import CHUNK
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import DatasetError, InUseError
from iris_tf.support.files import sole_user

ROOT = Path(__file__).parents[2]
NUMBERS = itertools.count()


def children_of(process):
    """Ids of a process's child processes."""
    return [int(p) for p in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def start_prepare(eyes, out, jobs):
    """Run `prepare` in a process of its own, and wait for its first finished chunk."""
    code = (
        "import sys; from iris_tf.preparation.prepare_dataset import prepare; "
        "prepare(sys.argv[1], sys.argv[2], segmenter='opencv', jobs=int(sys.argv[3]))"
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


def test_a_finished_dataset_returns_at_once(eyes, prepared, monkeypatch):
    def never(*args):
        raise AssertionError("nothing is to be processed or written")

    for name in ("extract_all", "write_json", "write_failures", "write_manifest"):
        monkeypatch.setattr(f"iris_tf.preparation.prepare_dataset.{name}", never)
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


@pytest.fixture
def counting_segmenter(made_segmenter):
    """Name of a segmenter, and the images that it has seen so far."""
    real, seen = segmenter_by_name("opencv"), []

    def segment(image):
        seen.append(image)
        return real(image)

    # This process keeps the segmenter used last, by its name.
    return made_segmenter(segment, f"counting{next(NUMBERS)}"), seen


def test_changed_removed_and_new_images_are_all_that_is_processed(tmp_path, counting_segmenter):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=2)
    name, seen = counting_segmenter
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


def test_files_that_changed_places_are_noticed(tmp_path, counting_segmenter):
    eyes = tmp_path / "eyes"
    name, seen = counting_segmenter
    for number in range(12):  # of one size and one time, as uncompressed images can be
        path = eyes / f"{number // 2}" / f"{number % 2}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), drawn_eye(number)[0])
        os.utime(path, (1.5e9, 1.5e9))
    prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
    (eyes / "0").rename(eyes / "was")
    (eyes / "1").rename(eyes / "0")
    (eyes / "was").rename(eyes / "1")
    prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
    assert len(seen) == 12 + 4
    prepare(eyes, tmp_path / "fresh", segmenter=name, jobs=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("legacy", [False, True])
def test_the_same_bytes_in_other_files_are_not_processed_again(
    tmp_path, counting_segmenter, legacy
):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=2)
    name, seen = counting_segmenter
    out = prepare(eyes, tmp_path / "out", segmenter=name, jobs=1).folder
    if legacy:  # version 0.1 recorded size and modification time alone
        for journal in (out / ".journal").iterdir():
            lines = [json.loads(line) for line in journal.read_text().splitlines()]
            for line in lines:
                line["stamp"] = " ".join(line["stamp"].split()[:2])
            journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.copytree(eyes, tmp_path / "copy")  # with modification times, in other inodes
    shutil.rmtree(eyes)
    (tmp_path / "copy").rename(eyes)
    before = contents(out)
    prepare(eyes, out, segmenter=name, jobs=1)
    assert contents(out) == before
    assert len(seen) == 12


def test_a_folder_that_another_process_prepares_is_left_alone(tmp_path, eyes):
    with sole_user(tmp_path / "dataset"), pytest.raises(InUseError):
        prepare(eyes, tmp_path / "dataset", jobs=1)
    assert not any((tmp_path / "dataset").iterdir())


def test_a_lost_crop_is_made_again(tmp_path):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=1)
    first = prepare(eyes, tmp_path / "out", jobs=1)
    before = contents(first.folder)
    (first.folder / first.rows[2].roi).unlink()
    (first.folder / first.rows[3].roi).write_bytes(b"")  # as after a power cut
    prepare(eyes, tmp_path / "out", jobs=1)
    assert contents(first.folder) == before


def test_a_permission_that_was_missing_is_noticed(tmp_path, counting_segmenter, monkeypatch):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=2)
    name, seen = counting_segmenter
    locked = next(eyes.rglob("*.png"))
    with monkeypatch.context() as patch:  # root, who may run this, has every permission
        patch.setattr(os, "access", lambda path, mode: path != locked)
        prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
        prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
    assert len(seen) == 12
    prepare(eyes, tmp_path / "out", segmenter=name, jobs=1)
    assert len(seen) == 13


@pytest.mark.parametrize("emptied", ("manifest.csv", "dataset.json", "failures.csv"))
def test_a_table_without_its_bytes_is_written_again(tmp_path, emptied):
    eyes = draw_folder(tmp_path / "eyes", persons=3, images=2)
    dataset = prepare(eyes, tmp_path / "out", jobs=1)
    before = contents(dataset.folder)
    (dataset.folder / emptied).write_bytes(b"")  # as after a power cut
    prepare(eyes, tmp_path / "out", jobs=1)
    assert contents(dataset.folder) == before


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
    assert re.search(r"DatasetError: .*worker process was killed.*again to resume", errors)
    assert not (out / "manifest.csv").exists()

    prepare(eyes, out, jobs=1)
    assert contents(out) == contents(prepared.folder)


def test_a_killed_worker_is_one_sentence(tmp_path, eyes, monkeypatch):
    monkeypatch.setattr("iris_tf.preparation.extraction._process_chunk", lambda *args: os._exit(1))
    with pytest.raises(DatasetError, match=r"worker process was killed.*again to resume"):
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


# -- Files of the user ----------------------------------------------------------------------------


def test_what_prepare_did_not_write_stays(tmp_path):
    images = draw_folder(tmp_path / "eyes")
    out = prepare(images, tmp_path / "out", jobs=1).folder
    removed = image_names()[0]
    crop = out / "roi" / removed
    theirs = [
        out / "roi" / "thesis.txt",
        out / "roi" / "mine" / "crop.png",
        crop.with_name("notes.png"),
        crop.with_name(".hidden.png"),
        out / "overlays" / "photo.jpg",
        out / "README",
    ]
    killed = [
        crop.with_name(f".{crop.name}.0a1b2c3d.png"),
        out / ".manifest.csv.0a1b2c3d.csv",
    ]
    for path in (*theirs, *killed):
        path.parent.mkdir(exist_ok=True)
        path.write_text("kept")
    (images / removed).unlink()
    prepare(images, out, jobs=1)
    assert [path for path in theirs if not path.is_file()] == []
    assert not crop.exists()
    assert not any(path.exists() for path in killed)


def test_a_linked_folder_of_crops_keeps_what_else_is_in_it(tmp_path):
    images = draw_folder(tmp_path / "eyes")
    out = prepare(images, tmp_path / "out", jobs=1).folder
    (out / "roi").rename(tmp_path / "elsewhere")
    (out / "roi").symlink_to(tmp_path / "elsewhere")
    notes = tmp_path / "elsewhere" / "notes.txt"
    notes.write_text("kept")
    prepare(images, out, jobs=1, min_quality={"sharpness": 0.0001})
    assert notes.is_file()


def test_an_empty_description_does_not_make_a_folder_a_dataset(tmp_path):
    images = draw_folder(tmp_path / "eyes")
    thesis = tmp_path / "out" / "roi" / "mine" / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("kept")
    (tmp_path / "out" / "dataset.json").touch()
    with pytest.raises(DatasetError, match=r"dataset\.json: is empty, and the folder holds other"):
        prepare(images, tmp_path / "out", jobs=1)
    assert thesis.is_file()


def test_crops_that_vanish_meanwhile_are_missed(tmp_path, monkeypatch):
    images = draw_folder(tmp_path / "eyes")
    crop = tmp_path / "out" / "roi" / image_names()[3]
    remove_leftovers = prepare_dataset.remove_leftovers

    def remove_one_more(*arguments):
        remove_leftovers(*arguments)
        crop.unlink()

    monkeypatch.setattr(prepare_dataset, "remove_leftovers", remove_one_more)
    with pytest.raises(DatasetError, match=f"{crop}: this crop, one of 1, was removed"):
        prepare(images, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out" / "manifest.csv").exists()
    monkeypatch.undo()
    assert prepare(images, tmp_path / "out", jobs=1).counts["prepared"] == len(image_names())


def test_a_journal_of_others_removes_nothing_outside_the_dataset(tmp_path):
    images = draw_folder(tmp_path / "eyes", persons=3, images=1)
    out = prepare(images, tmp_path / "out", jobs=1).folder
    before = contents(out)
    (record, *_) = (out / ".journal" / "finished.jsonl").read_text().splitlines()
    outcome = json.loads(record) | {"image": "../../photo.png"}
    (out / ".journal" / "theirs.jsonl").write_text(json.dumps(outcome) + "\n")
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"kept")
    (out / "manifest.csv").unlink()
    prepare(images, out, jobs=1)
    assert photo.read_bytes() == b"kept"
    assert contents(out) == before


@pytest.mark.parametrize("counts", [None, {}, {"images": "6"}])
def test_damaged_counts_are_counted_again(tmp_path, counts):
    images = draw_folder(tmp_path / "eyes", persons=3, images=1)
    out = prepare(images, tmp_path / "out", jobs=1).folder
    before = contents(out)
    description = json.loads((out / "dataset.json").read_text())
    (out / "dataset.json").write_text(json.dumps(description | {"counts": counts}))
    prepare(images, out, jobs=1)
    assert contents(out) == before
