import pickle

import cv2
import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.opencv_segmenter import OpenCVSegmenter
from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.synthetic.capture import draw_capture
from iris_tf.synthetic.eye_renderer import render_eye
from iris_tf.synthetic.synthetic_identity import draw_identity, image_generator

SEGMENT = OpenCVSegmenter()


def drawn_eye(shape, pupil, iris, seed=0, pupil_level=25, lid=None, spots=()):
    """A plain eye drawn with OpenCV alone: sclera, iris, pupil, skin above a line, noise."""
    rng = np.random.default_rng(seed)
    image = np.full(shape, 175.0, np.float32)
    texture = cv2.GaussianBlur(rng.normal(0, 1, shape).astype(np.float32), (0, 0), 2.0)
    image[iris.mask(shape)] = 110.0
    image += 8.0 * texture / texture.std() * iris.mask(shape)
    image[pupil.mask(shape)] = pupil_level
    if lid is not None:
        image[:lid] = 205.0
    for x, y, radius in spots:
        cv2.circle(image, (x, y), radius, 255.0, -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.2) + rng.normal(0, 2.0, shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def assert_near(found: Ellipse, true: Ellipse, share: float):
    assert found.radius == pytest.approx(true.radius, rel=share)
    assert np.hypot(found.x - true.x, found.y - true.y) < share * true.radius


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize(
    ("shape", "pupil", "iris"),
    [
        ((240, 320), Ellipse(150, 118, 38, 38), Ellipse(152, 120, 95, 95)),
        ((240, 320), Ellipse(200, 100, 14, 14), Ellipse(198, 101, 46, 46)),
        ((280, 320), Ellipse(160, 140, 60, 60), Ellipse(160, 141, 105, 105)),
        ((480, 640), Ellipse(300, 250, 22, 22), Ellipse(303, 252, 100, 100)),
        ((480, 640), Ellipse(330, 240, 60, 56, 0.3), Ellipse(324, 242, 148, 138, 0.3)),
        ((480, 640), Ellipse(420, 180, 17, 17), Ellipse(420, 180, 47, 47)),
    ],
)
class TestDrawnEyes:
    def test_outlines_and_mask(self, shape, pupil, iris):
        eye = SEGMENT(drawn_eye(shape, pupil, iris))
        assert_near(eye.pupil, pupil, 0.06)
        assert_near(eye.iris, iris, 0.04)
        assert eye.visible.shape == shape and eye.visible.dtype == bool
        assert overlap(eye.visible, iris.mask(shape) & ~pupil.mask(shape)) > 0.9

    def test_large_reflection_in_the_pupil(self, shape, pupil, iris):
        x, y, radius = int(pupil.x), int(pupil.y + pupil.b / 4), int(pupil.radius / 3)
        eye = SEGMENT(drawn_eye(shape, pupil, iris, seed=1, spots=[(x, y, radius)]))
        assert_near(eye.pupil, pupil, 0.08)
        assert_near(eye.iris, iris, 0.04)

    def test_grey_disc_painted_over_the_pupil(self, shape, pupil, iris):
        eye = SEGMENT(drawn_eye(shape, pupil, iris, seed=2, pupil_level=70))
        assert_near(eye.pupil, pupil, 0.08)
        assert_near(eye.iris, iris, 0.04)

    def test_upper_lid(self, shape, pupil, iris):
        lid = round(iris.y - 0.6 * iris.radius)
        eye = SEGMENT(drawn_eye(shape, pupil, iris, seed=3, lid=lid))
        ring = iris.mask(shape) & ~pupil.mask(shape)
        assert eye.visible[: lid - 2].sum() < 0.1 * ring[: lid - 2].sum()
        ring[:lid] = False
        assert overlap(eye.visible, ring) > 0.85

    def test_highlight_on_the_iris_is_not_visible_iris(self, shape, pupil, iris):
        x, y = round(iris.x + 0.7 * iris.a), round(iris.y)
        eye = SEGMENT(drawn_eye(shape, pupil, iris, seed=4, spots=[(x, y, 5)]))
        assert not eye.visible[y - 2 : y + 3, x - 2 : x + 3].any()
        assert_near(eye.iris, iris, 0.05)


def test_iris_cut_by_the_frame():
    shape, pupil, iris = (240, 320), Ellipse(60, 120, 30, 30), Ellipse(60, 120, 85, 85)
    eye = SEGMENT(drawn_eye(shape, pupil, iris))
    assert_near(eye.pupil, pupil, 0.08)
    assert_near(eye.iris, iris, 0.08)


@pytest.mark.parametrize("level", [0, 255])
def test_bars_around_the_image(level):
    shape, pupil, iris = (240, 320), Ellipse(160, 120, 26, 26), Ellipse(160, 120, 75, 75)
    framed = cv2.copyMakeBorder(
        drawn_eye(shape, pupil, iris), 40, 40, 30, 30, cv2.BORDER_CONSTANT, value=level
    )
    eye = SEGMENT(framed)
    assert_near(eye.iris, Ellipse(190, 160, 75, 75), 0.05)


def test_same_image_same_result():
    image = drawn_eye((240, 320), Ellipse(150, 118, 38, 38), Ellipse(152, 120, 95, 95))
    one, other = SEGMENT(image), pickle.loads(pickle.dumps(SEGMENT))(image.copy())
    assert (one.pupil, one.iris) == (other.pupil, other.iris)
    np.testing.assert_array_equal(one.visible, other.visible)


def test_synthetic_eyes_with_ground_truth():
    radius_errors, overlaps, failures = [], [], 0
    for subject in range(20):
        identity = draw_identity(77, subject, "L")
        rng = image_generator(77, subject, "L", 0)
        truth = render_eye(identity, draw_capture(rng, identity), rng)
        try:
            eye = SEGMENT(truth.image)
        except ExtractionError:
            failures += 1
            continue
        radius_errors.append(abs(eye.iris.radius / truth.iris.radius - 1.0))
        overlaps.append(overlap(eye.visible, truth.visible))
    assert failures <= 2
    assert np.median(radius_errors) < 0.02
    assert np.mean(overlaps) > 0.85 and np.median(overlaps) > 0.9


def bad_images(shape):
    rng = np.random.default_rng(0)
    for level in (0, 1, 128, 255):
        yield np.full(shape, level, np.uint8)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    yield noise
    for sigma in (2, 5, 10, 20):
        cloud = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), sigma)
        yield cv2.normalize(cloud, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]]
    yield (x % 256).astype(np.uint8)
    yield ((x // 8 + y // 8) % 2 * 255).astype(np.uint8)
    yield (x // 5 % 2 * 255).astype(np.uint8)
    dot = np.zeros(shape, np.uint8)
    dot[shape[0] // 2, shape[1] // 2] = 255
    yield dot
    disc = np.full(shape, 200, np.uint8)
    cv2.circle(disc, (shape[1] // 2, shape[0] // 2), 15, 10, -1)
    yield disc


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(64, 64), (64, 300), (300, 64), (240, 320), (480, 640)])
def test_no_eye_is_an_extraction_error(shape):
    allowed = {
        FailureReason.NO_PUPIL,
        FailureReason.NO_IRIS,
        FailureReason.IMPLAUSIBLE_GEOMETRY,
        FailureReason.OCCLUDED,
    }
    for image in bad_images(shape):
        with pytest.raises(ExtractionError) as caught:
            SEGMENT(image)
        assert caught.value.reason in allowed and str(caught.value).endswith(".")
