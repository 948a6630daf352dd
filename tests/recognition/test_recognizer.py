import dataclasses
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import iris_tf
from iris_tf import IrisRecognizer
from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import Origin, Template, write_arrays
from iris_tf.segmentation.quality import iris_quality
from iris_tf.segmentation.segmenter import segmenter_by_name
from iris_tf.support.errors import (
    ArgumentError,
    DatasetError,
    ExtractionError,
    FailureReason,
    ModelError,
)
from iris_tf.tflite.model_card import ModelCard
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.released_models import released_model


@pytest.fixture
def eye_files(tmp_path, noisy_eye):
    """Two images of one eye and one of another."""
    paths = [tmp_path / name for name in ("first.png", "second.png", "stranger.png")]
    for path, (eye, image) in zip(paths, [(0, 0), (0, 1), (5, 0)], strict=True):
        cv2.imwrite(str(path), noisy_eye(eye, image))
    return paths


def template_of(vector, origin, quality=None):
    return Template(np.asarray(vector, np.float32), origin, quality)


def test_a_template_is_the_embedding_of_the_eye(recognizer, eye_files, embedding_of):
    template = recognizer.enroll(eye_files[0])
    assert template.embedding.dtype == np.float32
    np.testing.assert_allclose(template.embedding, embedding_of(eye_files[0]), atol=1e-5)
    assert template.origin == recognizer.origin
    assert template.origin.calibration == ""


def test_a_model_of_another_segmenters_crops_is_told(pixel_model, eye_files, tmp_path, caplog):
    model = Path(shutil.copy(pixel_model, tmp_path))
    card = ModelCard.beside(pixel_model)
    dataclasses.replace(card, segmenter_version="of my own").write(tmp_path / "model_card.json")
    IrisRecognizer(model).enroll(eye_files[0])
    [record] = caplog.records
    assert "of my own" in record.getMessage()


def test_paths_texts_and_arrays_are_alike(recognizer, eye_files):
    pixels = cv2.imread(str(eye_files[0]), cv2.IMREAD_GRAYSCALE)
    templates = [recognizer.enroll(image) for image in (eye_files[0], str(eye_files[0]), pixels)]
    for template in templates[1:]:
        np.testing.assert_array_equal(template.embedding, templates[0].embedding)
        assert template.quality == templates[0].quality


def test_similarity_is_the_cosine(recognizer, eye_files, embedding_of):
    first, second, stranger = eye_files
    template = recognizer.enroll(first)
    for probe in (second, stranger):
        result = recognizer.verify(template, probe, "far_1e-2")
        cosine = float(embedding_of(first) @ embedding_of(probe))
        assert result.similarity == pytest.approx(cosine, abs=1e-5)
        assert result.threshold == 0.8
        assert result.operating_point == "far_1e-2"
        assert result.same_eye == (cosine >= 0.8)
        assert result.calibration is None
    assert recognizer.verify(template, second).same_eye
    assert not recognizer.verify(template, stranger).same_eye
    assert recognizer.verify(template, second, "eer").threshold == 0.5


def test_quality_is_the_probe_s(recognizer, eye_files):
    first, second, _ = eye_files
    pixels = cv2.imread(str(second), cv2.IMREAD_GRAYSCALE)
    expected = iris_quality(pixels, segmenter_by_name("opencv")(pixels))
    template = recognizer.enroll(first)
    assert template.quality != expected
    assert recognizer.verify(template, second).quality == expected
    assert recognizer.verify(template, recognizer.enroll(second)).quality == expected


@pytest.mark.parametrize(("component", "same"), [(0.5, True), (0.49999, False), (0.9, True)])
def test_the_threshold_itself_is_accepted(recognizer, component, same):
    a = np.eye(1, 128)[0]
    b = np.zeros(128)
    b[:2] = component, np.sqrt(1 - component**2)
    templates = [template_of(vector, recognizer.origin) for vector in (a, b)]
    result = recognizer.verify(*templates, "eer")
    assert result.similarity == pytest.approx(component, abs=1e-7)
    assert result.same_eye is same


