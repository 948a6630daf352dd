import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from iris_tf import IrisRecognizer
from iris_tf.matching.calibration import Calibration


@pytest.fixture
def eyes(tmp_path, noisy_eye):
    """Folder of eyes: two images of each of three, named as the layout `folder` wants."""
    for eye, name in enumerate(("ann", "bea", "cleo")):
        (tmp_path / "eyes" / name).mkdir(parents=True)
        for image in range(2):
            cv2.imwrite(str(tmp_path / "eyes" / name / f"{image}.png"), noisy_eye(eye, image))
    return tmp_path / "eyes"


@pytest.fixture
def stranger(tmp_path, noisy_eye):
    cv2.imwrite(str(tmp_path / "stranger.png"), noisy_eye(9, 0))
    return tmp_path / "stranger.png"


@pytest.fixture
def wall(tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((240, 320), 128, np.uint8))
    return tmp_path / "wall.png"


@pytest.fixture
def released(monkeypatch, pixel_model, tmp_path):
    """A copy of the model as the one that comes with the package."""
    shutil.copytree(pixel_model.parent, tmp_path / "models" / "mobiiris")
    monkeypatch.setattr("iris_tf.tflite.released_models.FOLDERS", (tmp_path / "models",))
    return tmp_path / "models" / "mobiiris" / pixel_model.name


@pytest.fixture
def camera(tmp_path, noisy_eye):
    (tmp_path / "front door").mkdir()
    for eye in range(52):
        cv2.imwrite(str(tmp_path / "front door" / f"{eye}.png"), noisy_eye(eye, 0))
    return tmp_path / "front door"


def refused(run_cli, *arguments):
    status, _, err = run_cli(*arguments)
    assert status == 2
    [line] = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert line.endswith(".")
    return line


# -- verify ---------------------------------------------------------------------------------------


def test_verify_with_the_released_model(run_cli, released, eyes, stranger):
    first, second = sorted((eyes / "ann").iterdir())
    status, out, _ = run_cli("verify", first, second)
    expected = np.dot(*IrisRecognizer(released).embed([first, second]))
    lines = out.splitlines()
    assert status == 0
    assert lines[0] == f"similarity {expected:.6f}, threshold 0.800000 (far_1e-2): same eye"
    assert lines[1].startswith("one in 100 pairs of strangers reaches the threshold on the images")
    assert lines[2].startswith("quality of the probe: usable iris area ")
    assert lines[3:] == ["calibration: none"]
    status, out, _ = run_cli("verify", first, stranger, "--operating-point", "far_1e-3")
    assert status == 1
    assert "threshold 0.950000 (far_1e-3): different eyes" in out
    assert "(eer)" in run_cli("verify", first, second, "--threshold", "eer")[1]


def test_a_threshold_may_be_a_number(run_cli, released, eyes):
    pair = sorted((eyes / "ann").iterdir())
    similarity = float(np.dot(*IrisRecognizer(released).embed(pair)))
    for threshold, expected in ((similarity - 1e-3, 0), (similarity + 1e-3, 1), (-1, 0)):
        status, out, _ = run_cli("verify", *pair, "--threshold", threshold)
        assert status == expected
        assert f"threshold {threshold:.6f} (given as a number): " in out
    for number in ("1.5", "-9", "nan", "inf"):
        message = refused(run_cli, "verify", *pair, "--threshold", number)
        assert "similarities lie between -1 and 1" in message
    status, _, err = run_cli("verify", *pair, "--threshold", "strict", "--json")
    assert status == 2
    assert "neither a number nor one of eer, far_1e-2, far_1e-3" in " ".join(
        err.replace("│", " ").split()
    )


