import dataclasses
import json
import math
from itertools import combinations

import cv2
import numpy as np
import pytest
from scipy import linalg, stats

from iris_tf import IrisRecognizer
from iris_tf.matching.calibration import Calibration, ImpostorEstimate
from iris_tf.matching.matcher import Matcher
from iris_tf.recognition.calibrate_camera import calibrate
from iris_tf.recognition.impostor_scores import adapted_scores, estimate_impostors
from iris_tf.support.errors import DatasetError, ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout


def unit_rows(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def cosine(a, b):
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


def eyes_of_one_camera(rng, eyes, images, size=64, shift=0.7, noise=0.3):
    """Unit vectors with a shared component, (eyes * images, size), and whose they are."""
    shared = np.sqrt(size) * shift * unit_rows(rng.normal(size=(1, size)))
    textures = np.repeat(rng.normal(size=(eyes, size)), images, axis=0)
    vectors = shared + textures + noise * rng.normal(size=(eyes * images, size))
    return unit_rows(vectors), np.repeat(np.arange(eyes), images)


def adapted(embeddings, by):
    """Rows as a calibration by the images `by` leaves them, from an independent formula."""
    moment = sum(np.outer(row, row) for row in by) / len(by)
    size = len(moment)
    shrunk = 0.7 * moment + 0.3 * np.trace(moment) / size * np.eye(size)
    return unit_rows(embeddings @ linalg.inv(linalg.sqrtm(linalg.sqrtm(shrunk))))


# -- The estimate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("eyes", "images"), [(7, 1), (13, 3)])
def test_scores_are_those_of_a_naive_loop(eyes, images):
    embeddings, groups = eyes_of_one_camera(np.random.default_rng(1), eyes, images, size=5)
    expected = []
    for a, b in combinations(range(len(groups)), 2):
        if groups[a] == groups[b]:
            continue
        known = [g % 10 not in (groups[a] % 10, groups[b] % 10) for g in groups]
        expected.append(cosine(*adapted(embeddings[[a, b]], embeddings[known])))
    scores = adapted_scores(embeddings, groups)
    np.testing.assert_allclose(np.sort(scores), np.sort(expected), atol=1e-6)


def test_a_phase_code_stays_as_it_is():
    rng = np.random.default_rng(9)
    embeddings, groups = eyes_of_one_camera(rng, 7, 2, size=11)
    matcher = Matcher(PhaseCodeLayout(6, 3, 1))
    expected = []
    for a, b in combinations(range(len(groups)), 2):
        if groups[a] == groups[b]:
            continue
        known = [g % 10 not in (groups[a] % 10, groups[b] % 10) for g in groups]
        pair = embeddings[[a, b]]
        learned = adapted(pair[:, :5], embeddings[known][:, :5])
        learned *= np.linalg.norm(pair[:, :5], axis=1, keepdims=True)
        codes = [np.roll(pair[0, 5:], 2 * columns) @ pair[1, 5:] for columns in (-1, 0, 1)]
        expected.append(learned[0] @ learned[1] + max(codes))
    scores = adapted_scores(embeddings, groups, matcher)
    np.testing.assert_allclose(np.sort(scores), np.sort(expected), atol=1e-6)


def test_few_eyes_do_not_seem_less_alike_than_strangers_will_be():
    # Fifty eyes, many times over: thresholds are for eyes that the matrix does not know.
    rng = np.random.default_rng(2)
    estimated, real, naive = [], [], []
    for _ in range(40):
        embeddings, groups = eyes_of_one_camera(rng, 150, 1, size=32)
        by, strangers = embeddings[:50], embeddings[50:]
        estimated.append(np.quantile(adapted_scores(by, groups[:50]), 0.95))
        for found, some in ((real, strangers), (naive, by)):
            rows = adapted(some, by)
            found.append(np.quantile((rows @ rows.T)[np.triu_indices(len(rows), 1)], 0.95))
    assert np.mean(estimated) == pytest.approx(np.mean(real), abs=0.015)
    assert np.mean(naive) < np.mean(real) - 0.04


@pytest.mark.parametrize("size", [9, 65])
def test_thresholds_of_gaussian_embeddings_in_closed_form(size):
    # Directions of a normal distribution in d dimensions stay what they are, for their second
    # moment is the identity: of their cosine c, (1 + c) / 2 ~ Beta((d - 1) / 2, (d - 1) / 2).
    embeddings, _ = eyes_of_one_camera(np.random.default_rng(3), 1500, 1, size, shift=0, noise=0)
    beta = stats.beta((size - 1) / 2, (size - 1) / 2)
    named = [([f"{n}" for n in range(1500)], "empirical")]
    # In nine dimensions strangers look like one eye.
    for identities, method in named + [(None, "fitted tail")] * (size > 9):
        found = estimate_impostors(embeddings, identities)
        assert found.pairs == pytest.approx(1500 * 1499 // 2, rel=1e-4 if identities is None else 0)
        assert found.median == pytest.approx(0, abs=0.01)
        assert found.dimensions == pytest.approx(size, rel=0.03)
        assert set(found.methods.values()) == {method}
        for point, rate in (("far_1e-2", 1e-2), ("far_1e-3", 1e-3)):
            assert found.thresholds[point] == pytest.approx(2 * beta.isf(rate) - 1, rel=0.03)


def test_what_a_camera_shares_counts_for_less():
    rng = np.random.default_rng(8)
    embeddings, groups = eyes_of_one_camera(rng, 200, 2)
    found = estimate_impostors(embeddings, groups.tolist())
    first = embeddings[::2]
    before = np.median((first @ first.T)[np.triu_indices(200, 1)])
    assert found.median < before / 2


@pytest.mark.parametrize(("eyes", "images"), [(40, 4), (100, 3), (200, 1)])
def test_without_labels_as_many_strangers_pass_as_it_says(eyes, images):
    rng = np.random.default_rng(4)
    passed = []
    for _ in range(10):
        embeddings, groups = eyes_of_one_camera(rng, eyes + 300, images)
        known = groups < eyes
        found = estimate_impostors(embeddings[known])
        different = math.comb(eyes * images, 2) - eyes * math.comb(images, 2)
        assert found.pairs == pytest.approx(different, rel=1e-3)
        strangers = adapted(embeddings[~known][::images], embeddings[known])
        scores = (strangers @ strangers.T)[np.triu_indices(300, 1)]
        passed.append([(scores >= found.thresholds[p]).mean() for p in ("far_1e-2", "far_1e-3")])
    np.testing.assert_allclose(np.mean(passed, 0), (1e-2, 1e-3), rtol=0.35)


def test_many_images_of_few_eyes_have_a_fitted_tail():
    # 20,000 pairs of images, but of 45 pairs of eyes.
    embeddings, groups = eyes_of_one_camera(np.random.default_rng(9), 10, 20)
    found = estimate_impostors(embeddings, groups.tolist())
    assert found.pairs == 45 * 400
    assert set(found.methods.values()) == {"fitted tail"}


def test_few_eyes_without_labels():
    embeddings, groups = eyes_of_one_camera(np.random.default_rng(9), 9, 10)
    assert estimate_impostors(embeddings, groups.tolist()).pairs == 36 * 100
    with pytest.raises(DatasetError, match=r"appear to show 9 eyes, .* at least 10"):
        estimate_impostors(embeddings)


def test_an_empirical_threshold_lets_no_more_pass_than_it_says():
    embeddings, groups = eyes_of_one_camera(np.random.default_rng(5), 300, 1, size=8)
    found = estimate_impostors(embeddings, groups.tolist())
    scores = adapted_scores(embeddings, groups)
    for point, rate in (("far_1e-2", 1e-2), ("far_1e-3", 1e-3)):
        assert found.methods[point] == "empirical"
        passed = int((scores >= found.thresholds[point]).sum())
        assert passed == int(rate * len(scores))


def test_few_pairs_have_a_fitted_tail():
    embeddings, groups = eyes_of_one_camera(np.random.default_rng(6), 90, 1)
    found = estimate_impostors(embeddings, groups.tolist())
    # 4,005 pairs: 40 may pass at 1 %, and 4 at 0.1 %, too few to count.
    assert found.methods == {"far_1e-2": "empirical", "far_1e-3": "fitted tail"}
    scores = adapted_scores(embeddings, groups)
    assert found.median == pytest.approx(np.median(scores), abs=1e-9)
    u, d = scores / np.sqrt(1 - scores**2), found.dimensions
    threshold = found.thresholds["far_1e-3"]
    for reached, rate in (
        (np.quantile(u, 0.95), 0.05),
        (threshold / np.sqrt(1 - threshold**2), 1e-3),
    ):
        above = (reached - np.median(u)) * np.sqrt(d - 1)
        assert stats.t.sf(above, d - 1) == pytest.approx(rate, rel=1e-6)
    assert found.thresholds["far_1e-3"] >= found.thresholds["far_1e-2"]


@pytest.mark.parametrize(("spread", "dimensions"), [(1e-4, 1e5), (0.9999, 1.5)])
def test_spreads_that_no_directions_have(monkeypatch, spread, dimensions):
    scores = np.tile([-spread, 0.0, spread], 500)
    monkeypatch.setattr("iris_tf.recognition.impostor_scores.adapted_scores", lambda *_: scores)
    found = estimate_impostors(np.eye(60), list(range(60)))
    assert found.dimensions == dimensions
    assert 0 < found.thresholds["far_1e-2"] <= found.thresholds["far_1e-3"] <= 1


def test_of_many_images_some_are_compared():
    embeddings, groups = eyes_of_one_camera(np.random.default_rng(7), 3000, 1, size=16)
    assert estimate_impostors(embeddings, groups.tolist()).pairs == 1500 * 1499 // 2


def test_copies_of_images_are_apparent_identities():
    eyes = unit_rows(np.random.default_rng(0).normal(size=(62, 64)))
    copied = np.concatenate([eyes, eyes[:10]]).astype(np.float32)
    assert estimate_impostors(copied).pairs == 72 * 71 // 2 - 10
    with pytest.raises(DatasetError, match="so similar that they appear to show 1 eye,"):
        estimate_impostors(np.repeat(copied[:1], 60, axis=0))


def test_images_that_are_all_alike():
    with pytest.raises(DatasetError, match="all images are the same"):
        estimate_impostors(np.ones((60, 4)) / 2, list(range(60)))
    with pytest.raises(DatasetError, match="so similar that they appear to show 1 eye,"):
        estimate_impostors(np.ones((60, 4)) / 2)


# -- The file -------------------------------------------------------------------------------------


@pytest.fixture
def calibration(recognizer):
    rng = np.random.default_rng(0)
    matrix = (np.eye(128) + rng.normal(0, 0.02, (128, 128))).astype(np.float32)
    impostors = ImpostorEstimate(
        1225, 0.01, 0.1, {"far_1e-2": 0.25, "far_1e-3": 0.3}, dict.fromkeys(("a",), "fitted tail")
    )
    origin = recognizer.origin
    return Calibration(
        "gate", origin.model, origin.model_sha256, matrix, 50, None, {"no_iris": 2}, impostors
    )


def test_round_trip(calibration, tmp_path):
    calibration.write(tmp_path / "gate.json")
    read = Calibration.read(tmp_path / "gate.json")
    np.testing.assert_array_equal(read.matrix, calibration.matrix)
    assert read.matrix.dtype == np.float32
    assert read.id == calibration.id
    for name in ("name", "model", "model_sha256", "images", "eyes", "failures", "impostors"):
        assert getattr(read, name) == getattr(calibration, name)
    assert read.matcher == Matcher()
    assert json.loads((tmp_path / "gate.json").read_text())["phase"] is None
    matcher = Matcher(PhaseCodeLayout(96, 16, 3))
    dataclasses.replace(calibration, matcher=matcher).write(tmp_path / "gate.json")
    assert Calibration.read(tmp_path / "gate.json").matcher == matcher
    stored = json.loads((tmp_path / "gate.json").read_text())
    assert stored["phase"] == {"size": 96, "columns": 16, "turns": 3}
    assert "matcher" not in stored


def test_files_that_are_no_calibrations(calibration, tmp_path):
    path = tmp_path / "gate.json"
    calibration.write(path)
    values = json.loads(path.read_text())
    bad = [
        "{", "[]", "3",
        *(json.dumps({k: v for k, v in values.items() if k != name}) for name in values
          if name != "created_by"),
        json.dumps(values | {"schema_version": 2}),
        json.dumps(values | {"phase": {"size": 5, "columns": 2, "turns": 0}}),
        json.dumps(values | {"matrix": [[1.0, 0.0]]}),
        json.dumps(values | {"matrix": [1.0]}),
        json.dumps(values | {"matrix": [["x"]]}),
        json.dumps(values | {"surprise": 1}),
        json.dumps(values | {"impostors": values["impostors"] | {"thresholds": {"eer": 0.1}}}),
        *(
            json.dumps(values | {"impostors": values["impostors"] | {"thresholds": thresholds}})
            for thresholds in (
                {"far_1e-2": -9, "far_1e-3": 0.3}, {"far_1e-2": 0.2, "far_1e-3": 10**400},
                {"far_1e-2": 0.4, "far_1e-3": 0.3},
            )
        ),
        json.dumps(values | {"matrix": [[10**400]]}),
        "[" * 100_000,
    ]  # fmt: skip
    for text in bad:
        path.write_text(text)
        with pytest.raises(ModelError, match=r"gate\.json: this is not a calibration"):
            Calibration.read(path)
    with pytest.raises(ModelError, match="there is no such calibration"):
        Calibration.read(tmp_path / "none.json")


# -- Its use --------------------------------------------------------------------------------------


def test_a_calibrated_recogniser(pixel_model, calibration, noisy_eye, embedding_of, tmp_path):
    calibration.write(tmp_path / "gate.json")
    recognizer = IrisRecognizer(pixel_model, calibration=tmp_path / "gate.json")
    a, b = noisy_eye(0, 0), noisy_eye(5, 0)
    template = recognizer.enroll(a)
    multiplied = [calibration.matrix.T @ embedding_of(image) for image in (a, b)]
    np.testing.assert_allclose(
        template.embedding, multiplied[0] / np.linalg.norm(multiplied[0]), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(recognizer.embed([a, b]), axis=1), 1, atol=1e-6)
    result = recognizer.verify(template, b)
    assert result.similarity == pytest.approx(cosine(*multiplied), abs=1e-5)
    assert (result.threshold, result.operating_point) == (0.3, "far_1e-3")
    assert result.calibration == "gate"
    found = recognizer.identify(b, {"a": template})
    assert (found.threshold, found.calibration) == (0.3, "gate")
    with pytest.raises(ModelError, match=r"gate: .*'eer'; choose one of far_1e-2, far_1e-3"):
        recognizer.verify(template, b, "eer")


def test_templates_of_another_calibration(
    pixel_model, recognizer, calibration, noisy_eye, tmp_path
):
    calibration.write(tmp_path / "gate.json")
    calibrated = IrisRecognizer(pixel_model, calibration=tmp_path / "gate.json")
    template = recognizer.enroll(noisy_eye(0, 0))
    with pytest.raises(ModelError, match="made with no calibration, but the calibration gate"):
        calibrated.verify(template, noisy_eye(0, 1))
    # The same name, another matrix.
    values = json.loads((tmp_path / "gate.json").read_text())
    values["matrix"][0][0] += 0.01
    (tmp_path / "later.json").write_text(json.dumps(values))
    later = IrisRecognizer(pixel_model, calibration=tmp_path / "later.json")
    with pytest.raises(ModelError, match="use the same for both, or enrol"):
        later.verify(calibrated.enroll(noisy_eye(0, 0)), noisy_eye(0, 1))


def test_a_calibration_of_another_model(other_model, calibration, tmp_path):
    calibration.write(tmp_path / "gate.json")
    message = r"gate\.json: this calibration was made for another model file"
    with pytest.raises(ModelError, match=message):
        IrisRecognizer(other_model, calibration=tmp_path / "gate.json")


# -- Its making -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def camera(tmp_path_factory, noisy_eye):
    """Sixty eyes in the IITD layout, and two files that are none."""
    folder = tmp_path_factory.mktemp("gate")
    for eye in range(60):
        path = folder / f"{eye // 2:03d}" / f"01_{'LR'[eye % 2]}.bmp"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), noisy_eye(eye, 0))
    for name in ("02_L.bmp", "03_L.bmp"):
        (folder / "000" / name).write_text("not an image")
    return folder