def test_several_images_give_their_mean(recognizer, eye_files, embedding_of):
    first, second, stranger = eye_files
    template = recognizer.enroll([first, second, stranger])
    mean = np.mean([embedding_of(path) for path in eye_files], axis=0)
    np.testing.assert_allclose(template.embedding, mean / np.linalg.norm(mean), atol=1e-5)
    alone = [recognizer.enroll(path).quality for path in eye_files]
    for field in dataclasses.fields(template.quality):
        expected = sum(getattr(quality, field.name) for quality in alone) / 3
        assert getattr(template.quality, field.name) == pytest.approx(expected)


def test_embeddings_with_a_phase_code_are_compared_at_their_best_rotation(
    pixel_model, eye_files, tmp_path
):
    model = Path(shutil.copy(pixel_model, tmp_path))
    layout = PhaseCodeLayout(96, 16, 3)  # of the 128 pixels
    card = dataclasses.replace(ModelCard.beside(pixel_model), phase=layout)
    card.write(tmp_path / "model_card.json")
    recognizer = IrisRecognizer(model)
    vectors = recognizer.embed(eye_files)
    expected = Matcher(layout).similarities(vectors, vectors)
    np.testing.assert_allclose(recognizer.similarities(vectors, vectors), expected, atol=1e-6)
    templates = {path.stem: recognizer.enroll(path) for path in eye_files}
    for number, path in enumerate(eye_files):
        result = recognizer.verify(templates["first"], path)
        assert result.similarity == pytest.approx(expected[0, number], abs=1e-6)
    found = recognizer.identify(eye_files[2], templates)
    assert found.matches[0].identity == "stranger"
    for match in found.matches:
        column = [path.stem for path in eye_files].index(match.identity)
        assert match.similarity == pytest.approx(expected[2, column], abs=1e-6)
    # A template of several has their codes rotated to fit the first.
    strip = recognizer._crop(eye_files[0]).roi
    first = recognizer.embed([strip], "roi")[0]
    rotated = layout.rotate(first[None], 2)[0]
    both = np.stack([first, rotated])
    recognizer._embedder.embed = lambda rois: both[: len(list(rois))]
    np.testing.assert_allclose(recognizer.enroll([strip, strip], "roi").embedding, first, atol=1e-6)


def test_nothing_to_enrol(recognizer):
    with pytest.raises(ExtractionError, match="no image to enrol"):
        recognizer.enroll([])


def test_embeddings_of_several(recognizer, eye_files, embedding_of):
    found = recognizer.embed(eye_files)
    assert found.shape == (3, 128)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [embedding_of(path) for path in eye_files], atol=1e-5)
    np.testing.assert_array_equal(recognizer.embed(eye_files[0]), found[:1])
    assert recognizer.embed([]).shape == (0, 128)


def test_crops_have_no_quality(recognizer, eye_files):
    crop = recognizer._crop(eye_files[0]).roi
    template = recognizer.enroll(crop)
    assert template.quality is None
    assert recognizer.verify(template, crop).quality is None


def test_a_failure_has_its_reason(recognizer, eye_files, tmp_path):
    template = recognizer.enroll(eye_files[0])
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((240, 320), 128, np.uint8))
    with pytest.raises(ExtractionError, match=r"wall\.png") as caught:
        recognizer.verify(template, tmp_path / "wall.png")
    assert caught.value.reason in (FailureReason.NO_PUPIL, FailureReason.NO_IRIS)
    with pytest.raises(ExtractionError, match=r"none\.png") as caught:
        recognizer.enroll([eye_files[0], tmp_path / "none.png"])
    assert caught.value.reason is FailureReason.UNREADABLE


def test_an_unknown_operating_point(recognizer, eye_files):
    template = recognizer.enroll(eye_files[0])
    with pytest.raises(ModelError, match=r"'far_1e-9'; choose one of eer, far_1e-2, far_1e-3\."):
        recognizer.verify(template, eye_files[1], "far_1e-9")


