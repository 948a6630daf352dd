"""The released segmentation network: figures on eyes of known outlines, refusals, determinism."""

import contextlib
import itertools
import json
import pickle

import cv2
import numpy as np
import pytest

from iris_tf.data.layouts import read_layout
from iris_tf.evaluation.segmenter_scores import intersection_over_union, score_segmenter, summarise
from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.segmentation.network_segmenter import NetworkSegmenter, _infer, _overlap
from iris_tf.support.errors import ExtractionError, FailureReason, ModelError
from iris_tf.support.files import sha256
from iris_tf.tflite.released_models import released_folder, released_model


@pytest.fixture(scope="module")
def segment():
    return NetworkSegmenter()


@pytest.fixture(scope="module")
def scores():
    return score_segmenter("network", None, seed=20, eyes=100, first=7_000_000, jobs=2)


def _drawn(shape, pupil, iris, iris_level=110):
    """A plain eye: dark pupil, grey iris with some texture, bright sclera and skin."""
    rng = np.random.default_rng(0)
    image = np.full(shape, 200.0)
    image[iris.mask(shape)] = iris_level
    image += cv2.GaussianBlur(rng.normal(0, 40, shape), (0, 0), 1.5)
    image[pupil.mask(shape)] = 20
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1.0), 0, 255).astype(np.uint8)


def test_card_is_that_of_the_file():
    path = released_model("iris-segmenter")
    card = json.loads((released_folder("iris-segmenter") / "model_card.json").read_text())
    assert card["files"][path.name] == {
        "precision": "int8",
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
    }
    assert path.stat().st_size <= 2**20


def test_varied_eyes_are_found(scores):
    found = summarise(scores)
    assert found["eyes"] > 80
    assert found["failure_rate"] <= 0.05
    assert found["iou_visible"] >= 0.90
    assert found["iou_pupil"] >= 0.90
    assert found["limbus_error_median"] <= 0.02
    assert found["limbus_error_p95"] <= 0.06


class _Recording:
    """A model that keeps what it was shown and what it gave."""

    def __init__(self, model):
        self.model, self.calls, self.input_size = model, [], model.input_size

    def __call__(self, seen):
        self.calls.append((seen, self.model(seen)))
        return self.calls[-1][1]


@pytest.fixture(scope="module")
def clear():
    iris = Ellipse(322, 241, 96, 92, 0.2)
    return _drawn((480, 640), Ellipse(320, 240, 38, 36, 0.1), iris)


def test_an_uncertain_pass_is_averaged_with_the_mirrored_window(segment, clear, monkeypatch):
    window = Window.around(322, 241, 250)
    model = _Recording(segment._model)
    overlap = _infer(model, clear, window).expected_overlap
    assert len(model.calls) == 1
    for limit, passes in ((overlap - 1e-6, 1), (overlap + 1e-6, 2)):
        model.calls.clear()
        monkeypatch.setattr("iris_tf.segmentation.network_segmenter._CONFIDENT", limit)
        result = _infer(model, clear, window, mirrored=True)
        assert len(model.calls) == passes
    (seen, once), (turned, mirrored) = model.calls
    np.testing.assert_array_equal(turned, seen[:, ::-1])
    np.testing.assert_allclose(np.moveaxis(result.masks, 0, -1), (once + mirrored[:, ::-1]) / 2)
    assert result.expected_overlap != overlap


def test_the_first_pass_sees_the_whole_image_and_the_second_the_iris(clear):
    segment = NetworkSegmenter()
    segment._finder, segment._model = _Recording(segment._finder), _Recording(segment._model)
    segment(clear)
    ((whole, _),), close = segment._finder.calls, segment._model.calls
    assert whole.shape == (192, 256)
    expected = cv2.resize(clear, (256, 192), interpolation=cv2.INTER_AREA)
    assert np.abs(whole.astype(int) - expected).mean() < 2
    assert close and all(seen.shape == (288, 384) for seen, _ in close)
    iris = 2 * np.sqrt((close[-1][1][..., CHANNELS.index("iris")] > 0.5).sum() / np.pi)
    assert iris == pytest.approx(0.75 * 288, rel=0.05)


def test_least_confident_results_are_the_worse_ones(scores):
    given = sorted((s for s in scores if not s.reason), key=lambda s: s.confidence)
    fifth = len(given) // 5
    least, most = (
        np.mean([s.iou_visible for s in part]) for part in (given[:fifth], given[-fifth:])
    )
    assert least < most - 0.02


@pytest.mark.parametrize(
    ("shape", "radius"),
    [((480, 640), 50), ((480, 640), 140), ((240, 320), 95), ((280, 320), 110), ((240, 320), 45)],
)
def test_outlines_of_a_drawn_eye(segment, shape, radius):
    iris = Ellipse(0.52 * shape[1], 0.49 * shape[0], radius, 0.97 * radius, 0.2)
    pupil = Ellipse(iris.x + 0.03 * radius, iris.y, 0.4 * radius, 0.4 * radius)
    eye = segment(_drawn(shape, pupil, iris))
    assert eye.iris.radius == pytest.approx(iris.radius, rel=0.03)
    assert np.hypot(eye.iris.x - iris.x, eye.iris.y - iris.y) < 0.05 * radius
    assert eye.pupil.radius == pytest.approx(pupil.radius, rel=0.05)
    ring = iris.mask(shape) & ~pupil.mask(shape)
    # Every training sample has eyelids, so the network expects them.
    assert intersection_over_union(eye.visible, ring) > 0.7
    assert 0.0 <= eye.confidence <= 1.0
    assert eye.opening.shape == shape and eye.opening.dtype == bool