def test_verify_as_json(run_cli, released, eyes, stranger):
    first, second = sorted((eyes / "ann").iterdir())
    status, out, err = run_cli("verify", first, second, "--json")
    found = json.loads(out)
    recognizer = IrisRecognizer(released)
    assert (status, err) == (0, "")
    assert found == {
        "schema_version": 1,
        "same_eye": True,
        "similarity": pytest.approx(float(np.dot(*recognizer.embed([first, second])))),
        "threshold": 0.8,
        "operating_point": "far_1e-2",
        "quality": dataclasses.asdict(recognizer.enroll(second).quality),
        "model": {"name": "pixels", "sha256": hashlib.sha256(released.read_bytes()).hexdigest()},
        "calibration": None,
    }
    status, out, _ = run_cli("verify", first, stranger, "--json", "--threshold", 0.97)
    found = json.loads(out)
    assert (status, found["same_eye"]) == (1, False)
    assert (found["threshold"], found["operating_point"]) == (0.97, None)


def test_errors_are_no_json(run_cli, released, eyes, wall):
    status, out, err = run_cli("verify", eyes / "ann" / "0.png", wall, "--json")
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")


def test_verify_without_a_released_model(run_cli, monkeypatch, eyes, tmp_path):
    monkeypatch.setattr("iris_tf.tflite.released_models.FOLDERS", (tmp_path,))
    assert "'mobiiris' is missing" in refused(run_cli, "verify", *(eyes / "ann").iterdir())


# -- embed ----------------------------------------------------------------------------------------


def test_embed_with_the_released_model(run_cli, released, eyes, wall):
    first = eyes / "ann" / "0.png"
    status, out, err = run_cli("embed", first, wall, first)
    assert status == 2
    assert str(wall) in err
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["image"] for record in records] == [str(first)] * 2
    [expected] = IrisRecognizer(released).embed(first)
    np.testing.assert_allclose(records[0]["embedding"], expected, atol=1e-7)


# -- identify -------------------------------------------------------------------------------------


def rows_of(out):
    return [line.split() for line in out.splitlines() if line.split()[0].isdigit()]


def test_identify(run_cli, pixel_model, eyes, wall, stranger, noisy_eye, tmp_path):
    shutil.copy(wall, eyes / "ann" / "wall.png")
    (eyes / "bea" / "text.png").write_text("not an image")
    cv2.imwrite(str(tmp_path / "probe.png"), noisy_eye(1, 5))
    arguments = ("identify", "--model", pixel_model, "--gallery", eyes)
    status, out, err = run_cli(*arguments, tmp_path / "probe.png")
    assert status == 0
    assert "Enrolling: 8/8" in err
    assert "skipped, unreadable: 1 (bea/text.png)" in out
    assert "(ann/wall.png)" in out
    assert "gallery: 6 images of 3 identities" in out
    rows = rows_of(out)
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert rows[0][1] == "bea"
    assert rows[0][3:5] == ["same", "eye"]
    assert all(row[3:5] == ["different", "eyes"] for row in rows[1:])
    assert [float(row[2]) for row in rows] == sorted((float(row[2]) for row in rows), reverse=True)
    assert "threshold 0.950000 (far_1e-3): the eye is bea's" in out
    # 1 - 0.999 ** 6
    assert "one of these 6 images by chance in up to 0.6 % of searches\n" in out
    assert "calibration: none" in out
    status, out, _ = run_cli(*arguments, stranger, "--top", 2)
    assert status == 1
    assert len(rows_of(out)) == 2
    assert "no identity reaches it" in out


def test_identify_as_json(run_cli, pixel_model, eyes, wall, stranger, tmp_path):
    shutil.copy(wall, eyes / "ann" / "wall.png")
    (eyes / "dora").mkdir()
    shutil.copy(wall, eyes / "dora" / "wall.png")
    saved = tmp_path / "gallery.npz"
    arguments = ("identify", "--model", pixel_model, "--gallery", eyes, "--json", "--top", 2)
    status, out, _ = run_cli(*arguments, eyes / "bea" / "0.png", "--save-gallery", saved)
    found = json.loads(out)
    assert status == 0
    assert found["schema_version"] == 1
    assert found["identity"] == "bea"
    best, next_best = found["matches"]
    assert best == {
        "identity": "bea", "similarity": pytest.approx(1, abs=1e-5), "image": "bea/0.png",
        "same_eye": True,
    }  # fmt: skip
    assert next_best["same_eye"] is False
    [reason] = found["gallery"].pop("failures").items()
    assert reason[1] == 2  # the walls
    assert found["gallery"] == {"images": 6, "identities": 3, "missing": ["dora"]}
    assert (found["threshold"], found["operating_point"]) == (0.95, "far_1e-3")
    assert found["model"]["name"] == "pixels"
    status, out, _ = run_cli(
        "identify", "--model", pixel_model, "--gallery", saved, "--json", stranger
    )
    found = json.loads(out)
    assert (status, found["identity"], len(found["matches"])) == (1, None, 3)
    assert found["gallery"] == {"images": 6, "identities": 3, "failures": {}, "missing": []}


