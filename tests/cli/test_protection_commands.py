import json
import os
import signal
import stat
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from iris_tf.matching.gallery import Gallery
from iris_tf.matching.keyed_transform import KeyedTransform
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.sealed_files import encryption_id, is_sealed, read_header
from iris_tf.matching.secret_keys import KEY_VARIABLE, SecretKey
from iris_tf.matching.template import Origin, Template

ORIGIN = Origin("mobiiris", "ab" * 32, "gate (0123)", "feedc0de")
ROWS = np.eye(3, 8, dtype=np.float32)


@pytest.fixture(autouse=True)
def no_key_outside(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def people(tmp_path):
    """A gallery and a template in a folder, both plain, and a file that is neither."""
    folder = tmp_path / "people"
    Gallery(ROWS, ("a", "b", "c"), ("1", "2", "3"), ORIGIN).save(folder / "all.npz")
    Template(ROWS[0], ORIGIN).save(folder / "one" / "a.npz")
    np.savez(folder / "other.npz", numbers=ROWS)
    return folder


@pytest.fixture
def keys(run_cli, tmp_path):
    for name in ("first", "second"):
        assert run_cli("gallery", "key", tmp_path / name)[0] == 0
    return tmp_path / "first", tmp_path / "second"


def refused(run_cli, *arguments):
    status, _, err = run_cli("gallery", *arguments)
    assert status == 2
    [line] = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert line.endswith(".")
    return line


def test_a_key_is_made_once(run_cli, tmp_path):
    status, out, _ = run_cli("gallery", "key", tmp_path / "key")
    identifier = encryption_id(SecretKey.read(tmp_path / "key"))
    assert status == 0 and out.startswith(f"key {identifier} written to ")
    assert SecretKey.read(tmp_path / "key").secret.hex() not in out
    assert "there is a key already" in refused(run_cli, "key", tmp_path / "key")


def test_encrypt_rotate_and_audit(run_cli, people, keys, monkeypatch):
    first, second = keys
    ids = [encryption_id(SecretKey.read(path)) for path in keys]
    (people / "all.npz").chmod(0o644)
    status, out, _ = run_cli("gallery", "audit", people)
    assert status == 0
    assert out.splitlines() == [
        f"{people / 'all.npz'}: gallery, plain, mode 0644",
        "  model mobiiris (SHA-256 abababababab), calibration gate (0123), transform feedc0de",
        f"{people / 'one' / 'a.npz'}: template, plain, mode 0600",
        "  model mobiiris (SHA-256 abababababab), calibration gate (0123), transform feedc0de",
        "2 files: 2 plain, 1 that others than the owner may read",
    ]
    status, out, _ = run_cli("gallery", "encrypt", people, "--key", first)
    assert (status, out) == (0, f"encrypted with the key {ids[0]}: 2, before: 0\n")
    assert run_cli("gallery", "encrypt", people, "--key", first)[1].endswith(": 0, before: 2\n")
    assert stat.S_IMODE((people / "all.npz").stat().st_mode) == 0o600
    assert "encrypted already" in refused(run_cli, "encrypt", people, "--key", second)
    np.testing.assert_array_equal(Gallery.load(people / "all.npz", first).embeddings, ROWS)

    monkeypatch.setenv(KEY_VARIABLE, SecretKey.read(first).secret.hex())
    status, out, _ = run_cli("gallery", "rotate", people, "--new-key", second)
    assert (status, out) == (0, f"encrypted with the key {ids[1]}: 2, before: 0\n")
    status, out, _ = run_cli("gallery", "rotate", people, "--new-key", second)
    assert (status, out) == (0, f"encrypted with the key {ids[1]}: 0, before: 2\n")
    assert Template.load(people / "one" / "a.npz", second).origin == ORIGIN

    status, out, _ = run_cli("gallery", "audit", people / "all.npz", "--json")
    assert status == 0
    assert json.loads(out) == [
        {
            "path": str(people / "all.npz"),
            "kind": "gallery",
            "origin": vars(ORIGIN),
            "cipher": "AES-256-GCM",
            "key_id": ids[1],
            "mode": "0600",
        }
    ]
    assert not is_sealed(people / "other.npz")


def test_what_cannot_be_done_is_one_sentence(run_cli, people, keys, tmp_path):
    first, second = keys
    assert "give --key" in run_cli("gallery", "encrypt", people)[2]
    rotate = ("rotate", people, "--key", first, "--new-key", second)
    assert "all.npz: it is not encrypted" in refused(run_cli, *rotate)
    assert "no such file or folder" in refused(run_cli, "audit", tmp_path / "nothing")
    other = people / "other.npz"
    assert "not a template or gallery" in refused(run_cli, "encrypt", other, "--key", first)
    assert "not a template or gallery" in refused(run_cli, "audit", other)
    run_cli("gallery", "encrypt", people, "--key", first)
    data = bytearray((people / "all.npz").read_bytes())
    (people / "all.npz").write_bytes(data[:100])
    assert "all.npz: the end of the encrypted file is missing" in refused(
        run_cli, "audit", people / "all.npz"
    )
    data[-1] ^= 1
    (people / "all.npz").write_bytes(data)
    assert "all.npz: it was changed" in refused(run_cli, "encrypt", people, "--key", first)


ROTATE = """
import sys
from iris_tf.cli.app import main
import iris_tf.matching.protected_files as files
rewrap = files.rewrap
def slowly(*arguments):
    print("file", flush=True)
    return rewrap(*arguments)
files.rewrap = slowly
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_rotation_that_is_killed_goes_on(run_cli, tmp_path, keys):
    first, second = keys
    ids = [encryption_id(SecretKey.read(path)) for path in keys]
    folder = tmp_path / "many"
    for number in range(300):
        Template(ROWS[0], ORIGIN).save(folder / f"{number}.npz", key=first)
    arguments = ["gallery", "rotate", str(folder), "--key", str(first), "--new-key", str(second)]
    process = subprocess.Popen(
        [sys.executable, "-c", ROTATE, *arguments], stdout=subprocess.PIPE, text=True
    )
    for _ in range(20):
        assert process.stdout.readline() == "file\n"
    time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = [read_header(path).key_id for path in folder.glob("[0-9]*.npz")]
    assert len(found) == 300 and set(found) == set(ids)
    status, out, _ = run_cli(*arguments)
    assert status == 0
    assert out == (
        f"encrypted with the key {ids[1]}: {found.count(ids[0])}, before: {found.count(ids[1])}\n"
    )
    kept = [path for path in folder.iterdir() if not path.name.startswith(".")]
    assert len(kept) == 300
    for path in kept:
        np.testing.assert_array_equal(Template.load(path, second).embedding, ROWS[0])


def test_a_gallery_is_transformed_searched_and_replaced(
    run_cli, pixel_model, noisy_eye, keys, tmp_path
):
    first, second = keys
    for eye, name in enumerate(("ann", "bea", "cleo")):
        (tmp_path / "eyes" / name).mkdir(parents=True)
        for image in range(2):
            cv2.imwrite(str(tmp_path / "eyes" / name / f"{image}.png"), noisy_eye(eye, image))
    model = ("--model", pixel_model)
    probe = tmp_path / "eyes" / "bea" / "1.png"
    people, folder = tmp_path / "all.npz", tmp_path / "people"
    identify = ("identify", probe, *model, "--json", "--gallery")
    plain = json.loads(run_cli(*identify, tmp_path / "eyes", "--save-gallery", people)[1])
    assert run_cli("enroll", tmp_path / "eyes", "--gallery", folder, *model)[0] == 0
    for number, source in enumerate((people, folder)):
        copies = [tmp_path / f"copy-{number}-{which}" for which in range(2)]
        transform = ("gallery", "transform", source, copies[0], "--transform", first, *model)
        assert run_cli(*transform)[0] == 0
        replace = ("--former", first, "--transform", second)
        status, out, _ = run_cli("gallery", "transform", *copies, *replace, *model)
        assert status == 0 and out.startswith("6 images under the transform ")
        for copy, key, other in ((copies[0], first, second), (copies[1], second, first)):
            status, out, _ = run_cli(*identify, copy, "--transform", key)
            found = json.loads(out)["matches"]
            assert [m["identity"] for m in found] == [m["identity"] for m in plain["matches"]]
            for match, expected in zip(found, plain["matches"], strict=True):
                # Keys are random, and six bits a response round each transformed code again: the
                # standard deviation of similarities is 0.0015, of which this is five times as much.
                assert match["similarity"] == pytest.approx(expected["similarity"], abs=7.5e-3)
            wrong = run_cli(*identify, copy, "--transform", other)
            assert wrong[0] == 2 and "is protected by the transform" in wrong[2]
            assert "is protected by the transform" in run_cli(*identify, copy)[2]
            _, out, _ = run_cli("gallery", "audit", copy)
            assert f"transform {KeyedTransform(SecretKey.read(key), Matcher()).id}" in out
        assert "exists" in refused(run_cli, "transform", *copies, *replace, *model)
        nowhere = tmp_path / "nowhere"
        wrong = ("transform", copies[0], nowhere, "--former", second, "--transform", first, *model)
        assert "give the key that it was transformed with" in refused(run_cli, *wrong)
        assert not nowhere.exists()
    enrolled = ("enroll", tmp_path / "eyes", "--gallery", tmp_path / "keyed", *model)
    assert run_cli(*enrolled, "--transform", first)[0] == 0
    assert run_cli(*enrolled)[0] == 2  # without the key
    assert "6 were enrolled before" in run_cli(*enrolled, "--transform", first)[1]
    found = json.loads(run_cli(*identify, tmp_path / "keyed", "--transform", first)[1])
    assert found["matches"][0]["identity"] == "bea"
    status, out, _ = run_cli("gallery", "audit", tmp_path)
    assert f"{folder}: gallery folder, plain, mode 0700" in out and status == 0


def test_a_gallery_folder_is_encrypted_used_rotated_and_transformed(
    run_cli, pixel_model, noisy_eye, keys, tmp_path, monkeypatch
):
    first, second = keys
    ids = [encryption_id(SecretKey.read(path)) for path in keys]
    for eye, name in enumerate(("ann", "bea", "cleo")):
        (tmp_path / "eyes" / name).mkdir(parents=True)
        for image in range(2):
            cv2.imwrite(str(tmp_path / "eyes" / name / f"{image}.png"), noisy_eye(eye, image))
    model, folder = ("--model", pixel_model), tmp_path / "people"
    probe = tmp_path / "eyes" / "bea" / "1.png"
    enroll = ("enroll", tmp_path / "eyes", "--gallery", folder, *model)
    identify = ("identify", probe, *model, "--json", "--gallery", folder)
    assert "people, which is not encrypted: 6 images" in run_cli(*enroll)[1]
    plain = json.loads(run_cli(*identify)[1])
    rotate = ("rotate", folder, "--key", first, "--new-key", second)
    assert "is not encrypted, so it has no key to change" in refused(run_cli, *rotate)
    status, _, err = run_cli(*identify, "--key", first)
    assert status == 2 and "it is not encrypted although a key is given" in err

    status, out, _ = run_cli("gallery", "encrypt", folder, "--key", first)
    assert (status, out) == (0, f"encrypted with the key {ids[0]}: 1, before: 0\n")
    assert run_cli("gallery", "encrypt", folder, "--key", first)[1].endswith(": 0, before: 1\n")
    assert "encrypted already" in refused(run_cli, "encrypt", folder, "--key", second)
    status, out, _ = run_cli("gallery", "audit", folder)
    assert f"{folder}: gallery folder, AES-256-GCM, key {ids[0]}, mode 0700" in out and status == 0
    assert json.loads(run_cli(*identify, "--key", first)[1]) == plain
    for wrong, message in (((), "give that key"), (("--key", second), "but the key given is")):
        status, _, err = run_cli(*identify, *wrong)
        assert status == 2 and f"it is encrypted with the key {ids[0]}" in err and message in err
        assert message in run_cli(*enroll, *wrong)[2]
    monkeypatch.setenv(KEY_VARIABLE, SecretKey.read(first).secret.hex())
    status, out, _ = run_cli(*enroll)
    assert out.splitlines()[0] == "0 images enrolled, 6 were enrolled before"
    assert out.splitlines()[-1] == f"gallery {folder}: 6 images of 3 identities"
    status, out, _ = run_cli("enroll", "--gallery", folder, "--remove", "ann")
    assert (status, out.splitlines()[0]) == (0, "2 images of ann removed")

    status, out, _ = run_cli("gallery", "rotate", folder, "--new-key", second)
    assert (status, out) == (0, f"encrypted with the key {ids[1]}: 1, before: 0\n")
    assert run_cli("gallery", *rotate)[1].endswith(": 0, before: 1\n")
    assert "but the key given is" in run_cli(*identify)[2]
    monkeypatch.setenv(KEY_VARIABLE, SecretKey.read(second).secret.hex())
    assert json.loads(run_cli(*identify)[1])["gallery"]["images"] == 4
    copy = tmp_path / "copy"
    transform = ("gallery", "transform", folder, copy, "--transform", first, *model)
    assert run_cli(*transform)[0] == 0
    assert f"folder, AES-256-GCM, key {ids[1]}" in run_cli("gallery", "audit", copy)[1]
    new = ("enroll", tmp_path / "eyes", "--gallery", tmp_path / "new", *model)
    assert run_cli(*new)[0] == 0
    assert f"AES-256-GCM, key {ids[1]}" in run_cli("gallery", "audit", tmp_path / "new")[1]