def test_results_are_plain_numbers_and_repeatable(segment):
    image = _drawn((240, 320), Ellipse(160, 120, 30, 30), Ellipse(160, 120, 80, 80))
    one, two = segment(image), segment(image)
    assert (one.pupil, one.iris, one.confidence) == (two.pupil, two.iris, two.confidence)
    np.testing.assert_array_equal(one.visible, two.visible)
    assert isinstance(one.confidence, float) and isinstance(one.iris.a, float)


def test_segmenter_can_be_pickled(segment):
    image = _drawn((240, 320), Ellipse(160, 120, 30, 30), Ellipse(160, 120, 80, 80))
    copy = pickle.loads(pickle.dumps(segment))
    assert copy.version == segment.version
    assert copy(image).iris == segment(image).iris


@pytest.mark.parametrize("shape", [(64, 64), (480, 640), (1200, 80)])
def test_no_eye_is_an_extraction_error(segment, shape):
    rng = np.random.default_rng(1)
    for image in (
        np.zeros(shape, np.uint8),
        np.full(shape, 255, np.uint8),
        rng.integers(0, 256, shape).astype(np.uint8),
        np.tile(np.linspace(0, 255, shape[1]).astype(np.uint8), (shape[0], 1)),
    ):
        with pytest.raises(ExtractionError) as raised:
            segment(image)
        assert raised.value.reason in set(FailureReason) - {FailureReason.INTERNAL}


def _on_skin(shape, eyes):
    """Eye images by their first row and column, on skin of their own mean level."""
    image = np.full(shape, np.mean([np.median(eye[:40]) for eye, _, _ in eyes]), np.uint8)
    for eye, row, column in eyes:
        image[row : row + eye.shape[0], column : column + eye.shape[1]] = eye
    return image


def test_images_of_several_eyes_are_refused(segment, small_images):
    rows = read_layout(small_images, "auto").rows[::4][:12]
    eyes = [cv2.imread(str(small_images / row.image), cv2.IMREAD_GRAYSCALE) for row in rows]
    several = []
    for left, right in itertools.pairwise(eyes):
        several.append(np.hstack([left, right]))
        several.append(np.vstack([left, right]))
    for left, right in zip(eyes[::2], eyes[1::2], strict=True):
        small = [cv2.resize(eye, None, fx=0.5, fy=0.5) for eye in (left, right)]
        face = _on_skin((600, 1000), [(small[0], 150, 60), (small[1], 160, 610)])
        several += [face, np.ascontiguousarray(np.rot90(face))]
    refused = 0
    for image in several:
        with contextlib.suppress(ExtractionError):
            segment(image)
            continue
        refused += 1
    assert refused >= 0.9 * len(several)
    with pytest.raises(ExtractionError, match="shows more than one eye; cut out one") as raised:
        segment(several[0])
    assert raised.value.reason == FailureReason.SEVERAL_EYES


def test_one_eye_with_much_room_is_not_several(segment, small_images):
    rows = read_layout(small_images, "auto").rows[1::4][:12]
    found = 0
    for row in rows:
        eye = cv2.imread(str(small_images / row.image), cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(eye, None, fx=0.5, fy=0.5)
        try:
            one = segment(_on_skin((600, 1000), [(small, 150, 60)]))
        except ExtractionError as error:
            assert error.reason != FailureReason.SEVERAL_EYES
            continue
        found += 1
        alone = segment(small)
        assert one.iris.x == pytest.approx(alone.iris.x + 60, abs=0.1 * alone.iris.radius)
    assert found >= 8


def test_overlap_of_ellipses_is_that_of_their_masks():
    one, other = Ellipse(500, 400, 80, 70, 0.3), Ellipse(520, 410, 90, 75, 1.0)
    masks = [e.mask((800, 1000)) for e in (one, other)]
    expected = intersection_over_union(*masks)
    assert _overlap(one, other) == pytest.approx(expected, abs=0.01)
    assert _overlap(one, Ellipse(5000, 4000, 80, 70)) == 0.0


def test_wrong_files_are_refused(tmp_path):
    from iris_tf.segmentation.segmenter import segmenter_by_name

    with pytest.raises(ModelError, match="no such model file"):
        segmenter_by_name("network", tmp_path / "none.tflite")
    with pytest.raises(ModelError, match=r"has whole\(image\) -> masks; .*iris_segmenter.py"):
        segmenter_by_name("network", released_model("mobiiris"))
    (tmp_path / "text.tflite").write_text("text")
    with pytest.raises(ModelError, match="not a TFLite file"):
        segmenter_by_name("network", tmp_path / "text.tflite")
    with pytest.raises(ModelError, match="missing from this installation"):
        released_model("no-such-model")