@pytest.mark.parametrize(
    ("comparisons", "few"), [(29_999, ", too few to support this rate"), (30_000, "")]
)
def test_the_rate_of_a_search_says_what_it_rests_on(
    run_cli, pixel_model, eyes, tmp_path, comparisons, few
):
    model = Path(shutil.copy(pixel_model, tmp_path))
    values = json.loads(pixel_model.with_name("model_card.json").read_text())
    values["thresholds_from"] = {"impostor_comparisons": comparisons}
    (tmp_path / "model_card.json").write_text(json.dumps(values))
    probe = eyes / "ann" / "0.png"
    _, out, _ = run_cli("identify", "--model", model, "--gallery", eyes, probe)
    assert f"(threshold from {comparisons} impostor comparisons{few})" in out


def test_several_identities_over_the_threshold(run_cli, pixel_model, eyes, tmp_path):
    shutil.copytree(eyes / "ann", eyes / "ann-again")
    arguments = ("identify", "--model", pixel_model, "--gallery", eyes, eyes / "ann" / "0.png")
    status, out, _ = run_cli(*arguments)
    assert status == 0
    assert "2 identities reach it, the most similar is ann" in out


def test_a_saved_gallery_gives_the_same(
    run_cli, pixel_model, other_model, eyes, stranger, tmp_path
):
    saved = tmp_path / "gallery.npz"
    arguments = ("identify", "--model", pixel_model, stranger, "--gallery")
    _, first, _ = run_cli(*arguments, eyes, "--save-gallery", saved)
    assert f"gallery written to {saved}" in first
    shutil.rmtree(eyes)
    _, second, _ = run_cli(*arguments, saved)
    assert rows_of(second) == rows_of(first)
    assert len(rows_of(second)) == 3
    message = refused(run_cli, "identify", "--model", other_model, "--gallery", saved, stranger)
    assert f"{saved}: the gallery was made by another model file" in message
    assert "not a gallery file" in refused(run_cli, *arguments, stranger)


def test_names_of_identities_cannot_steer_the_terminal(run_cli, pixel_model, eyes):
    (eyes / "ann").rename(eyes / "ann\x1b[2J")
    status, out, _ = run_cli(
        "identify", "--model", pixel_model, "--gallery", eyes, eyes / "ann\x1b[2J" / "0.png"
    )
    assert status == 0
    assert r"ann\x1b[2J" in out
    assert "\x1b" not in out


def test_outputs_overwrite_nothing_but_earlier_outputs(
    run_cli, pixel_model, eyes, camera, stranger, tmp_path
):
    image = eyes / "ann" / "1.png"
    before = image.read_bytes()
    identify = ("identify", "--model", pixel_model, "--gallery", eyes, stranger, "--save-gallery")
    assert f"{image}: exists" in refused(run_cli, *identify, image)
    calibrate = ("calibrate", "--model", pixel_model, "--images", camera, "--out")
    assert f"{image}: exists" in refused(run_cli, *calibrate, image)
    assert image.read_bytes() == before
    for _ in range(2):  # an earlier gallery is replaced
        assert run_cli(*identify, tmp_path / "gallery.npz")[0] in (0, 1)


