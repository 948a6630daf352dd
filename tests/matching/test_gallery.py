import cv2
import numpy as np
import pytest

from iris_tf import IrisRecognizer
from iris_tf.matching.gallery import Gallery
from iris_tf.matching.gallery_search import best_of_identities
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import Origin, Template, write_arrays
from iris_tf.recognition.embed_folder import FLAT, embed_folder
from iris_tf.support.errors import ArgumentError, DatasetError, ModelError

ORIGIN = Origin("mobiiris", "ab" * 32)


def unit_rows(rows):
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, noisy_eye):
    """Three eyes with two images each, one image without an eye and one that is none."""
    folder = tmp_path / "people"
    for eye, name in enumerate(("ann", "bea", "cleo")):
        (folder / name).mkdir(parents=True)
        for image in range(2):
            cv2.imwrite(str(folder / name / f"{image}.png"), noisy_eye(eye, image))
    cv2.imwrite(str(folder / "cleo" / "wall.png"), np.full((240, 320), 128, np.uint8))
    (folder / "bea" / "text.png").write_text("not an image")
    return folder


def test_every_identity_ranks_by_its_best_image():
    rng = np.random.default_rng(0)
    embeddings = unit_rows(rng.normal(size=(40, 6)))
    identities = tuple(f"eye{number % 7}" for number in range(40))
    images = tuple(f"{number}.png" for number in range(40))
    probe = unit_rows(rng.normal(size=(1, 6)))[0]
    similarities = Gallery(embeddings, identities, images, ORIGIN).similarities(probe, Matcher())
    found = best_of_identities(identities, similarities, np.ones(40, bool))
    best = {}
    for embedding, identity, image in zip(embeddings, identities, images, strict=True):
        cosine = sum(float(x) * float(y) for x, y in zip(embedding, probe, strict=True))
        best[identity] = max(best.get(identity, (-2, "")), (cosine, image))
    expected = sorted(best.items(), key=lambda item: -item[1][0])
    assert [(identities[image], images[image]) for image in found] == [
        (identity, image) for identity, (_, image) in expected
    ]
    np.testing.assert_allclose(
        similarities[found], [value for _, (value, _) in expected], atol=1e-6
    )


def test_what_is_inconclusive_ranks_last():
    values, conclusive = np.array([0.9, 0.1, 0.5, 0.8, 0.7]), np.array([0, 1, 1, 0, 0], bool)
    # The conclusive image of "a" counts although another one of it is more similar.
    assert best_of_identities(("a", "a", "b", "c", "d"), values, conclusive) == [2, 1, 3, 4]


def test_a_folder_is_enrolled_and_failures_are_counted(recognizer, folder, embedding_of):
    found = embed_folder(recognizer, folder)
    assert found.layout == "folder"
    assert found.images == tuple(f"{name}/{i}.png" for name in ("ann", "bea", "cleo") for i in "01")
    assert found.identities == ("ann", "ann", "bea", "bea", "cleo", "cleo")
    assert [image for image, _ in found.failed] == ["bea/text.png", "cleo/wall.png"]
    assert found.failures["unreadable"] == 1
    assert sum(found.failures.values()) == 2
    expected = [embedding_of(folder / image) for image in found.images]
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-5)


def test_images_alone_are_identities_of_their_own(recognizer, tmp_path, noisy_eye):
    for eye in range(2):
        cv2.imwrite(str(tmp_path / f"eye {eye}.png"), noisy_eye(eye, 0))
    cv2.imwrite(str(tmp_path / "eye 0_mask.png"), noisy_eye(0, 0))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("no image")
    found = embed_folder(recognizer, tmp_path)
    assert found.layout == FLAT
    assert found.images == found.identities == ("eye 0.png", "eye 1.png")
    with pytest.raises(DatasetError, match="tried folder"):
        embed_folder(recognizer, tmp_path, "folder")


def test_known_layouts_are_read(recognizer, tmp_path, noisy_eye):
    for eye in "LR":
        (tmp_path / "001").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "001" / f"01_{eye}.bmp"), noisy_eye(ord(eye), 0))
    found = embed_folder(recognizer, tmp_path)
    assert found.layout == "iitd"
    assert found.identities == ("001_L", "001_R")


def test_folders_without_a_usable_image(recognizer, tmp_path):
    with pytest.raises(DatasetError, match="there is no image in this folder"):
        embed_folder(recognizer, tmp_path)
    with pytest.raises(DatasetError, match="there is no such folder"):
        embed_folder(recognizer, tmp_path / "none")
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(DatasetError, match=r"none of its 1 images can be used \(unreadable\)"):
        embed_folder(recognizer, tmp_path)


