import dataclasses
import multiprocessing
import os
import sqlite3
import stat
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, LAYOUT, LEARNED, MATCHER, mates, strangers

from iris_tf import Gallery
from iris_tf.matching.gallery_folder import GalleryFolder
from iris_tf.matching.gallery_journal import JOURNAL, EnrolledImage
from iris_tf.matching.gallery_writer import HOLDER
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.phase_signs import merge, nearest, phase_signs
from iris_tf.matching.template import Origin, Template
from iris_tf.matching.template_records import TemplateKind, TemplateRecords
from iris_tf.support.errors import ArgumentError, InUseError, ModelError


def named(count, start=0, images=1):
    return [
        EnrolledImage(f"p{n // images}", f"{n % images}.png") for n in range(start, start + count)
    ]


@pytest.fixture
def gallery(tmp_path):
    return GalleryFolder.make(tmp_path / "gallery", KIND)


@pytest.fixture
def filled(gallery):
    """300 images of 150 identities."""
    with gallery.writing() as writer:
        writer.add(named(300, images=2), strangers(0, 300))
    return gallery


def as_stored(embeddings):
    encoding = TemplateRecords(KIND)
    return encoding.decode(encoding.encode(embeddings))


def rows_of(gallery):
    """Embeddings by (identity, image)."""
    whole = gallery.load()
    assert len(set(zip(whole.identities, whole.images, strict=True))) == len(whole)
    return dict(
        zip(zip(whole.identities, whole.images, strict=True), whole.embeddings, strict=True)
    )


def test_what_was_enrolled_is_there_after_opening_again(filled):
    found = Gallery.open(filled.path)
    assert isinstance(found, GalleryFolder)
    assert (len(found), found.count_identities()) == (300, 150)
    assert found.identities() == sorted({f"p{n}" for n in range(150)})
    assert [image.image for image in found.images_of("p7")] == ["0.png", "1.png"]
    assert found.images_of("nobody") == []
    stored = rows_of(found)
    for image, embedding in zip(named(300, images=2), as_stored(strangers(0, 300)), strict=True):
        np.testing.assert_array_equal(stored[image.identity, image.image], embedding)


def test_a_file_is_opened_by_the_same_call(tmp_path):
    Gallery(strangers(0, 2), ("a", "b"), ("", ""), KIND.origin).save(tmp_path / "g.npz")
    assert len(Gallery.open(tmp_path / "g.npz")) == 2


def test_files_can_be_read_by_their_owner_alone(filled):
    assert stat.S_IMODE(filled.path.stat().st_mode) == 0o700
    with filled.writing():
        files = list(filled.path.iterdir())
        assert {JOURNAL, HOLDER, "records-000001.bin"} <= {file.name for file in files}
        for file in files:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_an_image_of_the_same_name_is_replaced_and_others_stay(filled):
    new = strangers(1, 1)
    with filled.writing() as writer:
        writer.add([EnrolledImage("p3", "1.png", "changed")], new)
    assert len(filled) == 300
    stored = rows_of(filled)
    np.testing.assert_array_equal(stored["p3", "1.png"], as_stored(new)[0])
    np.testing.assert_array_equal(stored["p3", "0.png"], as_stored(strangers(0, 300))[6])
    assert [image.content for image in filled.images_of("p3")] == ["", "changed"]


def test_images_replace_all_earlier_ones_of_an_identity_if_asked(filled):
    with filled.writing() as writer:
        writer.add([EnrolledImage("p3", "new.png")], strangers(1, 1), replace=True)
    assert [image.image for image in filled.images_of("p3")] == ["new.png"]
    assert len(filled) == 299


def test_images_without_a_name_do_not_replace_each_other(gallery):
    with gallery.writing() as writer:
        writer.add([EnrolledImage("ann"), EnrolledImage("ann")], strangers(0, 2))
        writer.add([EnrolledImage("ann")], strangers(1, 1))
    assert len(gallery.images_of("ann")) == 3