def test_a_threshold_may_be_a_number(recognizer, eye_files):
    template = recognizer.enroll(eye_files[0])
    similarity = recognizer.verify(template, eye_files[2]).similarity
    for threshold, same in ((similarity, True), (np.nextafter(similarity, 2), False)):
        result = recognizer.verify(template, eye_files[2], threshold)
        assert (result.threshold, result.operating_point, result.same_eye) == (
            threshold, None, same,
        )  # fmt: skip
        assert (
            recognizer.identify(eye_files[2], {"me": template}, threshold).operating_point is None
        )
        single = np.float32(threshold)
        assert recognizer.verify(template, eye_files[2], single).threshold == float(single)
    for number in (-9, 1.5, float("nan"), True, np.float32(1.5), np.bool_(True), 1j):
        with pytest.raises(ArgumentError, match="similarities lie between -1 and 1"):
            recognizer.verify(template, eye_files[2], number)


def test_a_template_of_another_model(recognizer, other_model, eye_files):
    other = IrisRecognizer(other_model)
    template = other.enroll(eye_files[0])
    message = r"^The template was made by another model file \(other, SHA-256 .*\.$"
    with pytest.raises(ModelError, match=message):
        recognizer.verify(template, eye_files[0])
    own = recognizer.enroll(eye_files[0])
    with pytest.raises(ModelError, match="The probe was made by another model file"):
        recognizer.verify(own, template)


def test_a_template_of_another_calibration(recognizer, eye_files):
    own = recognizer.enroll(eye_files[0])
    gate = dataclasses.replace(recognizer.origin, calibration="gate (0123)")
    with pytest.raises(ModelError, match=r"made with the calibration gate \(0123\), but no calib"):
        recognizer.verify(template_of(own.embedding, gate), own)


def test_the_released_model_is_the_default(monkeypatch, pixel_model, tmp_path, eye_files):
    monkeypatch.setattr("iris_tf.tflite.released_models.FOLDERS", (tmp_path,))
    with pytest.raises(ModelError, match="'mobiiris' is missing"):
        IrisRecognizer()
    (tmp_path / "mobiiris").symlink_to(pixel_model.parent)
    released, named = IrisRecognizer(), IrisRecognizer(pixel_model)
    assert released.origin == named.origin
    result = released.verify(named.enroll(eye_files[0]), eye_files[1])
    assert result.same_eye


# -- Templates as files ---------------------------------------------------------------------------


def test_templates_come_back_as_they_were(recognizer, eye_files, tmp_path):
    crop = recognizer._crop(eye_files[1]).roi
    for number, image in enumerate((eye_files[0], crop)):
        template = recognizer.enroll(image)
        # The name is taken as it is, whatever its suffix.
        template.save(tmp_path / f"eye{number}.template")
        loaded = iris_tf.Template.load(tmp_path / f"eye{number}.template")
        np.testing.assert_array_equal(loaded.embedding, template.embedding)
        assert loaded.embedding.dtype == np.float32
        assert loaded.origin == template.origin
        assert loaded.quality == template.quality
        assert recognizer.verify(loaded, template).similarity == pytest.approx(1, abs=1e-6)
        # A template is as sensitive as the image.
        assert (tmp_path / f"eye{number}.template").stat().st_mode & 0o077 == 0
    names = sorted(path.name for path in tmp_path.glob("*eye*"))
    assert names == ["eye0.template", "eye1.template"]


def test_the_calibration_of_a_template_is_kept(tmp_path):
    origin = Origin("mobiiris", "ab" * 32, "gate (0123)")
    template_of(np.eye(1, 16)[0], origin).save(tmp_path / "eye.npz")
    assert Template.load(tmp_path / "eye.npz").origin == origin


def test_files_that_are_no_templates(tmp_path, recognizer):
    good = template_of(np.eye(1, 16)[0], recognizer.origin)
    good.save(tmp_path / "good.npz")
    data = (tmp_path / "good.npz").read_bytes()
    np.savez(tmp_path / "other.npz", embedding=good.embedding)
    np.save(tmp_path / "array.npy", good.embedding)
    np.savez(tmp_path / "objects.npz", embedding=np.array([{}], object), kind="template")
    for name, value in (("long", 1.0), ("nan", np.nan)):
        bad = {"embedding": np.full(16, value, np.float32), "quality": np.array([])}
        write_arrays(tmp_path / f"{name}.npz", "template", recognizer.origin, **bad)
    (tmp_path / "half.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    bad = ["other.npz", "array.npy", "objects.npz", "long.npz", "nan.npz", "half.npz", "text.npz",
           "empty.npz"]  # fmt: skip
    for name in bad:
        with pytest.raises(ModelError, match=f"{name}: this is not a template file"):
            Template.load(tmp_path / name)
    with pytest.raises(ModelError, match="there is no such template file"):
        Template.load(tmp_path / "none.npz")