def test_a_bad_probe_is_told_before_the_gallery_is_enrolled(run_cli, pixel_model, eyes, wall):
    status, _, err = run_cli("identify", "--model", pixel_model, "--gallery", eyes, wall)
    assert status == 2
    assert err.startswith(f"Error: {wall}: ")
    assert "Enrolling" not in err


def test_what_a_gallery_folder_lacks_is_named(run_cli, released, eyes, wall):
    first = eyes / "ann" / "0.png"
    for image in (eyes / "bea").iterdir():
        shutil.copy(wall, image)
    (eyes / "ann" / "3.webp").write_bytes(b"x")
    (eyes / "dora").mkdir()
    (eyes / "dora" / "1.HEIC").write_bytes(b"x")
    (eyes / "emma").mkdir()
    shutil.copy(first, eyes / "stray.png")
    status, out, _ = run_cli("identify", "--gallery", eyes, first)
    assert status == 0
    lines = out.splitlines()
    assert "  skipped, not_read .webp: 1 (ann/3.webp)" in lines
    assert "  skipped, not_read .heic: 1 (dora/1.HEIC)" in lines
    assert "  not in the layout folder: 1 (stray.png)" in lines
    assert "  not enrolled for lack of a usable image: 3 (bea, dora, emma)" in lines
    assert "gallery: 4 images of 2 identities" in lines


def test_images_of_a_flat_gallery_that_are_not_enrolled_are_named(run_cli, released, camera):
    for n in range(60, 67):
        (camera / f"{n}.png").write_bytes(b"")
    (camera / "70.gif").write_bytes(b"x")
    _, out, _ = run_cli("identify", "--gallery", camera, camera / "0.png")
    assert "  skipped, not_read .gif: 1 (70.gif)" in out.splitlines()
    names = "60.png, 61.png, 62.png, 63.png, 64.png and 2 more"
    assert f"  not enrolled for lack of a usable image: 7 ({names})" in out.splitlines()


# -- calibrate ------------------------------------------------------------------------------------


def test_calibrate_and_use_it(run_cli, released, camera, eyes):
    (camera / "text.png").write_text("not an image")
    (camera / "1.gif").write_bytes(b"x")
    status, out, err = run_cli("calibrate", "--images", camera)
    written = released.parent / "calibration-front-door.json"
    assert status == 0
    assert "Calibrating: 53/53" in err
    assert "calibration front-door of pixels: 52 images, identities unknown" in out
    assert "skipped, unreadable: 1" in out
    assert "skipped, not_read .gif: 1" in out
    assert f"{52 * 51 // 2} impostor comparisons" in out
    assert f"written to {written}" in out
    gain = out[out.index("gain by similarity") :].splitlines()
    assert gain[0].endswith("before and after:")
    assert gain[1].startswith("  no FMR: at none of its operating points are 30 false matches")
    made = Calibration.read(written)
    threshold = made.impostors.thresholds["far_1e-2"]
    assert f"far_1e-2: threshold {threshold:.6f} (fitted tail), without calibration 0.8" in out
    first, second = sorted((eyes / "ann").iterdir())
    status, out, _ = run_cli("verify", first, second, "--calibration", written)
    vectors = np.asarray(IrisRecognizer(released).embed([first, second]), float)
    a, b = vectors @ made.matrix
    similarity = np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))
    strict = made.impostors.thresholds["far_1e-3"]
    assert f"similarity {similarity:.6f}, threshold {strict:.6f} (far_1e-3)" in out
    assert out.splitlines()[-1] == f"calibration: {made.id}"
    _, out, _ = run_cli("identify", "--gallery", eyes, first, "--calibration", written)
    assert f"(threshold from {made.impostors.pairs} impostor comparisons, fitted tail)" in out
    assert out.splitlines()[-1] == f"calibration: {made.id}"
    _, out, _ = run_cli("embed", first, second, "--calibration", written)
    records = [json.loads(line)["embedding"] for line in out.splitlines()]
    adapted = [vector / np.sqrt(np.dot(vector, vector)) for vector in (a, b)]
    np.testing.assert_allclose(records, adapted, atol=1e-6)
    message = refused(
        run_cli, "verify", first, second, "--calibration", written, "--threshold", "eer"
    )
    assert "front-door: there is no threshold for the operating point 'eer'" in message