def test_what_was_removed_is_overwritten_at_once_and_gone_after_compaction(filled):
    files = [filled.path / f"{name}-000001.bin" for name in ("records", "signs", "figures")]
    before = [np.fromfile(file, np.uint8).reshape(300, -1) for file in files]
    kept = rows_of(filled)
    with filled.writing() as writer:
        assert writer.remove(["p3", "p5", "nobody"]) == 4
        assert writer.wasted == pytest.approx(4 / 300)
        for file, rows in zip(files, before, strict=True):
            rows[[6, 7, 10, 11]] = 0
            np.testing.assert_array_equal(np.fromfile(file, np.uint8).reshape(300, -1), rows)
        writer.compact()
        assert writer.wasted == 0.0
    assert sorted(file.name for file in filled.path.glob("*.bin")) == [
        f"{name}-000002.bin" for name in ("figures", "records", "signs")
    ]
    stored = rows_of(filled)
    assert stored.keys() == {key for key in kept if key[0] not in ("p3", "p5")}
    for key, embedding in stored.items():
        np.testing.assert_array_equal(embedding, kept[key])
    assert filled.candidates(kept["p9", "0.png"], MATCHER, 1).gallery.identities == ("p9",)


def test_signs_are_the_nearest_that_a_naive_loop_finds():
    codes = strangers(0, 60)[:, LEARNED:]
    signs = phase_signs(codes)
    bits = np.unpackbits(signs, axis=1).astype(bool)
    seen = codes != 0
    np.testing.assert_array_equal(bits[seen], codes[seen] > 0)
    probe = strangers(0, 60)[9, LEARNED:].copy()
    per_column = LAYOUT.size // LAYOUT.columns
    own = np.unpackbits(phase_signs(probe[None])[0]).astype(bool)
    expected = []
    for row in range(60):
        least = min(
            sum(bool(a) != bool(b) for a, b in zip(rotated, bits[row], strict=True))
            for rotated in (
                np.roll(own, by * per_column) for by in range(-LAYOUT.turns, LAYOUT.turns + 1)
            )
        )
        expected.append((least, row))
    rows, distances = nearest(probe, signs, LAYOUT, 25)
    assert list(zip(distances.tolist(), rows.tolist(), strict=True)) == sorted(expected)[:25]
    assert (distances[0], rows[0]) == (0, 9)