def test_an_eye_is_found_in_the_gallery(recognizer, folder, noisy_eye, embedding_of):
    gallery = embed_folder(recognizer, folder).gallery(recognizer.origin)
    probe = noisy_eye(1, 7)
    result = recognizer.identify(probe, gallery, "far_1e-2")
    assert result.identity == "bea"
    assert [match.same_eye for match in result.matches] == [
        match.similarity >= 0.8 for match in result.matches
    ]
    expected = max(
        float(embedding_of(folder / "bea" / f"{i}.png") @ embedding_of(probe)) for i in range(2)
    )
    assert result.matches[0].similarity == pytest.approx(expected, abs=1e-5)
    assert result.matches[0].image in ("bea/0.png", "bea/1.png")
    assert (result.threshold, result.operating_point) == (0.8, "far_1e-2")
    assert result.quality == recognizer.enroll(probe).quality
    stranger = recognizer.identify(noisy_eye(9, 0), gallery)
    assert stranger.identity is None
    assert len(stranger.matches) == 3
    assert not any(match.same_eye for match in stranger.matches)


def test_templates_are_a_gallery(recognizer, noisy_eye):
    templates = {name: recognizer.enroll(noisy_eye(eye, 0)) for eye, name in enumerate("abc")}
    result = recognizer.identify(templates["b"], templates)
    assert result.matches[0].identity == "b"
    assert result.matches[0].similarity == pytest.approx(1, abs=1e-6)
    with pytest.raises(ModelError, match="The gallery is empty"):
        recognizer.identify(templates["b"], {})


def test_galleries_of_other_models(recognizer, other_model, noisy_eye):
    probe = recognizer.enroll(noisy_eye(0, 0))
    foreign = IrisRecognizer(other_model).enroll(noisy_eye(0, 0))
    with pytest.raises(ModelError, match="The gallery was made by another model file"):
        recognizer.identify(probe, {"a": foreign})
    with pytest.raises(ModelError, match="The template of b was made by another model file"):
        recognizer.identify(probe, {"a": probe, "b": foreign})


def test_galleries_come_back_as_they_were(tmp_path):
    embeddings = unit_rows(np.random.default_rng(0).normal(size=(3, 6)))
    gallery = Gallery(embeddings, ("zoë", "b", "b"), ("1.png", "", "3.png"), ORIGIN)
    gallery.save(tmp_path / "gallery.npz")
    loaded = Gallery.load(tmp_path / "gallery.npz")
    np.testing.assert_array_equal(loaded.embeddings, embeddings)
    assert (loaded.identities, loaded.images, loaded.origin) == (
        gallery.identities, gallery.images, ORIGIN,
    )  # fmt: skip


def test_files_that_are_no_galleries(tmp_path):
    embeddings = unit_rows(np.eye(2, 6))
    Template(embeddings[0], ORIGIN).save(tmp_path / "template.npz")
    for name, rows, identities in (
        ("names", embeddings, ["a"]),
        ("long", 2 * embeddings, ["a", "b"]),
    ):
        bad = {
            "embeddings": rows,
            "identities": np.array(identities),
            "images": np.array(["1", "2"]),
        }
        write_arrays(tmp_path / f"{name}.npz", "gallery", ORIGIN, **bad)
    for name in ("template", "names", "long"):
        with pytest.raises(ModelError, match=f"{name}.npz: this is not a gallery file"):
            Gallery.load(tmp_path / f"{name}.npz")


def test_a_damaged_gallery_is_one_sentence(tmp_path):
    path = tmp_path / "people.npz"
    Gallery(unit_rows(np.eye(2, 6)), ("a", "b"), ("1", "2"), ORIGIN).save(path)
    whole = path.read_bytes()
    entry = whole.rindex(b"PK\x01\x02")  # of the archive's directory
    for offset, value in ((8, 1), (10, 99)):  # encrypted; compressed as nobody does
        damaged = bytearray(whole)
        damaged[entry + offset] = value
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"people\.npz: this is not a gallery file"):
            Gallery.load(path)


def test_an_identity_that_would_lose_its_end_is_not_saved(tmp_path):
    """NumPy's fixed-width texts drop null characters at their end, which would merge these two."""
    first, second = unit_rows([[1, 0], [0, 1]])
    gallery = Gallery.of_templates({"a\0": Template(first, ORIGIN), "a": Template(second, ORIGIN)})
    with pytest.raises(ArgumentError, match="ends in a null character"):
        gallery.save(tmp_path / "gallery.npz")
    assert not list(tmp_path.iterdir())


def test_templates_of_two_lengths_are_no_gallery():
    short, long = unit_rows([[1, 0]])[0], unit_rows([[1, 0, 0]])[0]
    with pytest.raises(ModelError, match="The template of b has 3 numbers, but others have 2"):
        Gallery.of_templates({"a": Template(short, ORIGIN), "b": Template(long, ORIGIN)})


def test_identities_that_would_come_back_as_others_are_not_saved(tmp_path):
    first, second = unit_rows([[1, 0], [0, 1]])
    templates = {101: Template(first, ORIGIN, None), "b": Template(second, ORIGIN, None)}
    gallery = Gallery.of_templates(templates)
    assert gallery.identities[gallery.similarities(first, Matcher()).argmax()] == 101
    with pytest.raises(ArgumentError, match=r"the identity 101 is a int, .*str\(\)"):
        gallery.save(tmp_path / "gallery.npz")
    assert not list(tmp_path.iterdir())
