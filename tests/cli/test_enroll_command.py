import json
import shutil
import stat

import cv2
import numpy as np
import pytest

from iris_tf import Gallery
from iris_tf.recognition.recognizer import IrisRecognizer


@pytest.fixture
def people(tmp_path, noisy_eye):
    """Two images of each of three eyes, one without an eye and one that is none."""
    folder = tmp_path / "people"
    for eye, name in enumerate(("ann", "bea", "cleo")):
        (folder / name).mkdir(parents=True)
        for image in range(2):
            cv2.imwrite(str(folder / name / f"{image}.png"), noisy_eye(eye, image))
    cv2.imwrite(str(folder / "cleo" / "wall.png"), np.full((240, 320), 128, np.uint8))
    (folder / "bea" / "text.png").write_text("not an image")
    return folder


@pytest.fixture
def enroll(run_cli, tmp_path, pixel_model):
    """Runs `iris-tf enroll` on the gallery `db`: (exit status, lines)."""

    def run(*arguments, model=("--model", pixel_model)):
        status, out, err = run_cli("enroll", "--gallery", tmp_path / "db", *arguments, *model)
        return status, [*out.splitlines(), *(line for line in err.splitlines() if "Error" in line)]

    return run


def images_of(db, identity):
    return sorted(image.image for image in Gallery.open(db).images_of(identity))


def test_a_folder_is_enrolled_and_broken_images_are_counted(enroll, people, tmp_path):
    status, lines = enroll(people)
    assert status == 0
    assert lines[0] == "6 images enrolled, 0 were enrolled before"
    assert "  skipped, unreadable: 1 (bea/text.png)" in lines
    assert sum(line.startswith("  skipped") and "cleo/wall.png" in line for line in lines) == 1
    assert (
        lines[-1] == f"gallery {tmp_path / 'db'}, which is not encrypted: 6 images of 3 identities"
    )
    assert Gallery.open(tmp_path / "db").identities() == ["ann", "bea", "cleo"]
    assert stat.S_IMODE((tmp_path / "db").stat().st_mode) == 0o700


def test_the_same_command_goes_on_and_embeds_nothing_twice(
    enroll, people, tmp_path, noisy_eye, monkeypatch
):
    enroll(people)
    cv2.imwrite(str(people / "ann" / "2.png"), noisy_eye(0, 2))
    cv2.imwrite(str(people / "ann" / "1.png"), noisy_eye(0, 3))  # changed
    embedded = []
    embed = IrisRecognizer.embed

    def counted(self, images, *rest):
        embedded.extend(image.name for image in images)
        return embed(self, images, *rest)

    monkeypatch.setattr(IrisRecognizer, "embed", counted)
    status, lines = enroll(people)
    assert (status, lines[0]) == (0, "2 images enrolled, 5 were enrolled before")
    assert sorted(embedded) == ["1.png", "2.png", "text.png", "wall.png"]
    assert images_of(tmp_path / "db", "ann") == ["ann/0.png", "ann/1.png", "ann/2.png"]


