"""Training samples of the segmentation network: their targets must be the eye's ground truth."""

import numpy as np
import pytest

from iris_tf.config.segmenter_recipe import SegmenterStage
from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.segmentation.mask_channels import CHANNELS
from iris_tf.synthetic.eye_renderer import SyntheticEye
from iris_tf.synthetic.segmentation_samples import (
    COVERAGE_STEPS,
    LOOKS,
    draw_eyes,
    draw_samples,
    look_window,
    sample_size,
    training_sample,
    write_samples,
)


def _drawn_eye(visible_rows):
    pupil, iris = Ellipse(160.0, 120.0, 30.0, 30.0), Ellipse(160.0, 120.0, 80.0, 80.0)
    visible = iris.mask((240, 320)) & ~pupil.mask((240, 320))
    visible[visible_rows:] = False
    opening = np.zeros((240, 320), bool)
    opening[:visible_rows] = True
    return SyntheticEye(np.full((240, 320), 99, np.uint8), pupil, iris, visible, opening)


@pytest.mark.parametrize(("height", "width"), [(192, 256), (288, 384)])
def test_coverage_sums_to_the_areas(height, width):
    eye = _drawn_eye(240)
    image, target = training_sample(eye, Window.whole(eye.image.shape), height)
    assert image.shape == (height, width) == sample_size(height)
    assert target.shape == (height, width, 4)
    area = dict(zip(CHANNELS, target.sum(axis=(0, 1)) * (240 / height) ** 2, strict=True))
    assert area["pupil"] == pytest.approx(np.pi * 30**2, rel=0.01)
    assert area["iris"] == pytest.approx(np.pi * 80**2, rel=0.01)
    assert area["visible"] == pytest.approx(eye.visible.sum(), rel=0.01)
    assert area["opening"] == pytest.approx(240 * 320, rel=0.01)


def test_covered_parts_of_the_discs_stay():
    eye = _drawn_eye(130)
    _, target = training_sample(eye, Window.whole(eye.image.shape), 192)
    below = target[round(140 * 192 / 240) :]
    assert below[..., CHANNELS.index("iris")].sum() > 100
    assert not below[..., CHANNELS.index("visible")].any()


def test_shut_eye_has_neither_iris_nor_pupil():
    eye = _drawn_eye(40)
    assert not eye.visible.sum() > 0.04 * np.pi * (80**2 - 30**2)
    _, target = training_sample(eye, Window.whole(eye.image.shape), 192)
    for name in ("visible", "pupil", "iris"):
        assert not target[..., CHANNELS.index(name)].any()


def test_packed_coverage_is_that_of_the_sample():
    packed = draw_samples(3, 1, 2, 192, ["whole", "close"])
    assert packed.shape == (4, 192, 256, 3) and packed.dtype == np.uint8
    eyes = [eye for eye, _ in draw_eyes(3, 1, 1)]
    image, target = training_sample(eyes[0], Window.whole(eyes[0].image.shape), 192)
    np.testing.assert_array_equal(packed[0, ..., 0], image)
    bytes_of = [(0, 1, 15), (1, 1, 240), (2, 2, 15), (3, 2, 240)]
    for channel, byte, half in bytes_of:
        stored = (packed[0, ..., byte] & half) / (half / 15) / COVERAGE_STEPS
        np.testing.assert_allclose(stored, target[..., channel], atol=0.5 / COVERAGE_STEPS + 1e-6)


def test_file_depends_on_seed_and_number_alone(tmp_path):
    for name, seed, number in (("a", 3, 1), ("b", 3, 1), ("c", 3, 2), ("d", 4, 1)):
        write_samples(tmp_path / f"{name}.npy", seed, number, 2, 96, ["whole"])
    a, b, c, d = (np.load(tmp_path / f"{name}.npy") for name in "abcd")
    np.testing.assert_array_equal(a, b)
    assert (a != c).any() and (a != d).any()
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("look", "least", "most", "shift"), [("close", 0.45, 0.85, 0.15), ("last", 0.65, 0.85, 0.05)]
)
def test_a_look_shows_the_iris_as_large_and_as_central_as_it_says(look, least, most, shift):
    eye = _drawn_eye(240)
    rng = np.random.default_rng(4)
    windows = [look_window(rng, eye, look) for _ in range(400)]
    heights = np.array([3 * window.unit for window in windows])
    # A window is whole pixels, in units of three rows.
    assert heights.min() >= 160 / most - 2 and heights.max() <= 160 / least + 2
    assert heights.min() <= 160 / most + 4 and heights.max() >= 160 / least - 8
    middle = np.array([(w.left + 2 * w.unit - 0.5, w.top + 1.5 * w.unit - 0.5) for w in windows])
    away = (middle - (160.0, 120.0)) / 80.0
    np.testing.assert_allclose(away.std(axis=0), shift, rtol=0.15)
    np.testing.assert_allclose(away.mean(axis=0), 0.0, atol=0.03)


def test_each_eye_gives_the_looks_that_are_asked_for():
    packed = draw_samples(3, 1, 1, 96, ["last", "whole", "last"])
    assert len(packed) == 3
    eyes = [eye for eye, _ in draw_eyes(3, 1, 1)]
    whole, _ = training_sample(eyes[0], Window.whole(eyes[0].image.shape), 96)
    np.testing.assert_array_equal(packed[1, ..., 0], whole)
    assert (packed[0, ..., 0] != packed[2, ..., 0]).mean() > 0.2


def test_a_recipe_takes_these_looks_and_no_others():
    assert not list(SegmenterStage(looks=list(LOOKS)).problems())
    (problem,) = SegmenterStage(looks=["whole", "far"]).problems()
    assert problem == ("looks", f"must be one of {', '.join(LOOKS)}, but is 'far'")