def test_a_folder_of_images(recognizer, camera, embedding_of):
    made = calibrate(recognizer, camera, "gate")
    usable = [camera / f"{eye // 2:03d}" / f"01_{'LR'[eye % 2]}.bmp" for eye in range(60)]
    embeddings = np.stack([embedding_of(path) for path in usable])
    np.testing.assert_allclose(made.adapt(embeddings), adapted(embeddings, embeddings), atol=1e-4)
    assert (made.name, made.images, made.eyes) == ("gate", 60, 60)
    assert made.failures == {"unreadable": 2}
    assert (made.model, made.model_sha256) == (
        recognizer.card.name, recognizer.card.files[recognizer.model.name].sha256,
    )  # fmt: skip
    assert made.impostors.pairs == 60 * 59 // 2


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("image {}.bmp", "folder"), ("visitor{}_L.bmp", "eye-names"), ("L/{}.bmp", "eye-folders"),
    ],
)  # fmt: skip
def test_only_known_layouts_tell_who_is_who(recognizer, camera, tmp_path, name, layout):
    # A folder a day: most pairs within a day are of different eyes.
    for number, path in enumerate(sorted(camera.rglob("01_*.bmp"))):
        image = tmp_path / "days" / f"day{number % 2}" / name.format(number)
        image.parent.mkdir(parents=True, exist_ok=True)
        image.symlink_to(path)
    made = calibrate(recognizer, tmp_path / "days", "gate")
    assert made.eyes is None
    assert made.impostors.pairs == 60 * 59 // 2
    with pytest.raises(DatasetError, match="show 2 eyes, but a calibration takes at least 10"):
        calibrate(recognizer, tmp_path / "days", "gate", layout)


def test_too_few_images(recognizer, camera, tmp_path):
    for number, path in enumerate(sorted(camera.rglob("*.bmp"))[:51]):
        (tmp_path / f"{number}.bmp").symlink_to(path)
    # The two that are no images are among them.
    with pytest.raises(DatasetError, match="49 images can be used, but a calibration takes at"):
        calibrate(recognizer, tmp_path, "gate")


def test_no_calibration_on_another(pixel_model, calibration, camera, tmp_path):
    calibration.write(tmp_path / "gate.json")
    calibrated = IrisRecognizer(pixel_model, calibration=tmp_path / "gate.json")
    with pytest.raises(ModelError, match="calibrated already"):
        calibrate(calibrated, camera, "again")