def test_hidden_places_say_nothing():
    """Two templates that hide the same half agree there in half of the bits, not in all."""
    codes = strangers(0, 200)[:, LEARNED:].copy()
    codes[:, : LAYOUT.size // 2] = 0.0
    bits = np.unpackbits(phase_signs(codes), axis=1)[:, : LAYOUT.size // 2]
    differ = (bits[:100] != bits[100:]).mean(axis=1)
    assert abs(differ.mean() - 0.5) < 0.01
    assert differ.min() > 0.4


def test_lists_of_parts_merge_to_the_list_of_the_whole():
    codes = strangers(2, 500)[:, LEARNED:]
    codes[250:260] = codes[0]  # equally near
    signs = phase_signs(codes)
    whole = nearest(codes[0], signs, LAYOUT, 40)
    parts = [(start, nearest(codes[0], signs[start : start + 130], LAYOUT, 40))
             for start in range(0, 500, 130)]  # fmt: skip
    rows = np.concatenate([found[0] + start for start, found in parts])
    distances = np.concatenate([found[1] for _, found in parts])
    for found, expected in zip(merge(rows, distances, 40), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_ten_thousand_are_enrolled_found_as_by_comparing_all_and_removed(gallery):
    enrolled, probes = mates(5, 10_000)
    with gallery.writing() as writer:
        for start in range(0, 10_000, 2_500):
            part = slice(start, start + 2_500)
            writer.add(named(10_000)[part], enrolled[part])
        for probe in range(0, 10_000, 1_250):
            found = gallery.candidates(probes[probe], MATCHER, 100)
            assert found.images == 10_000
            first = found.gallery.scores(probes[probe], MATCHER).values.argmax()
            assert found.gallery.identities[first] == f"p{probe}"
        exact = gallery.candidates(probes[1_250], MATCHER, 100, exact=True).gallery
        scores = exact.scores(probes[1_250], MATCHER).values[0]
        assert exact.identities[0] == "p1250"
        assert (np.diff(scores) <= 1e-5).all()
        whole = gallery.load()
        expected = np.sort(whole.scores(probes[1_250], MATCHER).values[0])[::-1][:100]
        np.testing.assert_allclose(scores, expected, atol=1e-3)
        part = Gallery(whole.embeddings[:99], ("",) * 99, ("",) * 99, KIND.origin)  # no figures
        np.testing.assert_allclose(
            part.scores(probes[9], MATCHER).values[0],
            whole.scores(probes[9], MATCHER).values[0, :99],
            atol=1e-3,
        )
        assert writer.remove([f"p{n}" for n in range(10_000)]) == 10_000
        writer.compact()
    assert len(gallery) == 0
    assert sum(file.stat().st_size for file in gallery.path.glob("*.bin")) == 0


def test_removed_templates_take_no_places_of_candidates(gallery):
    enrolled = strangers(6, 2_000)
    with gallery.writing() as writer:
        writer.add(named(2_000), enrolled)
        writer.remove([f"p{n}" for n in range(1_000)])
        # Signs that were erased are nearest of all to a code without a positive entry.
        negative = enrolled[3].copy()
        negative[LEARNED:] = -np.abs(negative[LEARNED:])
        for probe in (enrolled[3], negative):
            found = gallery.candidates(probe, MATCHER, 200)
            assert len(found.gallery) >= 100
            assert {int(name[1:]) for name in found.gallery.identities} <= {*range(1_000, 2_000)}
        assert found.images == 1_000


def test_without_a_phase_code_every_template_is_compared(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5_000, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    gallery = GalleryFolder.make(tmp_path / "g", TemplateKind(Origin("m", "cd" * 32), 8, None))
    with gallery.writing() as writer:
        writer.add(named(5_000), vectors)
    found = gallery.candidates(vectors[77], Matcher(), 50).gallery
    assert found.identities[0] == "p77"
    stored = gallery.load().embeddings
    expected = np.argsort(-(stored @ vectors[77]), kind="stable")[:50]
    assert found.identities == tuple(f"p{n}" for n in expected)


def test_a_small_gallery_needs_no_first_stage(filled, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    assert len(filled.candidates(strangers(0, 1)[0], MATCHER).gallery) == 300
    with pytest.raises(ModelError, match=r"needs faiss.*iris_tf\[gallery\].*exact"):
        filled.candidates(strangers(0, 1)[0], MATCHER, 10)
    assert len(filled.candidates(strangers(0, 1)[0], MATCHER, 10, exact=True).gallery) == 10


def searched(path, probe):
    found = GalleryFolder(path).candidates(probe, MATCHER, 20).gallery
    return found.identities, found.embeddings.tobytes()


def test_readers_in_threads_and_processes_find_what_a_single_one_does(filled):
    probes = strangers(0, 300)[::30]
    serial = [searched(filled.path, probe) for probe in probes]
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(searched, filled.path, probe) for probe in (*probes, *probes)]
        assert [future.result() for future in futures] == [*serial, *serial]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn) as pool:
        futures = [pool.submit(searched, filled.path, probe) for probe in probes]
        assert [future.result() for future in futures] == serial


def test_readers_are_never_disturbed_by_a_writer(filled):
    """While others are added, removed and files compacted, an identity that stays is found."""
    stays = strangers(0, 300)[20]
    ended, problems, searches = threading.Event(), [], []

    def read():
        while not ended.is_set():
            try:
                found = filled.candidates(stays, MATCHER, 30).gallery
                searches.append(found.identities[0])
                assert found.identities[0] == "p10"
            except BaseException as error:
                problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    with filled.writing() as writer:
        for turn in range(15):
            writer.add([EnrolledImage(f"new{n}") for n in range(40)], strangers(50 + turn, 40))
            writer.remove([f"new{n}" for n in range(40)])
            if turn % 3 == 2:
                writer.compact()
    ended.set()
    for reader in readers:
        reader.join()
    assert not problems
    assert len(searches) > 3


def test_the_second_writer_is_told_who_holds_the_gallery(filled):
    with filled.writing(), pytest.raises(InUseError) as raised, filled.writing():
        pass
    assert f"process {os.getpid()} on " in str(raised.value)
    assert "writing to this gallery" in str(raised.value)
    with filled.writing():  # released
        pass


def test_an_empty_gallery_says_so(gallery):
    assert len(gallery) == 0
    for search in (gallery.load, lambda: gallery.candidates(strangers(0, 1)[0], MATCHER)):
        with pytest.raises(ModelError, match="gallery is empty; enrol an eye first"):
            search()
    with gallery.writing() as writer:
        writer.compact()
        assert writer.remove(["nobody"]) == 0
        writer.add([], np.empty((0, KIND.embedding_size), np.float32))


def test_galleries_of_another_kind_are_refused(filled, tmp_path):
    other = TemplateKind(Origin("mobiiris", "cd" * 32), KIND.embedding_size, LAYOUT)
    with pytest.raises(ModelError, match="another model file"):
        GalleryFolder.make(filled.path, other)
    calibrated = TemplateKind(
        Origin("mobiiris", "ab" * 32, "door (12)"), KIND.embedding_size, LAYOUT
    )
    with pytest.raises(
        ModelError,
        match=r"the gallery was made with no calibration, but the calibration door .12. is in use",
    ):
        GalleryFolder.make(filled.path, calibrated)
    with pytest.raises(ModelError, match="784 numbers, but the model in use gives 8"):
        filled.candidates(np.eye(8, dtype=np.float32)[0], Matcher())
    assert len(GalleryFolder.make(filled.path, KIND)) == 300


def test_folders_that_are_no_galleries_are_refused(tmp_path):
    with pytest.raises(
        ModelError, match="there is no such gallery; make one with `iris-tf enroll`"
    ):
        Gallery.open(tmp_path / "missing")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ModelError, match=r"exists and is no gallery; .* nothing was written"):
        GalleryFolder.make(tmp_path / "mine", KIND)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    with pytest.raises(ModelError, match="exists and is no gallery"):
        GalleryFolder.make(tmp_path / "mine" / "letter.txt", KIND)
    (tmp_path / "mine" / JOURNAL).write_bytes(b"something else " * 1000)
    with pytest.raises(ModelError, match="journal of this gallery cannot be read"):
        GalleryFolder(tmp_path / "mine")
    (tmp_path / "other").mkdir()
    sqlite3.connect(tmp_path / "other" / JOURNAL).execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(ModelError, match="not the journal of a gallery"):
        GalleryFolder(tmp_path / "other")


def test_a_gallery_of_another_version_is_refused(filled):
    for change in ("PRAGMA user_version = 9", "UPDATE about SET encoding = 'better'"):
        with sqlite3.connect(filled.path / JOURNAL) as connection:
            connection.execute(change)
        connection.close()
        with pytest.raises(ModelError, match=r"of another version.*enrol again"):
            GalleryFolder(filled.path)


def test_damage_is_one_sentence(filled):
    probe = strangers(0, 1)[0]
    records = filled.path / "records-000001.bin"
    data = bytearray(records.read_bytes())
    data[100] ^= 1
    records.write_bytes(data)
    with pytest.raises(ModelError, match=r"damaged .the checksum of a template is wrong.; restore"):
        filled.candidates(probe, MATCHER)
    records.write_bytes(data[:-1])
    with pytest.raises(ModelError, match=r"damaged .records-000001\.bin has fewer than 300 rows"):
        filled.candidates(probe, MATCHER)
    records.unlink()
    with pytest.raises(ModelError, match=r"damaged .*records-000001\.bin"):
        filled.candidates(probe, MATCHER)


def test_what_cannot_be_enrolled_is_refused_and_changes_nothing(filled):
    good = strangers(1, 2)
    cases = [
        ([EnrolledImage("a")], good, "for 1 images"),
        ([EnrolledImage("a"), EnrolledImage("b")], np.eye(2, 8, dtype=np.float32), "holds 784"),
        ([EnrolledImage("a"), EnrolledImage("b")], 2 * good, "not of unit length"),
        ([EnrolledImage("a"), EnrolledImage("")], good, "empty"),
        ([EnrolledImage("a"), EnrolledImage("b\0")], good, "rename"),
        ([EnrolledImage("a"), EnrolledImage("b", "\udcff.png")], good, "rename"),
        ([EnrolledImage("a"), EnrolledImage(7)], good, "no text"),
        ([EnrolledImage("a", "1"), EnrolledImage("a", "1")], good, "given twice"),
        ([EnrolledImage("a"), EnrolledImage("b")], good * np.float32(np.nan), "unit length"),
    ]  # fmt: skip
    with filled.writing() as writer:
        for images, embeddings, message in cases:
            with pytest.raises(ArgumentError, match=message):
                writer.add(images, embeddings)
    assert len(filled) == 300


def test_names_are_data_not_statements(gallery):
    name = "Robert'); DROP TABLE images; -- ☃"
    with gallery.writing() as writer:
        writer.add([EnrolledImage(name, name, name)], strangers(0, 1))
    assert gallery.images_of(name) == [EnrolledImage(name, name, name)]


def test_a_medium_that_nobody_can_write_is_read(filled, monkeypatch):
    """As root, permissions hinder nobody: the system is asked in a way that says no."""
    monkeypatch.setattr("iris_tf.matching.gallery_journal.os.access", lambda *_: False)
    for name in ("-wal", "-shm"):
        (filled.path / f"{JOURNAL}{name}").unlink(missing_ok=True)
    assert len(GalleryFolder(filled.path)) == 300
    assert not (filled.path / f"{JOURNAL}-shm").exists()


def test_images_rotated_beyond_the_layout_are_looked_for_where_asked(gallery):
    enrolled, probes = mates(8, 400, noise=0.4)
    probe = LAYOUT.rotate(probes[5:6], 20)[0]
    with gallery.writing() as writer:
        writer.add(named(400), enrolled)
    upright = gallery.candidates(probe, MATCHER, 20).gallery
    wide = gallery.candidates(probe, MATCHER, 20, wide=True).gallery
    assert wide.identities[0] == "p5"
    assert upright.identities[0] != "p5"


def test_identify_finds_images_rotated_by_any_angle_in_large_galleries(gallery):
    from iris_tf.recognition.operating_points import OperatingPoints
    from iris_tf.recognition.recognizer import IrisRecognizer

    class Card:
        embedding_size, score = KIND.embedding_size, dataclasses.replace(
            MATCHER.score_model, wide_share=0.25
        )  # fmt: skip

    recognizer = object.__new__(IrisRecognizer)
    recognizer.card, recognizer.origin, recognizer.calibration = Card(), KIND.origin, None
    recognizer.matcher = Matcher(LAYOUT, Card.score)
    recognizer._points = OperatingPoints(dict(Card.score.thresholds), "drawn", True, "far_1e-3")
    enrolled, probes = mates(8, 1_500, noise=0.3)
    with gallery.writing() as writer:
        writer.add(named(1_500), enrolled)
    for number in (3, 700):
        for by in (0, 20, 32):
            probe = Template(LAYOUT.rotate(probes[number : number + 1], by)[0], KIND.origin)
            found = recognizer.identify(probe, gallery)
            exact = recognizer.identify(probe, gallery, exact=True)
            assert found.identity == exact.identity == f"p{number}"
            assert found.threshold == exact.threshold
            assert found.matches[0].score == pytest.approx(exact.matches[0].score, abs=1e-3)
    stranger = Template(strangers(77, 1)[0], KIND.origin)
    assert recognizer.identify(stranger, gallery, "fmr_1e-6").identity is None