# -- Imports --------------------------------------------------------------------------------------


def test_a_light_package_with_one_heavy_name():
    code = (
        "import sys, iris_tf; assert not {'numpy', 'cv2'} & set(sys.modules);"
        "from iris_tf import IrisRecognizer; assert 'cv2' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    with pytest.raises(AttributeError, match="'nothing'"):
        iris_tf.nothing  # noqa: B018


def test_the_public_names_are_there_and_completed():
    for name in iris_tf.__all__:
        assert getattr(iris_tf, name)
        assert name in dir(iris_tf)
    assert iris_tf.Gallery.__module__ == "iris_tf.matching.gallery"


def test_recognition_does_not_load_tensorflow(pixel_model, eye_files):
    code = (
        "import sys\n"
        "from iris_tf import IrisRecognizer\n"
        "recognizer = IrisRecognizer(sys.argv[1])\n"
        "template = recognizer.enroll(sys.argv[2])\n"
        "assert recognizer.verify(template, sys.argv[3]).same_eye\n"
        "recognizer.identify(sys.argv[3], {'me': template})\n"
        "import iris_tf.cli.recognition_commands, iris_tf.recognition.calibrate_camera\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    arguments = [sys.executable, "-c", code, pixel_model, *eye_files[:2]]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_threads_get_what_one_thread_gets(pixel_model, noisy_eye):
    recognizer = IrisRecognizer(pixel_model)
    images = [noisy_eye(eye, image) for eye in range(3) for image in range(2)]
    alone = [recognizer.embed(image) for image in images]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(recognizer.embed, 5 * images))
    for number, embeddings in enumerate(together):
        np.testing.assert_array_equal(embeddings, alone[number % len(images)])


def test_two_images_are_verified_without_a_template(recognizer, eye_files):
    first, second, _ = eye_files
    by_template = recognizer.verify(recognizer.enroll(first), second)
    assert recognizer.verify(first, second) == by_template


def test_a_recognizer_can_be_sent_to_another_process(recognizer, eye_files):
    sent = pickle.loads(pickle.dumps(recognizer))
    np.testing.assert_array_equal(sent.embed(eye_files[0]), recognizer.embed(eye_files[0]))
    assert sent.origin == recognizer.origin


def test_another_network_of_the_segmenter_goes_with_it(recognizer, eye_files):
    float16 = released_model("iris-segmenter", "float16")
    with pytest.raises(DatasetError, match="'opencv' has no network"):
        IrisRecognizer(recognizer.model, segmenter_model=float16)
    recognizer, other = IrisRecognizer(), IrisRecognizer(segmenter_model=float16)
    embedding = np.asarray(other.embed(eye_files[0]))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(other)).embed(eye_files[0]), embedding)
    default = np.asarray(recognizer.embed(eye_files[0]))
    [[similarity]] = recognizer.similarities(embedding, default)
    assert similarity > 0.9 and not np.array_equal(embedding, default)
    assert other.origin == recognizer.origin


def test_templates_of_another_length_are_refused(recognizer, eye_files):
    template = recognizer.enroll(eye_files[0])
    longer = np.append(template.embedding, np.float32(0.0))
    other = Template(longer, template.origin, template.quality)
    for call in (
        lambda: recognizer.verify(other, template),
        lambda: recognizer.verify(template, other),
        lambda: recognizer.identify(template, {"other": other}),
    ):
        with pytest.raises(ModelError, match="has embeddings of 129 numbers"):
            call()