def test_an_interrupted_enrolment_keeps_what_was_acknowledged(
    enroll, people, tmp_path, monkeypatch
):
    monkeypatch.setattr("iris_tf.recognition.enroll_folder._TOGETHER", 1)
    embed = IrisRecognizer.embed

    def interrupted(self, images, *rest):
        if images[0].parent.name == "cleo":
            raise KeyboardInterrupt
        return embed(self, images, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(IrisRecognizer, "embed", interrupted)
        status, _ = enroll(people)
    assert status == 130
    assert len(Gallery.open(tmp_path / "db")) == 4
    assert enroll(people)[1][0] == "2 images enrolled, 4 were enrolled before"


def test_images_replace_earlier_ones_if_asked(enroll, people, tmp_path, noisy_eye):
    enroll(people)
    shutil.rmtree(people / "bea")
    (people / "ann" / "0.png").unlink()
    cv2.imwrite(str(people / "ann" / "new.png"), noisy_eye(0, 4))
    (people / "cleo" / "0.png").write_text("broken")
    (people / "cleo" / "1.png").write_text("broken")
    status, lines = enroll(people, "--replace")
    assert (status, lines[0]) == (0, "2 images enrolled, 0 were enrolled before")
    assert images_of(tmp_path / "db", "ann") == ["ann/1.png", "ann/new.png"]
    assert images_of(tmp_path / "db", "bea") == ["bea/0.png", "bea/1.png"]  # not in the folder
    assert images_of(tmp_path / "db", "cleo") == ["cleo/0.png", "cleo/1.png"]  # none usable


def test_identities_are_removed(enroll, people, tmp_path):
    enroll(people)
    status, lines = enroll("--remove", "ann", "--remove", "cleo", "--compact", model=())
    assert (status, lines) == (
        0,
        [
            "4 images of ann, cleo removed",
            f"gallery {tmp_path / 'db'}, which is not encrypted: 2 images of 1 identities",
        ],
    )
    assert Gallery.open(tmp_path / "db").identities() == ["bea"]
    [records] = (tmp_path / "db").glob("records-*")
    assert records.name == "records-000002.bin"
    status, lines = enroll("--remove", "bea", "--remove", "dora", model=())
    assert status == 2
    assert "dora not enrolled, so nothing was removed" in lines[0]
    assert Gallery.open(tmp_path / "db").identities() == ["bea"]


def test_identify_finds_in_a_gallery_what_it_finds_in_the_folder(
    run_cli, enroll, people, tmp_path, noisy_eye, pixel_model
):
    enroll(people)
    cv2.imwrite(str(tmp_path / "probe.png"), noisy_eye(1, 5))
    results = []
    for gallery in (tmp_path / "db", people):
        for more in ((), ("--exact",)):
            status, out, _ = run_cli(
                "identify", tmp_path / "probe.png", "--gallery", gallery, "--model", pixel_model,
                "--threshold", "0.5", "--json", *more,
            )  # fmt: skip
            results.append((status, json.loads(out)))
    assert [status for status, _ in results] == [0] * 4
    for _, found in results:
        found["gallery"].pop("failures")
        assert found["identity"] == "bea"
        assert found["gallery"] == {"images": 6, "identities": 3, "missing": []}
        for match, expected in zip(found["matches"], results[-1][1]["matches"], strict=True):
            assert match["image"] == expected["image"]
            # Records hold each of the numbers, which are at most about 0.3, in 8 bits. Their
            # rounding errors have a standard deviation of 0.3 / 127 / sqrt(12) = 7e-4, and so has
            # the scalar product with a unit vector.
            assert match["similarity"] == pytest.approx(expected["similarity"], abs=3e-3)
    status, out, _ = run_cli(
        "identify", tmp_path / "probe.png", "--gallery", tmp_path / "db", "--model", pixel_model,
        "--threshold", "0.5", "--save-gallery", tmp_path / "all.npz",
    )  # fmt: skip
    assert status == 0
    assert "gallery: 6 images of 3 identities" in out
    assert len(Gallery.load(tmp_path / "all.npz")) == 6


def test_what_cannot_be_done_is_refused_in_one_sentence(
    run_cli, enroll, people, tmp_path, other_model, pixel_model
):
    def refused(*arguments, **model):
        status, lines = enroll(*arguments, **model)
        assert status == 2
        [line] = [line for line in lines if line.startswith("Error: ")]
        return line

    assert "nothing to do" in refused()
    assert "there is no such gallery" in refused("--remove", "ann", model=())
    assert "nowhere" in refused(tmp_path / "nowhere")
    assert not (tmp_path / "db").exists()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("none")
    assert "none of its 1 images can be used" in refused(tmp_path / "broken")
    enroll(people)
    assert "another model file" in refused(people, model=("--model", other_model))
    status, _, err = run_cli(
        "identify", people / "ann" / "0.png", "--gallery", tmp_path / "db", "--model", other_model
    )
    assert status == 2
    assert "the gallery was made by another model file" in err
    with Gallery.open(tmp_path / "db").writing():
        assert "writing to this gallery; wait until it has finished" in refused(people)
    status, _, err = run_cli("enroll", people, "--gallery", people, "--model", pixel_model)
    assert status == 2
    assert "exists and is no gallery; choose another folder, nothing was written" in err
    assert sorted(path.name for path in people.iterdir()) == ["ann", "bea", "cleo"]


def test_an_empty_gallery_is_no_defect(run_cli, enroll, people, tmp_path, pixel_model):
    enroll(people)
    status, lines = enroll("--remove", "ann", "--remove", "bea", "--remove", "cleo", model=())
    assert (status, lines[-1]) == (
        0,
        f"gallery {tmp_path / 'db'}, which is not encrypted: 0 images of 0 identities",
    )
    status, _, err = run_cli(
        "identify", people / "ann" / "0.png", "--gallery", tmp_path / "db", "--model", pixel_model
    )
    assert status == 2
    assert "the gallery is empty; enrol an eye first" in err


def test_identify_searches_shards_as_one_gallery(run_cli, people, tmp_path, noisy_eye, pixel_model):
    """Two shards, given one by one and by their folder, and all images in one gallery."""
    cv2.imwrite(str(tmp_path / "probe.png"), noisy_eye(1, 5))
    model = ("--model", pixel_model)
    run_cli("enroll", people, "--gallery", tmp_path / "whole", *model)
    for shard, names in (("a", ("ann", "bea")), ("b", ("cleo",))):
        for name in names:
            shutil.copytree(people / name, tmp_path / f"images-{shard}" / name)
        images, folder = tmp_path / f"images-{shard}", tmp_path / "shards" / shard
        assert run_cli("enroll", images, "--gallery", folder, *model)[0] == 0
    both = ("--gallery", tmp_path / "shards" / "a", "--gallery", tmp_path / "shards" / "b")
    results = []
    for gallery in (
        ("--gallery", tmp_path / "whole"), both, ("--gallery", tmp_path / "shards")
    ):  # fmt: skip
        status, out, err = run_cli(
            "identify", tmp_path / "probe.png", *gallery, *model, "--threshold", "0.5", "--json"
        )
        assert status == 0, err
        results.append(json.loads(out))
    assert results[0]["identity"] == "bea"
    assert results[0]["gallery"]["images"] == 6
    assert results[0] == results[1] == results[2]
    status, _, err = run_cli(
        "identify", tmp_path / "probe.png", *both, *model, "--save-gallery", tmp_path / "g.npz"
    )
    assert (status, "shards are not written to one file" in err) == (2, True)
    (tmp_path / "file.npz").write_bytes(b"")
    status, _, err = run_cli(
        "identify", tmp_path / "probe.png", *both, *model, "--gallery", tmp_path / "file.npz"
    )
    assert (status, "is a file; give the folders of galleries" in err) == (2, True)
    status, _, err = run_cli(
        "identify", tmp_path / "probe.png", *both, *model, "--scheduler", "tcp://127.0.0.1:9"
    )
    assert (status, "no scheduler answers at this address" in err) == (2, True)
