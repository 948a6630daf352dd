"""Gallery folders that are encrypted: used like plain ones, and of no use without their key."""

import json
import shutil
import sqlite3
import stat

import numpy as np
import pytest
from one_thread import one_thread  # noqa: F401
from template_population import KIND, LEARNED, MATCHER, mates, strangers

from iris_tf import Gallery
from iris_tf.matching.gallery_folder import GalleryFolder
from iris_tf.matching.gallery_journal import JOURNAL, EnrolledImage
from iris_tf.matching.gallery_search import Search
from iris_tf.matching.gallery_shards import open_shards
from iris_tf.matching.protected_files import FileProtection, encrypt_stored, rotate_stored
from iris_tf.matching.sealed_files import encryption_id
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.support.errors import ArgumentError, IrisTfError, ModelError, ProtectionError

KEY, OTHER = SecretKey(b"k" * 32), SecretKey(b"o" * 32)
ENROLLED, PROBES = mates(21, 1_400)
FILES = ("records", "signs", "figures")


def named(count, start=0):
    return [
        EnrolledImage(f"person{n // 2}", f"image{n}.png", f"digest{n}")
        for n in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The same 1,400 images in a plain and in an encrypted gallery."""
    folder = tmp_path_factory.mktemp("galleries")
    for name, key in (("plain", None), ("encrypted", KEY)):
        with GalleryFolder.make(folder / name, KIND, key).writing() as writer:
            writer.add(named(1_400), ENROLLED)
    return folder


@pytest.fixture
def encrypted(made, tmp_path):
    return GalleryFolder(shutil.copytree(made / "encrypted", tmp_path / "copy"), KEY)


def entries(gallery):
    """Everything that a gallery tells."""
    whole = gallery.load()
    names = list(zip(whole.identities, whole.images, strict=True))
    return names, whole.embeddings.tobytes(), whole.figures.tobytes()


def require_same(gallery, other, probes=(3, 1_200)):
    assert entries(gallery) == entries(other)
    assert gallery.identities() == other.identities()
    assert gallery.count_identities() == other.count_identities()
    for identity in ("person4", "person77", "nobody"):
        assert gallery.images_of(identity) == other.images_of(identity)
    for probe in probes:
        for how in ({}, {"wide": True}, {"exact": True}):
            found, expected = (
                one.compared(Search(PROBES[probe], MATCHER, True, **how))
                for one in (gallery, other)
            )
            assert found.images == expected.images
            np.testing.assert_array_equal(found.scores, expected.scores)
            assert found.searched == expected.searched


def test_an_encrypted_gallery_gives_what_a_plain_one_gives(made):
    encrypted, plain = GalleryFolder(made / "encrypted", KEY), GalleryFolder(made / "plain")
    assert (encrypted.encrypted, plain.encrypted) == (True, False)
    require_same(encrypted, plain)
    assert encrypted.templates_of("person9").images == ("image18.png", "image19.png")


def test_changes_are_those_of_a_plain_gallery(encrypted, made, tmp_path):
    plain = GalleryFolder(shutil.copytree(made / "plain", tmp_path / "plain"))
    for gallery in (encrypted, plain):
        gallery.compared(Search(PROBES[0], MATCHER, True))  # signs are in memory from here on
        with gallery.writing() as writer:
            writer.add([EnrolledImage("person4", "image9.png", "new")], strangers(5, 1))
            writer.add([EnrolledImage("person5", "x.png")], strangers(6, 1), replace=True)
            writer.add([EnrolledImage("", "")][:0], np.empty((0, KIND.embedding_size), np.float32))
            assert writer.remove(["person6", "nobody"]) == 2
    require_same(encrypted, plain, (3, 8, 10, 12))
    for gallery in (encrypted, plain):
        with gallery.writing() as writer:
            writer.compact()
            writer.add(named(100, 1_400), strangers(7, 100))
    require_same(encrypted, plain, (3, 12))
    require_same(GalleryFolder(encrypted.path, KEY), plain, (3,))


def test_nothing_can_be_read_without_the_key(made):
    plain = b"".join(file.read_bytes() for file in (made / "plain").iterdir())
    hidden = b"".join(file.read_bytes() for file in (made / "encrypted").iterdir())
    record = np.fromfile(made / "plain" / "records-000001.bin", np.uint8).reshape(1_400, -1)[7]
    signs = np.fromfile(made / "plain" / "signs-000001.bin", np.uint8).reshape(1_400, -1)[7]
    for secret in (b"person", b"image7", b"digest", record[:16].tobytes(), signs[:16].tobytes()):
        assert secret in plain
        assert secret not in hidden
    for file in (made / "encrypted").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    found = FileProtection.of(made / "encrypted")
    assert (found.cipher, found.key_id) == ("AES-256-GCM", encryption_id(KEY))
    assert (found.kind, found.origin, found.mode) == ("gallery folder", KIND.origin, 0o700)


def test_keys_that_do_not_fit_are_one_sentence(made, tmp_path):
    ids = {"theirs": encryption_id(KEY), "ours": encryption_id(OTHER)}
    for path, key, message in (
        ("encrypted", None, "it is encrypted with the key {theirs}; give that key"),
        ("encrypted", OTHER, "encrypted with the key {theirs}, but the key given is {ours}"),
        ("plain", KEY, "it is not encrypted although a key is given"),
    ):
        for action in (
            lambda path, key: Gallery.open(path, key),
            lambda path, key: GalleryFolder.make(path, KIND, key),
            lambda path, key: open_shards([path], key=key).__enter__(),
        ):
            with pytest.raises(ProtectionError) as raised:
                action(made / path, key)
            assert message.format(**ids) in str(raised.value)


def outcome(path):
    """What a gallery tells, or why it tells nothing: one sentence."""
    try:
        gallery = GalleryFolder(path, KEY)
        found = gallery.compared(Search(PROBES[3], MATCHER, True))
        return (*entries(gallery), found.images, found.scores.tobytes(), gallery.identities())
    except IrisTfError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return str(error)


def test_a_changed_byte_of_a_row_is_one_sentence(encrypted):
    for name in FILES:
        file = encrypted.path / f"{name}-000002.bin"
        data = bytearray(file.read_bytes())
        for place in np.random.default_rng(1).integers(len(data), size=3).tolist():
            data[place] ^= 4
            file.write_bytes(data)
            row = place // (len(data) // 1_400)
            message = f"row {row} of {name}-000002 was changed since it was encrypted"
            assert message in outcome(encrypted.path)
            data[place] ^= 4
        file.write_bytes(data)
    assert not isinstance(outcome(encrypted.path), str)


def test_a_changed_byte_of_the_journal_changes_no_answer(tmp_path):
    gallery = GalleryFolder.make(tmp_path / "small", KIND, KEY)
    with gallery.writing() as writer:
        writer.add(named(50), ENROLLED[:50])
    journal = gallery.path / JOURNAL
    data, right = bytearray(journal.read_bytes()), outcome(gallery.path)
    assert not isinstance(right, str)
    noticed = 0
    for place in np.random.default_rng(2).integers(len(data), size=50).tolist():
        for name in (f"{JOURNAL}-wal", f"{JOURNAL}-shm"):
            (gallery.path / name).unlink(missing_ok=True)
        data[place] ^= 1 << (place % 8)
        journal.write_bytes(data)
        found = outcome(gallery.path)
        assert isinstance(found, str) or found == right, place
        noticed += isinstance(found, str)
        data[place] ^= 1 << (place % 8)
    assert noticed > 10  # other bytes are free, or of an index that no answer needs


def test_rows_cannot_be_exchanged_erased_or_taken_from_another_generation(encrypted):
    def rewritten(name, change):
        [file] = encrypted.path.glob(f"{name}-*.bin")
        before = file.read_bytes()
        rows = np.frombuffer(before, np.uint8).reshape(1_400, -1).copy()
        change(rows)
        file.write_bytes(rows.tobytes())
        found = outcome(encrypted.path)
        file.write_bytes(before)
        return found

    def exchange(rows):
        rows[[3, 4]] = rows[[4, 3]]

    def erase(rows):
        rows[3] = 0

    for name in FILES:
        assert "row 3 of" in rewritten(name, exchange)
        assert "erased" in (found := rewritten(name, erase)) or "removed from" in found
    old = {name: (encrypted.path / f"{name}-000002.bin").read_bytes() for name in FILES}
    with encrypted.writing() as writer:
        writer.add([EnrolledImage("temporary")], strangers(9, 1))
        writer.remove(["temporary"])
        writer.compact()
    for name in FILES:
        shutil.copy(encrypted.path / f"{name}-000003.bin", encrypted.path.parent / name)
        (encrypted.path / f"{name}-000003.bin").write_bytes(old[name])
        assert "was changed since it was encrypted" in outcome(encrypted.path)
        shutil.copy(encrypted.path.parent / name, encrypted.path / f"{name}-000003.bin")
    assert not isinstance(outcome(encrypted.path), str)


@pytest.mark.parametrize(
    "statement",
    (
        "UPDATE images SET content = (SELECT content FROM images WHERE slot = 8) WHERE slot = 3",
        "UPDATE images SET identity = (SELECT identity FROM images WHERE slot = 8) WHERE slot = 3",
        "UPDATE images SET content = 'text' WHERE slot = 3",
        "DELETE FROM images WHERE slot = 3",
        "UPDATE state SET images = images - 1",
        "UPDATE state SET slots = slots - 1",
        "UPDATE state SET generation = generation + 1",
        "UPDATE about SET kind = replace(kind, 'mobiiris', 'mobiirix')",
        "UPDATE protection SET state = x'00'",
        "UPDATE protection SET data_key = substr(data_key, 1, 67)",
        "DELETE FROM protection",
        "DELETE FROM state",
        "DELETE FROM about",
        "PRAGMA user_version = 1",
    ),
)
def test_a_changed_journal_is_one_sentence(encrypted, statement):
    with sqlite3.connect(encrypted.path / JOURNAL) as connection:
        connection.execute(statement)
    connection.close()
    assert isinstance(outcome(encrypted.path), str)


def test_a_plain_gallery_is_encrypted_in_place(made, tmp_path):
    path = shutil.copytree(made / "plain", tmp_path / "copy")
    opened, whole = GalleryFolder(path), entries(GalleryFolder(path))
    assert encrypt_stored(path, KEY)
    assert not encrypt_stored(path, KEY)
    gallery = GalleryFolder(path, KEY)
    assert entries(gallery) == whole
    require_same(gallery, GalleryFolder(made / "plain"), (3,))
    assert {file.name for file in path.glob("*.bin")} == {f"{n}-000002.bin" for n in FILES}
    content = b"".join(file.read_bytes() for file in path.iterdir())
    for secret in (b"person", b"image7", b"digest"):
        assert secret not in content
    with pytest.raises(ProtectionError, match="was encrypted, or exchanged, since it was opened"):
        opened.load()
    with pytest.raises(ProtectionError, match="encrypted already, with the key"):
        encrypt_stored(path, OTHER)


def test_rotation_changes_the_key_alone(encrypted):
    files = {file.name: file.read_bytes() for file in encrypted.path.glob("*.bin")}
    whole, opened = entries(encrypted), encrypted
    wrapped = encrypted.journal.sealed_data_key()
    with pytest.raises(ProtectionError, match="but the key given is"):
        rotate_stored(encrypted.path, OTHER, KEY.new())
    assert rotate_stored(encrypted.path, KEY, OTHER)
    assert not rotate_stored(encrypted.path, KEY, OTHER)
    assert {file.name: file.read_bytes() for file in encrypted.path.glob("*.bin")} == files
    with pytest.raises(ProtectionError, match="but the key given is"):
        GalleryFolder(encrypted.path, KEY)
    assert entries(GalleryFolder(encrypted.path, OTHER)) == whole
    assert entries(opened) == whole  # it has the data key, which is the same
    assert not any(wrapped in file.read_bytes() for file in encrypted.path.iterdir())


def test_a_gallery_that_took_the_place_of_another_is_noticed(encrypted):
    shutil.rmtree(encrypted.path)
    with GalleryFolder.make(encrypted.path, KIND, KEY).writing() as writer:
        writer.add(named(10), ENROLLED[:10])
    with pytest.raises(ModelError, match=r"damaged .its journal was changed since it was encry"):
        encrypted.load()


def test_shards_are_searched_with_their_key(made, tmp_path):
    for number, part in enumerate((slice(0, 300), slice(300, 1_400))):
        with GalleryFolder.make(tmp_path / f"{number}", KIND, KEY).writing() as writer:
            writer.add(named(1_400)[part], ENROLLED[part])
    shards = [tmp_path / "0", tmp_path / "1"]
    expected = GalleryFolder(made / "plain").compared(Search(PROBES[5], MATCHER, True))
    with open_shards(shards, key=KEY) as gallery:
        for _ in range(2):
            found = gallery.compared(Search(PROBES[5], MATCHER, True))
            assert found.images == expected.images
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
        rotate_stored(shards[0], KEY, OTHER)
        with pytest.raises(ProtectionError, match="but the key given is"):
            len(gallery)
    with (
        pytest.raises(ArgumentError, match="keys are not sent to other machines"),
        open_shards(shards, "tcp://127.0.0.1:9", KEY),
    ):
        pass


def test_workers_read_the_key_themselves(made, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    KEY.save(tmp_path / "key")
    expected = GalleryFolder(made / "plain").compared(Search(PROBES[5], MATCHER, True))
    monkeypatch.setenv("IRIS_TF_KEY", OTHER.secret.hex())
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
    ) as local:
        address = local.scheduler_address
        with open_shards([made / "encrypted"], address, tmp_path / "key") as gallery:
            assert gallery.compared(Search(PROBES[5], MATCHER, True)).images == expected.images
            gallery.compared(Search(PROBES[5], MATCHER, True))
        with (
            pytest.raises(ProtectionError, match=encryption_id(OTHER)),
            open_shards([made / "encrypted"], address),  # the key of the workers' environment
        ):
            pass


def test_erased_signs_of_an_encrypted_gallery_are_no_candidates(encrypted):
    negative = ENROLLED[3].copy()
    negative[LEARNED:] = -np.abs(negative[LEARNED:])
    with encrypted.writing() as writer:
        writer.remove([f"person{n}" for n in range(100, 200)])
    found = GalleryFolder(encrypted.path, KEY).candidates(negative, MATCHER, 600).gallery
    assert len(found) == 600
    assert not {f"person{n}" for n in range(100, 200)} & set(found.identities)


def test_names_are_data_not_statements(tmp_path):
    gallery = GalleryFolder.make(tmp_path / "g", KIND, KEY)
    name = "Robert'); DROP TABLE images; -- ☃"
    with gallery.writing() as writer:
        writer.add([EnrolledImage(name, name, json.dumps(name))], strangers(0, 1))
    assert gallery.images_of(name) == [EnrolledImage(name, name, json.dumps(name))]
