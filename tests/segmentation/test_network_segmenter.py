"""The released segmentation network: figures on eyes of known outlines, refusals, determinism."""

import dataclasses
import json
import pickle

import cv2
import numpy as np
import pytest

from iris_tf.evaluation.segmenter_scores import intersection_over_union, score_segmenter, summarise
from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.segmentation.network_segmenter import NetworkSegmenter, _infer, _outline, _overlap
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


class TestOutline:
    """The fit through a mask's edge, against ellipses that are known."""

    ELLIPSE = Ellipse(120.0, 90.0, 52.0, 45.0, 0.6)

    def mask(self, ellipse):
        fine = ellipse.scaled(8.0, (3.5, 3.5)).mask((192 * 8, 256 * 8)).astype(np.float32)
        return cv2.resize(fine, (256, 192), interpolation=cv2.INTER_AREA)

    def check(self, found, tolerance):
        for name in ("x", "y", "a", "b"):
            one = sorted((found.a, found.b)) if name in "ab" else None
            got = getattr(found, name) if one is None else one["ba".index(name)]
            assert got == pytest.approx(getattr(self.ELLIPSE, name), abs=tolerance)

    def test_exact_mask(self):
        self.check(_outline(self.mask(self.ELLIPSE), 5.0), 0.3)

    def test_noise_and_holes(self):
        mask = self.mask(self.ELLIPSE)
        mask[80:90, 100:130] = 0.1
        noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, mask.shape), (0, 0), 2)
        self.check(_outline((mask + 0.5 * noise).clip(0, 1).astype(np.float32), 5.0), 1.0)

    def test_missing_arc_where_the_network_only_guesses(self):
        mask = self.mask(self.ELLIPSE)
        guessed = self.mask(Ellipse(120.0, 84.0, 60.0, 50.0, 0.6))
        blurred = cv2.GaussianBlur(guessed, (0, 0), 8.0)
        mask[:62] = blurred[:62]
        found = _outline(mask, 5.0)
        assert _overlap(found, self.ELLIPSE) > 0.95

    def test_other_spots_do_not_count(self):
        mask = self.mask(self.ELLIPSE)
        mask[5:20, 5:40] = 1.0
        self.check(_outline(mask, 5.0), 0.3)

    @pytest.mark.parametrize("spots", [[(5, 5)], [(5, 200), (170, 10), (88, 240)], []])
    def test_a_component_is_outlined_as_if_it_were_alone(self, spots):
        mask = cv2.GaussianBlur(self.mask(self.ELLIPSE), (0, 0), 3.0)
        for row, column in spots:
            mask[row : row + 12, column : column + 12] = 0.9
        _, labels = cv2.connectedComponents((mask > 0.5).astype(np.uint8), connectivity=4)
        of_the_iris = labels == labels[90, 120]
        alone = np.where(of_the_iris, mask, np.minimum(mask, 0.5))
        before = mask.copy()
        found, expected = _outline(mask, 5.0), _outline(alone, 5.0)
        np.testing.assert_allclose(dataclasses.astuple(found), dataclasses.astuple(expected))
        np.testing.assert_array_equal(mask, before)

    def test_crooked_mask_has_no_outline_beyond_it(self):
        mask = np.zeros((192, 256), np.float32)
        mask[90:96, 10:250] = 1.0  # a bar
        mask[20:180, 240:250] = 1.0
        found = _outline(mask, 5.0)
        assert found is None or found.radius < 1.6 * np.sqrt(mask.sum() / np.pi)

    def test_nothing_or_too_little_is_none(self):
        assert _outline(np.zeros((192, 256), np.float32), 5.0) is None
        assert _outline(self.mask(Ellipse(50, 50, 3, 3)), 5.0) is None


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
