"""A process that is killed, or a disk that is full, at any moment of a change."""

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, MATCHER, strangers

from iris_tf.matching.gallery_folder import GalleryFolder
from iris_tf.matching.gallery_journal import EnrolledImage, Journal
from iris_tf.matching.protected_files import encrypt_stored
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template_records import TemplateRecords

FORK = multiprocessing.get_context("fork")
VECTORS = strangers(0, 60)
NEW = strangers(1, 8)
KEY, OTHER = SecretKey(b"k" * 32), SecretKey(b"o" * 32)
FILES = (
    "gallery_writer.py", "gallery_journal.py", "gallery_state.py", "gallery_vault.py",
    "row_file.py", "gallery_files.py", "protected_files.py",
)  # fmt: skip


def images(prefix, count):
    return [EnrolledImage(f"{prefix}{n}", "1.png") for n in range(count)]


CHANGES = {
    "add": lambda writer: writer.add(images("new", 8), NEW),
    "replace": lambda writer: writer.add(images("old", 8), NEW, replace=True),
    "remove": lambda writer: writer.remove([f"old{n}" for n in range(20)]),
    "compact": lambda writer: writer.compact(),
}


@pytest.fixture
def folder(tmp_path):
    """A folder in memory, if there is one: a killed process loses nothing that it has written."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def made(folder):
    """60 identities, some of them removed, so that there is something to compact."""
    gallery = GalleryFolder.make(folder / "made", KIND)
    with gallery.writing() as writer:
        writer.add(images("gone", 20), VECTORS[40:])
        writer.add(images("old", 40), VECTORS[:40])
        writer.remove([f"gone{n}" for n in range(20)])
    return gallery


def content(path, key=None):
    whole = GalleryFolder(path, key).load()
    return dict(zip(whole.identities, whole.embeddings.round(3).tolist(), strict=True))


def changed(path, change, key=None):
    with GalleryFolder(path, key).writing() as writer:
        CHANGES[change](writer)


def killed_at(step, act, *arguments):
    """Whether a process that calls a function was killed (-9) at a line of galleries' code."""

    def run():
        passed = 0

        def trace(frame, event, _):
            nonlocal passed
            if not frame.f_code.co_filename.endswith(FILES):
                return None
            if event == "line":
                passed += 1
                if passed == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        act(*arguments)
        os._exit(0)

    process = FORK.Process(target=run)
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_whole_or_not_at_all_wherever_the_process_is_killed(made, folder, change):
    before = content(made.path)
    shutil.copytree(made.path, folder / "after")
    with GalleryFolder(folder / "after").writing() as writer:
        CHANGES[change](writer)
    after = content(folder / "after")
    assert (before == after) == (change == "compact")
    step, outcomes = 1, []
    while True:
        copy = folder / f"killed-{step}"
        shutil.copytree(made.path, copy)
        if not killed_at(step, changed, copy, change):
            break
        found = content(copy)
        assert found in (before, after)
        outcomes.append(found == after)
        with GalleryFolder(copy).writing() as writer:  # cleans up, and goes on
            writer.add([EnrolledImage("later")], VECTORS[40:41])
            count = len(GalleryFolder(copy))
        assert content(copy).keys() == found.keys() | {"later"}
        sizes = {file.name.split("-")[0]: file.stat().st_size for file in copy.glob("*.bin")}
        assert len(sizes) == 3 == len(list(copy.glob("*.bin")))
        if change == "compact" and found is after:
            assert sizes["figures"] == 8 * count
        shutil.rmtree(copy)
        step += 9
    assert len(outcomes) > 10, len(outcomes)
    if change != "compact":
        assert outcomes == sorted(outcomes)
        assert not outcomes[0] and outcomes[-1]


def test_what_was_removed_is_overwritten_though_the_remover_was_killed(made):
    os.sync()
    step = 1
    while killed_at(step, changed, made.path, "remove") and "old0" in content(made.path):
        step += 5
    with made.writing():
        pass
    rows = np.fromfile(made.path / "records-000001.bin", np.uint8).reshape(60, -1)
    assert rows.any(axis=1).tolist() == [False] * 40 + [True] * 20


def test_every_acknowledged_enrolment_is_present_after_kills_at_random_moments(folder):
    path = folder / "gallery"
    GalleryFolder.make(path, KIND)
    rng = np.random.default_rng(0)
    acknowledged = []

    def enrol(start, pipe):
        with GalleryFolder(path).writing() as writer:
            for number in range(start, start + 10_000):
                vectors = VECTORS[[number % 60, (number + 1) % 60]]
                writer.add(
                    [EnrolledImage(f"{number}", "a"), EnrolledImage(f"{number}", "b")], vectors
                )
                pipe.send(number)
                if number % 20 == 19:
                    writer.remove([f"{number - 1}"])
                    pipe.send(-(number - 1))
                    writer.compact()

    for turn in range(12):
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(target=enrol, args=(1_000 * (turn + 1), sender))
        process.start()
        sender.close()
        receiver.poll(60)  # the first acknowledgement
        time.sleep(float(rng.uniform(0.0, 0.15)))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        try:
            while True:
                acknowledged.append(receiver.recv())
        except EOFError:
            pass
        gone = {-number for number in acknowledged if number < 0}
        stored = GalleryFolder(path).load()
        found = dict(
            zip(zip(stored.identities, stored.images, strict=True), stored.embeddings, strict=True)
        )
        for number in acknowledged:
            # A removal may have been done, but not yet acknowledged.
            if number < 0 or number in gone or (number % 20 == 18 and number + 1 in acknowledged):
                continue
            for image, offset in (("a", 0), ("b", 1)):
                expected = VECTORS[(number + offset) % 60]
                assert found.pop((f"{number}", image)) @ expected > 0.99
        assert not {int(identity) for identity, _ in found} & gone
    assert len(acknowledged) > 100


