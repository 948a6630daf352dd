import hashlib
import hmac
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from iris_tf.matching.gallery import Gallery
from iris_tf.matching.sealed_files import (
    DataKey,
    encryption_id,
    is_sealed,
    read_header,
    read_sealed,
    rewrap,
    write_sealed,
)
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.matching.template import Origin, Template
from iris_tf.support.errors import ModelError, ProtectionError

KEY, OTHER = SecretKey(b"\x01" * 32), SecretKey(b"\x02" * 32)
HEADER = {"kind": "test", "model": "mobiiris"}
ORIGIN = Origin("mobiiris", "ab" * 32, "gate (0123)", "feedc0de")


def hkdf(secret, info, size=32):
    extracted = hmac.digest(b"\0" * 32, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)[:size]


@pytest.fixture
def sealed(tmp_path):
    write_sealed(tmp_path / "x.npz", HEADER, b"content", KEY)
    return tmp_path / "x.npz"


def test_a_sealed_file_is_what_its_description_says(sealed):
    data = sealed.read_bytes()
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert data[:12] == b"IRTFSEAL\x01\0\0\0"
    header_length, length = int.from_bytes(data[12:16]), int.from_bytes(data[16:24])
    assert length == len(b"content")
    header = data[24 : 24 + header_length]
    assert json.loads(header) == HEADER
    wrapped = data[24 + header_length :][:68]
    assert wrapped[:8] == hkdf(KEY.secret, b"iris_tf identifier of encryption of files", 8)
    kek = hkdf(KEY.secret, b"iris_tf encryption of files")
    data_key = AESGCM(kek).decrypt(wrapped[8:20], wrapped[20:], wrapped[:8])
    body = data[24 + header_length + 68 :]
    authenticated = data[: 24 + header_length]
    assert AESGCM(data_key).decrypt(body[:12], body[12:], authenticated) == b"content"


def test_it_opens_with_its_key_only(sealed):
    assert is_sealed(sealed)
    assert read_sealed(sealed, KEY) == (HEADER, b"content")
    assert read_header(sealed) == (HEADER, encryption_id(KEY))
    with pytest.raises(ProtectionError, match=f"{encryption_id(KEY)}, but the key given is"):
        read_sealed(sealed, OTHER)
    with pytest.raises(ProtectionError, match=f"with the key {encryption_id(KEY)}; give that key"):
        read_sealed(sealed, None)


def test_no_two_files_are_alike(tmp_path):
    for name in "ab":
        write_sealed(tmp_path / name, HEADER, b"content", KEY)
    a, b = ((tmp_path / name).read_bytes() for name in "ab")
    start = 24 + int.from_bytes(a[12:16])
    # Nonces and wrapped keys: no piece of 12 bytes after the header and the key's name is shared.
    pieces = [{x[i : i + 12] for i in range(start + 8, len(x) - 11)} for x in (a, b)]
    assert not pieces[0] & pieces[1]


def test_every_changed_byte_is_noticed(sealed):
    data = sealed.read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        sealed.write_bytes(changed)
        with pytest.raises(ProtectionError) as refused:
            read_sealed(sealed, KEY)
        assert str(refused.value).startswith(f"{sealed}: ") and str(refused.value).endswith(".")


def test_every_missing_end_is_noticed(sealed):
    data = sealed.read_bytes()
    for length in range(8, len(data)):
        sealed.write_bytes(data[:length])
        with pytest.raises(ProtectionError, match="the end of the encrypted file is missing"):
            read_sealed(sealed, KEY)
    sealed.write_bytes(data + b"\0")
    with pytest.raises(ProtectionError, match="was changed"):
        read_sealed(sealed, KEY)


def test_lengths_are_checked_before_they_are_believed(sealed):
    data = sealed.read_bytes()
    for field, value in ((slice(12, 16), 2**32 - 1), (slice(16, 24), 2**63)):
        changed = bytearray(data)
        changed[field] = value.to_bytes(field.stop - field.start)
        sealed.write_bytes(changed)
        with pytest.raises(ProtectionError, match=r"was changed|is missing"):
            read_sealed(sealed, KEY)


def test_rotation_leaves_the_content_as_it_was(sealed):
    before = sealed.read_bytes()
    assert rewrap(sealed, KEY, OTHER)
    after = sealed.read_bytes()
    start = 24 + int.from_bytes(before[12:16])
    assert after[:start] == before[:start] and after[start + 68 :] == before[start + 68 :]
    assert read_sealed(sealed, OTHER) == (HEADER, b"content")
    with pytest.raises(ProtectionError, match="but the key given is"):
        read_sealed(sealed, KEY)
    assert not rewrap(sealed, KEY, OTHER)  # done already
    assert sealed.read_bytes() == after
    with pytest.raises(ProtectionError, match="but the key given is"):
        rewrap(sealed, KEY, SecretKey.new())