@pytest.mark.parametrize(
    "change", [{"input_size": (8, 17)}, {"embedding_size": 127}, {"embedding_size": 10**400}]
)
def test_a_card_that_the_model_contradicts(pixel_model, tmp_path, change):
    model = shutil.copy(pixel_model, tmp_path)
    card = ModelCard.read(pixel_model.with_name("model_card.json"))
    dataclasses.replace(card, **change).write(tmp_path / "model_card.json")
    with pytest.raises(ModelError, match="takes crops of 8x16 and gives 128 numbers, but"):
        IrisRecognizer(model)


@pytest.mark.parametrize("value", [None, 5, np.uint8(3), b"eye.png", {"eye": 1}, [None]])
def test_what_is_no_image_is_named(recognizer, eye_files, value):
    template = recognizer.enroll(eye_files[0])
    calls = (
        lambda: recognizer.enroll(value),
        lambda: recognizer.embed(value),
        lambda: recognizer.verify(template, value),
        lambda: recognizer.verify(value, template),
        lambda: recognizer.identify(value, {"a": template}),
    )
    for call in calls:
        with pytest.raises((ArgumentError, ExtractionError)) as caught:
            call()
        assert "\n" not in str(caught.value)
        if isinstance(value, bytes):
            assert "given as bytes" in str(caught.value)


@pytest.mark.parametrize("gallery", [5, "gallery.npz", ["template"], {"a": 5}, {"a": "file"}])
def test_what_is_no_gallery_is_named(recognizer, eye_files, gallery):
    with pytest.raises(ArgumentError, match="templates by identity"):
        recognizer.identify(recognizer.enroll(eye_files[0]), gallery)


def test_what_are_no_embeddings_is_named(recognizer, eye_files):
    embeddings = recognizer.embed(eye_files)
    for other in (5, "a", [[1, 2]], np.asarray(embeddings)[0], None):
        with pytest.raises(ArgumentError, match="The second set of embeddings has the shape"):
            recognizer.similarities(embeddings, other)
    with pytest.raises(ModelError, match="The first set of embeddings has embeddings of 4 numbers"):
        recognizer.similarities(np.eye(4), embeddings)


def test_no_embeddings_have_no_similarities(recognizer, eye_files):
    embeddings = recognizer.embed(eye_files)
    assert recognizer.similarities(np.array([]), embeddings).shape == (0, len(embeddings))
    assert recognizer.similarities(embeddings[:0], np.array([])).shape == (0, 0)


def test_what_could_not_be_loaded_is_not_saved(recognizer, eye_files, tmp_path):
    template = recognizer.enroll(eye_files[0])
    for embedding in (template.embedding * 3, template.embedding[None], [1.0], "x"):
        with pytest.raises(ArgumentError, match="needs a unit vector"):
            Template(embedding, template.origin).save(tmp_path / "template.npz")
    whole = iris_tf.Gallery.of_templates({"a": template, "b": template})
    for change in (
        {"identities": ("a",)},
        {"images": ()},
        {"embeddings": whole.embeddings * np.nan},
        {"embeddings": whole.embeddings.astype(np.float64)},
    ):
        with pytest.raises(ArgumentError, match="a gallery needs unit vectors"):
            dataclasses.replace(whole, **change).save(tmp_path / "gallery.npz")
    assert not list(tmp_path.glob("*.npz"))


def test_nothing_to_evaluate():
    for models, manifests in (([], "m.csv"), ("m.tflite", []), (5, "m.csv"), ("m.tflite", None)):
        with pytest.raises(ArgumentError, match="give a path, or a sequence of at least one"):
            iris_tf.evaluate(models, manifests)


def test_vectors_that_are_not_of_unit_length_are_refused(recognizer, eye_files):
    """Ten times a stranger's embedding would reach every threshold."""
    template, stranger = recognizer.enroll(eye_files[0]), recognizer.enroll(eye_files[1])
    for factor in (10.0, 0.0, np.nan, np.inf):
        broken = dataclasses.replace(stranger, embedding=np.float32(factor) * stranger.embedding)
        calls = (
            lambda eye=broken: recognizer.verify(template, eye),
            lambda eye=broken: recognizer.verify(eye, template),
            lambda eye=broken: recognizer.identify(eye, {"a": template}),
            lambda eye=broken: recognizer.identify(template, {"a": eye}),
            lambda eye=broken: recognizer.similarities(
                template.embedding[None], eye.embedding[None]
            ),
        )
        for call in calls:
            with pytest.raises(ArgumentError, match="not of unit length"):
                call()
    for embedding in (template.embedding[None], template.embedding.tolist(), None):
        with pytest.raises(ArgumentError, match="The template holds no embeddings but"):
            recognizer.verify(dataclasses.replace(template, embedding=embedding), template)