def test_a_full_disk_is_one_sentence_and_loses_nothing(made, monkeypatch):
    before = content(made.path)
    write, left = os.write, 3_000

    def limited(descriptor, data):
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = write(descriptor, data[:left])
        left -= count
        return count

    with made.writing() as writer:
        for change in ("add", "replace", "compact"):
            left = 3_000
            with monkeypatch.context() as patched:
                patched.setattr(os, "write", limited)
                with pytest.raises(OSError) as raised:
                    CHANGES[change](writer)
            assert raised.value.errno == errno.ENOSPC
            assert raised.value.filename.endswith(".bin")
            assert content(made.path) == before
            assert (made.path / "records-000001.bin").stat().st_size == 60 * TemplateRecords(
                KIND
            ).size
        CHANGES["add"](writer)  # there is space again
    assert len(made) == 48


def test_a_journal_that_cannot_grow_is_a_full_disk(made):
    before = content(made.path)
    with made.writing() as writer:
        writer._connection.execute("PRAGMA max_page_count = 1")  # SQLite then says: disk full
        many = [EnrolledImage(f"{'x' * 400}{n}", "1.png") for n in range(60)]
        with pytest.raises(OSError) as raised:
            writer.add(many, VECTORS)
        assert raised.value.errno == errno.ENOSPC
        assert raised.value.filename.endswith("gallery.sqlite")
        assert content(made.path) == before
        writer._connection.execute("PRAGMA max_page_count = 1000000")
        writer.add(many, VECTORS)
    assert len(made) == 100


def test_a_limit_of_file_size_counts_as_a_full_disk(made):
    def run():
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, resource.RLIM_INFINITY))
        with GalleryFolder(made.path).writing() as writer:
            try:
                for turn in range(100):
                    writer.add(images(f"turn{turn}-", 8), NEW)
            except OSError as error:
                os._exit(3 if error.errno == errno.ENOSPC else 4)
        os._exit(5)

    process = FORK.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == 3
    count = len(GalleryFolder(made.path))
    assert count == len(content(made.path)) > 40
    assert (
        GalleryFolder(made.path).candidates(VECTORS[0], MATCHER, 5).gallery.identities[0] == "old0"
    )


def all_kills(made, folder, every, act, *arguments):
    """What is left of copies of a gallery, in which changes are killed at lines some way apart."""
    step = 1
    while True:
        copy = folder / f"killed-{step}"
        shutil.copytree(made, copy)
        if not killed_at(step, act, copy, *arguments):
            return
        yield copy
        shutil.rmtree(copy)
        step += every


def test_an_encryption_is_whole_or_not_at_all_wherever_the_process_is_killed(made, folder):
    before, outcomes = content(made.path), []
    for copy in all_kills(made.path, folder, 41, encrypt_stored, KEY):
        encrypted = Journal(copy).sealed_data_key() is not None
        outcomes.append(encrypted)
        assert content(copy, KEY if encrypted else None) == before
        assert encrypt_stored(copy, KEY) == (not encrypted)
        assert content(copy, KEY) == before
        assert len(list(copy.glob("*.bin"))) == 3  # nothing plain is left
        assert not any(b"old1" in file.read_bytes() for file in copy.iterdir())
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > 10 and not outcomes[0] and outcomes[-1]


def test_a_rotation_of_a_folder_is_whole_or_not_at_all(made, folder):
    encrypt_stored(made.path, KEY)
    before, outcomes = content(made.path, KEY), []
    for copy in all_kills(made.path, folder, 3, lambda path: Journal(path).rewrap(KEY, OTHER)):
        rotated = not Journal(copy).rewrap(KEY, OTHER)
        outcomes.append(rotated)
        assert content(copy, OTHER) == before
    assert outcomes == sorted(outcomes)
    assert len(outcomes) > 5 and not outcomes[0] and outcomes[-1]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_an_encrypted_folder_is_whole_or_not_at_all(made, folder, change):
    encrypt_stored(made.path, KEY)
    with GalleryFolder(made.path, KEY).writing() as writer:
        writer.remove(["old39"])  # so that there is something to compact
    before = content(made.path, KEY)
    shutil.copytree(made.path, folder / "after")
    changed(folder / "after", change, KEY)
    after, outcomes = content(folder / "after", KEY), []
    for copy in all_kills(made.path, folder, 41, changed, change, KEY):
        found = content(copy, KEY)
        assert found in (before, after)
        outcomes.append(found == after)
        with GalleryFolder(copy, KEY).writing() as writer:  # cleans up, and goes on
            writer.add([EnrolledImage("later")], VECTORS[40:41])
        assert content(copy, KEY).keys() == found.keys() | {"later"}
    assert len(outcomes) > 10
    if change != "compact":
        assert outcomes == sorted(outcomes) and not outcomes[0] and outcomes[-1]