ROTATION = """
import sys
from pathlib import Path
from iris_tf.matching.sealed_files import rewrap
from iris_tf.matching.secret_keys import SecretKey
keys = SecretKey(b"\\x01" * 32), SecretKey(b"\\x02" * 32)
print("ready", flush=True)
while True:
    rewrap(Path(sys.argv[1]), *keys)
    keys = keys[::-1]
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_rotation_that_is_killed_leaves_the_file_readable(tmp_path):
    path, content = tmp_path / "big.npz", os.urandom(2**21)
    write_sealed(path, HEADER, content, KEY)
    delays = np.random.default_rng(0).uniform(0.0, 0.08, 12)
    for delay in delays:
        process = subprocess.Popen(
            [sys.executable, "-c", ROTATION, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        key = next(k for k in (KEY, OTHER) if encryption_id(k) == read_header(path).key_id)
        assert read_sealed(path, key) == (HEADER, content)
        rewrap(path, key, KEY)  # goes on, or has nothing to do
        assert read_sealed(path, KEY) == (HEADER, content)
    # What is left is hidden, and removed by the next process that writes there.
    assert [e.name for e in tmp_path.iterdir() if not e.name.startswith(".")] == ["big.npz"]


def test_records_are_bound_to_what_is_said_of_them():
    data_key = DataKey.unwrap(DataKey.new().wrap(KEY), KEY, "people.db")
    record = data_key.seal(b"template", b"record 7")
    assert len(record) == len(b"template") + 28
    assert data_key.open(record, b"record 7", "people.db") == b"template"
    with pytest.raises(ProtectionError, match=r"people\.db: it was changed"):
        data_key.open(record, b"record 8", "people.db")
    with pytest.raises(ProtectionError, match=r"people\.db: it was changed"):
        data_key.open(record[:20], b"record 7", "people.db")
    with pytest.raises(ProtectionError, match=r"people\.db: it is encrypted with the key"):
        DataKey.unwrap(data_key.wrap(OTHER), KEY, "people.db")


def unit_rows(count):
    rows = np.random.default_rng(0).normal(size=(count, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_templates_and_galleries_are_encrypted_with_a_key(tmp_path):
    KEY.save(tmp_path / "key")
    rows, names = unit_rows(3), ("ann", "bea", "çelik")
    Template(rows[0], ORIGIN).save(tmp_path / "eye.npz", key=tmp_path / "key")
    Gallery(rows, names, ("1", "2", ""), ORIGIN).save(tmp_path / "people.npz", key=KEY)
    for name in ("eye.npz", "people.npz"):
        data = (tmp_path / name).read_bytes()
        assert b"PK" not in data[:4] and b"bea" not in data and rows[0].tobytes() not in data
        expected = {"kind": "template" if name == "eye.npz" else "gallery"} | vars(ORIGIN)
        assert read_header(tmp_path / name) == (expected, encryption_id(KEY))
    template = Template.load(tmp_path / "eye.npz", key=KEY)
    np.testing.assert_array_equal(template.embedding, rows[0])
    assert template.origin == ORIGIN and template.quality is None
    gallery = Gallery.load(tmp_path / "people.npz", key=str(tmp_path / "key"))
    np.testing.assert_array_equal(gallery.embeddings, rows)
    assert (gallery.identities, gallery.images, gallery.origin) == (names, ("1", "2", ""), ORIGIN)
    with pytest.raises(ProtectionError, match="give that key"):
        Gallery.load(tmp_path / "people.npz")
    with pytest.raises(ModelError, match="this is not a gallery file"):
        Gallery.load(tmp_path / "eye.npz", key=KEY)


def test_a_plain_file_does_not_pass_for_an_encrypted_one(tmp_path):
    Template(unit_rows(1)[0], ORIGIN).save(tmp_path / "eye.npz")
    assert Template.load(tmp_path / "eye.npz").origin == ORIGIN
    with pytest.raises(ProtectionError, match="not encrypted although a key is given"):
        Template.load(tmp_path / "eye.npz", key=KEY)


def test_what_unpacks_to_too_much_is_refused_after_decryption(tmp_path):
    content = tmp_path / "bomb.npz"
    np.savez_compressed(
        content, kind="gallery", embeddings=np.zeros(2**25), identities="", images=""
    )
    write_sealed(tmp_path / "x.npz", {"kind": "gallery"}, content.read_bytes(), KEY)
    with pytest.raises(ModelError, match="this is not a gallery file"):
        Gallery.load(tmp_path / "x.npz", key=KEY)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_sealed_comes_back(tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = rng.bytes(int(rng.integers(0, 3000)))
    header = {f"{n}\x00\u2028{n}": "".join(map(chr, rng.integers(1, 0xD7FF, 9))) for n in range(3)}
    keys = [SecretKey(rng.bytes(32)) for _ in range(3)]
    write_sealed(tmp_path / "x", header, content, keys[0])
    for old, new in itertools.pairwise(keys):
        assert read_sealed(tmp_path / "x", old) == (header, content)
        rewrap(tmp_path / "x", old, new)
    assert read_sealed(tmp_path / "x", keys[-1]) == (header, content)