def test_calibrate_prints_what_labels_tell(run_cli, pixel_model, noisy_eye, tmp_path):
    for eye in range(25):
        (tmp_path / "camera" / f"eye{eye}").mkdir(parents=True)
        for image in range(2):
            path = tmp_path / "camera" / f"eye{eye}" / f"{image}.png"
            cv2.imwrite(str(path), noisy_eye(eye, image))
    arguments = ("--model", pixel_model, "--images", tmp_path / "camera", "--layout", "folder")
    status, out, _ = run_cli("calibrate", *arguments, "--out", tmp_path / "gate.json")
    assert status == 0
    gain = Calibration.read(tmp_path / "gate.json").gain
    assert gain["before"]["fmr"] == {}  # of 1,200 comparisons
    for point in ("far_1e-2", "far_1e-3"):
        before, after = (100 * gain[when]["fnmr"][point] for when in ("before", "after"))
        assert f"  {point}: FNMR {before:.2f} % and {after:.2f} %\n" in out


def test_a_calibration_that_cannot_be_written_is_told_before(run_cli, pixel_model, camera):
    arguments = ("--model", pixel_model, "--images", camera, "--out", "/proc/x/c.json")
    status, _, err = run_cli("calibrate", *arguments)
    assert status == 2
    assert "/proc" in err and "Calibrating" not in err


def test_a_calibration_is_named_after_its_file(run_cli, pixel_model, camera, tmp_path):
    out = tmp_path / "new" / "calibration-gate.json"
    assert run_cli("calibrate", "--model", pixel_model, "--images", camera, "--out", out)[0] == 0
    assert Calibration.read(out).name == "gate"
    assert not list(pixel_model.parent.glob("calibration*"))


def test_calibrations_that_cannot_be(
    run_cli, monkeypatch, pixel_model, other_model, camera, eyes, tmp_path
):
    out = tmp_path / "gate.json"
    few = ("calibrate", "--model", pixel_model, "--images", eyes, "--out", out)
    assert "6 images can be used, but a calibration takes at least 50" in refused(run_cli, *few)
    assert not out.exists()
    run_cli("calibrate", "--model", pixel_model, "--images", camera, "--out", out)
    pair = sorted((eyes / "ann").iterdir())
    for verb in ("verify", "embed"):
        message = refused(run_cli, verb, "--model", other_model, *pair, "--calibration", out)
        assert "was made for another model file" in message
    # Root may write anywhere, so the answer of the system is put in its mouth.
    folder = pixel_model.parent
    monkeypatch.setattr("os.access", lambda path, mode: path != folder)
    message = refused(run_cli, "calibrate", "--model", pixel_model, "--images", camera)
    assert f"{folder}: the model's folder cannot be written" in message


def test_a_gallery_is_saved_and_searched_with_a_key(
    run_cli, pixel_model, eyes, stranger, tmp_path, monkeypatch
):
    from iris_tf.matching.secret_keys import KEY_VARIABLE, SecretKey

    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    saved, key = tmp_path / "people.npz", tmp_path / "key"
    SecretKey.new().save(key)
    arguments = ("identify", "--model", pixel_model, stranger, "--gallery")
    status, out, _ = run_cli(*arguments, eyes, "--save-gallery", saved)
    assert f"gallery written to {saved}, which is not encrypted (--key)\n" in out
    with_key = (*arguments, eyes, "--save-gallery", saved, "--key", key)
    assert f"gallery written to {saved}\n" in run_cli(*with_key)[1]
    assert run_cli(*with_key)[0] == status  # the encrypted gallery is replaced
    plain = run_cli(*arguments, eyes)[1]
    assert run_cli(*arguments, saved, "--key", key)[1] == plain
    assert "give that key" in refused(run_cli, *arguments, saved)
    monkeypatch.setenv(KEY_VARIABLE, SecretKey.read(key).secret.hex())
    assert run_cli(*arguments, saved)[1] == plain