def test_galleries_that_cannot_answer_are_refused(recognizer, eye_files):
    template = recognizer.enroll(eye_files[0])
    whole = iris_tf.Gallery.of_templates({"a": template, "b": template})
    none = dataclasses.replace(whole, embeddings=whole.embeddings[:0], identities=(), images=())
    with pytest.raises(ModelError, match="The gallery is empty"):
        recognizer.identify(template, none)
    with pytest.raises(ArgumentError, match="2 embeddings, 1 identities and 2 images"):
        recognizer.identify(template, dataclasses.replace(whole, identities=("a",)))


@pytest.mark.parametrize("value", [5, None, b"a.npz", ["a.npz"], "", "a\0b", 0.5, True])
def test_what_is_no_path_is_named(value, tmp_path):
    template = Template(np.array([1.0], np.float32), Origin("m", "0" * 64))
    calls = [
        lambda: Template.load(value),
        lambda: template.save(value),
        lambda: iris_tf.Gallery.load(value),
        lambda: iris_tf.Gallery.of_templates({"a": template}).save(value),
        lambda: iris_tf.read_manifest(value),
        lambda: iris_tf.prepare(value, tmp_path / "out"),
        lambda: iris_tf.prepare(tmp_path, value),
        lambda: iris_tf.evaluate([value], "manifest.csv"),
    ]
    if value is not None:
        calls += [
            lambda: iris_tf.IrisRecognizer(value),
            lambda: iris_tf.IrisRecognizer(calibration=value),
            lambda: iris_tf.prepare(tmp_path, tmp_path / "out", split=value),
            lambda: iris_tf.prepare(tmp_path, tmp_path / "out", segmenter_model=value),
        ]
    for call in calls:
        with pytest.raises(ArgumentError, match=r"give its path as text or pathlib\.Path"):
            call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_quality": 5}, "The quality limits are 5; give a dict"),
        ({"min_quality": "sharpness=5"}, "give a dict"),
        ({"min_quality": {"sharpness": "x"}}, "sharpness='x' must be a number"),
        ({"min_quality": {"sharpness": None}}, "sharpness=None must be a number"),
        ({"min_quality": {"sharpness": True}}, "sharpness=True must be a number"),
        ({"segmenter": ["opencv"]}, "segmenter is .* give one as text"),
        ({"split_by": {}}, "split_by is {}"),
        ({"jobs": "2"}, "jobs is 2"),
        ({"jobs": None}, "jobs is None"),
    ],
)
def test_misused_options_of_prepare_are_named(options, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        iris_tf.prepare(tmp_path, tmp_path / "out", **options)


def test_a_template_without_an_origin_is_not_saved(tmp_path):
    with pytest.raises(ArgumentError, match="does not say which model made it"):
        Template(np.array([1.0], np.float32), None).save(tmp_path / "template.npz")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_drawn_is_named():
    for source in (5, None, [], "metrics.json"):
        with pytest.raises(ArgumentError, match="plot_det cannot draw"):
            iris_tf.plot_det(source)


@pytest.mark.parametrize(
    ("pairs", "point"), [(29_999, "far_1e-2"), (30_000, "far_1e-3"), (None, "far_1e-2")]
)
def test_similarities_are_decided_as_strictly_as_comparisons_support(
    recognizer, eye_files, tmp_path, pairs, point
):
    """30 false matches are expected at a FAR of 0.1 % in 30,000 impostor comparisons."""
    facts = {} if pairs is None else {"impostor_comparisons": pairs}
    card = dataclasses.replace(recognizer.card, thresholds_from=facts)
    shutil.copy(recognizer.model, tmp_path)
    card.write(tmp_path / "model_card.json")
    decided = IrisRecognizer(tmp_path / recognizer.model.name)
    assert decided.verify(eye_files[0], eye_files[0]).operating_point == point
