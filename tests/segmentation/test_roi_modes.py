import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.roi_modes import IRIS_CROPS, algorithm1, aligned, crop_roi, unrolled
from iris_tf.segmentation.segmenter import SegmentedEye, segmenter_by_name
from iris_tf.support.errors import DatasetError, ExtractionError, FailureReason

PHONE = Path(__file__).parents[2] / "android_demo"
NO_PUPIL = Ellipse(-50.0, -50.0, 1.0, 1.0)  # outside every frame here


def eye(visible, pupil=NO_PUPIL, iris=NO_PUPIL):
    return SegmentedEye(pupil, iris, np.array(visible, bool))


def whole_ring(shape, pupil, iris):
    return SegmentedEye(pupil, iris, iris.mask(shape) & ~pupil.mask(shape))


class TestAlgorithm1:
    IMAGE = np.arange(10, 52, dtype=np.uint8).reshape(6, 7)

    def test_hand_made_mask(self):
        visible = [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 1, 0, 0, 0],
            [0, 0, 1, 1, 1, 0, 0],
            [0, 0, 1, 0, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]
        # Rows 1..3 and columns 2..5 hold the mask; row r, column c holds 10 + 7 r + c.
        expected = [
            [0, 20, 0, 0],
            [26, 27, 28, 0],
            [33, 0, 35, 36],
        ]
        np.testing.assert_array_equal(algorithm1(self.IMAGE, eye(visible)), expected)

    def test_pupil_is_taken_off_the_iris(self):
        visible = np.zeros((6, 7), bool)
        visible[1:5, 1:6] = True
        pupil = Ellipse(3.0, 2.0, 1.2, 1.2)  # a plus of five pixels around row 2, column 3
        plus = pupil.mask((6, 7))
        assert plus.sum() < visible.sum() and plus[2, 3]
        crop = algorithm1(self.IMAGE, eye(visible, pupil))
        assert crop.shape == (4, 5)
        for row in range(4):
            for column in range(5):
                hidden = plus[row + 1, column + 1]
                value = 10 + 7 * (row + 1) + column + 1
                assert crop[row, column] == (0 if hidden else value)

    def test_a_segmenter_s_own_mask_is_taken_as_it_is(self):
        visible, ring = np.zeros((6, 7), bool), np.zeros((6, 7), bool)
        ring[1:4, 2:5] = True
        visible[2, 3] = True  # the rest is hidden by lashes
        given = SegmentedEye(Ellipse(3.0, 2.0, 1.2, 1.2), NO_PUPIL, visible, iris_minus_pupil=ring)
        np.testing.assert_array_equal(algorithm1(self.IMAGE, given), self.IMAGE[1:4, 2:5])

    def test_separate_parts_share_one_box(self):
        visible = np.zeros((6, 7), bool)
        visible[0, 6] = visible[4, 1] = True
        crop = algorithm1(self.IMAGE, eye(visible))
        assert crop.shape == (5, 6)
        assert crop[0, 5] == 16 and crop[4, 0] == 39 and (crop > 0).sum() == 2

    def test_crop_of_image_size_is_discarded(self):
        visible = np.zeros((6, 7), bool)
        visible[0, 0] = visible[5, 6] = True
        with pytest.raises(ExtractionError) as caught:
            algorithm1(self.IMAGE, eye(visible))
        assert caught.value.reason == FailureReason.ROI_IS_WHOLE_IMAGE

    @pytest.mark.parametrize("corner", [(5, 5), (4, 6)])
    def test_full_extent_of_one_side_only_is_kept(self, corner):
        visible = np.zeros((6, 7), bool)
        visible[0, 0] = visible[corner] = True
        assert algorithm1(self.IMAGE, eye(visible)).shape == (corner[0] + 1, corner[1] + 1)

    def test_empty_mask(self):
        with pytest.raises(ExtractionError) as caught:
            algorithm1(self.IMAGE, eye(np.zeros((6, 7))))
        assert caught.value.reason == FailureReason.OCCLUDED

    def test_image_is_left_alone(self):
        before = self.IMAGE.copy()
        algorithm1(self.IMAGE, eye(np.eye(6, 7)[:, ::-1] * (np.arange(7) > 1)))
        np.testing.assert_array_equal(self.IMAGE, before)


class TestAligned:
    def test_hand_computed_square(self):
        image = np.arange(1, 101, dtype=np.uint8).reshape(10, 10)
        # Radius 1.6 rounds up to 2, the centre to column 4, row 6.
        crop = aligned(image, eye(np.ones((10, 10)), iris=Ellipse(4.3, 5.8, 1.6, 1.2)))
        expected = [[10 * r + c + 1 for c in range(2, 7)] for r in range(4, 9)]
        np.testing.assert_array_equal(crop, expected)

    def test_longer_axis_counts(self):
        image = np.full((40, 40), 7, np.uint8)
        crop = aligned(image, eye(np.ones((40, 40)), iris=Ellipse(20.0, 20.0, 5.0, 8.0, 0.3)))
        assert crop.shape == (17, 17)

    def test_frame_is_padded_with_zeros(self):
        image = np.arange(1, 26, dtype=np.uint8).reshape(5, 5)
        crop = aligned(image, eye(np.ones((5, 5)), iris=Ellipse(0.0, 4.0, 2.0, 2.0)))
        expected = [
            [0, 0, 11, 12, 13],
            [0, 0, 16, 17, 18],
            [0, 0, 21, 22, 23],
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
        ]
        np.testing.assert_array_equal(crop, expected)
        crop = aligned(image, eye(np.ones((5, 5)), iris=Ellipse(4.0, 0.0, 2.0, 2.0)))
        expected = [
            [0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
            [3, 4, 5, 0, 0],
            [8, 9, 10, 0, 0],
            [13, 14, 15, 0, 0],
        ]
        np.testing.assert_array_equal(crop, expected)

    def test_lids_do_not_change_the_square(self):
        image = np.full((60, 80), 100, np.uint8)
        open_eye = whole_ring((60, 80), Ellipse(40, 30, 6, 6), Ellipse(40, 30, 20, 20))
        visible = open_eye.visible.copy()
        visible[:28] = False
        half_closed = SegmentedEye(open_eye.pupil, open_eye.iris, visible)
        crop = aligned(image, half_closed)
        assert crop.shape == aligned(image, open_eye).shape == (41, 41)
        assert algorithm1(image, half_closed).shape != algorithm1(image, open_eye).shape
        assert not crop[: 28 - 10].any()
        np.testing.assert_array_equal(crop[18:], aligned(image, open_eye)[18:])


class TestUnrolled:
    @staticmethod
    def grid():
        share = (np.arange(64) + 0.5)[:, None] / 64
        angle = np.arange(512)[None, :] * (2 * np.pi / 512)
        return share, angle

    def test_function_of_radius_and_angle(self):
        y, x = np.mgrid[:240, :320].astype(float)
        dx, dy = x - 160.0, y - 120.0
        image = 100 + 40 * np.cos(np.arctan2(dy, dx)) + 0.5 * np.hypot(dx, dy)
        image = np.round(image).astype(np.uint8)
        pupil, iris = Ellipse(160.0, 120.0, 30.0, 30.0), Ellipse(160.0, 120.0, 90.0, 90.0)
        strip = unrolled(image, whole_ring(image.shape, pupil, iris))
        share, angle = self.grid()
        expected = 100 + 40 * np.cos(angle) + 0.5 * (30 + 60 * share)
        inner = slice(1, 63)  # the outermost rows may touch masked pixels
        assert strip.shape == (64, 512) and strip.dtype == np.uint8
        assert np.abs(strip[inner] - expected[inner]).max() <= 1.5

    def test_angles_run_from_right_to_down(self):
        image = np.full((200, 200), 50, np.uint8)
        image[140:, :] = 200  # below the centre
        ring = whole_ring(image.shape, Ellipse(100, 100, 20, 20), Ellipse(100, 100, 80, 80))
        strip = unrolled(image, ring)
        assert strip[60, 128] == 200  # a quarter turn: down
        assert strip[60, 0] == strip[60, 256] == strip[60, 384] == 50

    def test_ellipses_with_own_centres_and_tilt(self):
        # A ramp is what it is at any point, so points computed by hand suffice.
        y, x = np.mgrid[:240, :320]
        pupil = Ellipse(150.0, 118.0, 32.0, 24.0, 0.4)
        iris = Ellipse(160.0, 120.0, 92.0, 80.0, 2.0)
        ramp_x = unrolled((x // 2).astype(np.uint8), whole_ring((240, 320), pupil, iris))
        ramp_y = unrolled(y.astype(np.uint8), whole_ring((240, 320), pupil, iris))

        def point(e, t):
            u, v = e.a * np.cos(t - e.angle), e.b * np.sin(t - e.angle)
            return (
                e.x + u * np.cos(e.angle) - v * np.sin(e.angle),
                e.y + u * np.sin(e.angle) + v * np.cos(e.angle),
            )

        for row, column in [(3, 0), (20, 100), (40, 250), (60, 400), (33, 511)]:
            s, t = (row + 0.5) / 64, column * 2 * np.pi / 512
            (px, py), (ix, iy) = point(pupil, t), point(iris, t)
            assert ramp_x[row, column] == pytest.approx(((1 - s) * px + s * ix) / 2, abs=1.0)
            assert ramp_y[row, column] == pytest.approx((1 - s) * py + s * iy, abs=1.0)

    def test_swapped_axes_describe_the_same_ellipse(self):
        rng = np.random.default_rng(0)
        image = rng.integers(1, 255, (200, 200), dtype=np.uint8)
        pupil = Ellipse(100, 100, 20, 20)
        one = whole_ring(image.shape, pupil, Ellipse(100, 100, 80, 60, 0.5))
        other = SegmentedEye(pupil, Ellipse(100, 100, 60, 80, 0.5 + np.pi / 2), one.visible)
        difference = np.abs(unrolled(image, one).astype(int) - unrolled(image, other))
        assert difference.max() <= 1

    def test_wraps(self):
        # A quarter turn of the picture is a shift by a quarter of the columns.
        rng = np.random.default_rng(1)
        image = rng.integers(1, 255, (201, 201), dtype=np.uint8)
        ring = whole_ring(image.shape, Ellipse(100, 100, 25, 25), Ellipse(100, 100, 90, 90))
        strip = unrolled(image, ring)
        turned = unrolled(np.ascontiguousarray(np.rot90(image, -1)), ring)
        inner = slice(2, 62)
        difference = np.abs(np.roll(strip, 128, axis=1)[inner].astype(int) - turned[inner])
        # Interpolation positions are rounded to 1/32 pixel, on noise of full range.
        assert np.percentile(difference, 99) <= 16

    def test_hidden_and_outside_are_zero(self):
        image = np.full((120, 160), 90, np.uint8)
        pupil, iris = Ellipse(20, 60, 15, 15), Ellipse(20, 60, 50, 50)
        ring = whole_ring(image.shape, pupil, iris)
        ring.visible[:55] = False
        strip = unrolled(image, ring)
        assert strip[50, 256] == 0  # to the left: outside the frame
        assert strip[50, 384] == 0  # up: under the lid
        assert strip[50, 0] == strip[50, 128] == 90
        assert set(np.unique(strip)) == {0, 90}  # no blend of iris and mask

    def test_the_blackest_visible_pixel_is_not_taken_for_hidden(self):
        pupil, iris = Ellipse(80, 60, 15, 15), Ellipse(80, 60, 50, 50)
        ring = whole_ring((120, 160), pupil, iris)
        ring.visible[:40] = False
        seen = unrolled(np.full((120, 160), 200, np.uint8), ring) == 200
        assert 0 < seen.sum() < seen.size
        image = np.zeros((120, 160), np.uint8)
        np.testing.assert_array_equal(unrolled(image, ring), seen)
        image[60:] = 1
        np.testing.assert_array_equal(unrolled(image, ring), seen)


def assert_same_crop(crop, expected, mode):
    """To the last pixel; where OpenCV 4 interpolates, at a 32nd of a pixel, to 3 grey levels."""
    rounded = mode == "unrolled" and int(cv2.__version__.split(".")[0]) < 5
    np.testing.assert_array_equal(crop > 0, expected > 0)
    np.testing.assert_allclose(crop.astype(int), expected.astype(int), rtol=0, atol=3 * rounded)


class TestOnThePhone:
    """The crops that the Android app is tested with are still those that are cut here."""

    @pytest.mark.parametrize("mode", IRIS_CROPS)
    @pytest.mark.parametrize("name", ["eye0", "eye1", "eye2"])
    def test_of_its_core(self, name, mode):
        folder = PHONE / "core" / "src" / "test" / "resources"

        def read(part):
            return cv2.imread(str(folder / f"{name}{part}.pgm"), cv2.IMREAD_GRAYSCALE)

        outlines = json.loads((folder / f"{name}.json").read_text())
        pupil, iris = (Ellipse(*outlines[part]) for part in ("pupil", "iris"))
        crop = crop_roi(read(""), SegmentedEye(pupil, iris, read("_visible") > 0), mode)
        assert_same_crop(crop, read(f"_{mode}"), mode)

    def test_of_the_app(self):
        folder = PHONE / "app" / "src" / "main" / "assets" / "agreement"
        eyes = [e for e in json.loads((folder / "eyes.json").read_text())["eyes"] if "strip" in e]
        assert eyes
        for found in eyes:
            shape = found["height"], found["width"]
            image = np.frombuffer(bytes.fromhex(found["pixels"]), np.uint8).reshape(shape)
            lengths = found["visible"]  # of runs, the first of what is hidden
            visible = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(shape)
            pupil, iris = Ellipse(*found["pupil"]), Ellipse(*found["iris"])
            strip = unrolled(image, SegmentedEye(pupil, iris, visible))
            expected = np.frombuffer(bytes.fromhex(found["strip"]), np.uint8).reshape(strip.shape)
            assert_same_crop(strip, expected, "unrolled")


@pytest.mark.parametrize("mode", IRIS_CROPS)
class TestAllModes:
    def test_nothing_visible(self, mode):
        nothing = SegmentedEye(
            Ellipse(30, 30, 5, 5), Ellipse(30, 30, 15, 15), np.zeros((60, 60), bool)
        )
        with pytest.raises(ExtractionError) as caught:
            crop_roi(np.full((60, 60), 9, np.uint8), nothing, mode)
        assert caught.value.reason == FailureReason.OCCLUDED

    def test_same_as_its_function(self, mode):
        rng = np.random.default_rng(2)
        image = rng.integers(0, 255, (60, 70), dtype=np.uint8)
        ring = whole_ring(image.shape, Ellipse(30, 30, 5, 5), Ellipse(30, 30, 15, 15))
        np.testing.assert_array_equal(crop_roi(image, ring, mode), IRIS_CROPS[mode](image, ring))

    def test_mask_of_another_image(self, mode):
        ring = whole_ring((50, 50), Ellipse(25, 25, 5, 5), Ellipse(25, 25, 15, 15))
        with pytest.raises(ValueError, match="segment the image that is cropped"):
            crop_roi(np.zeros((60, 60), np.uint8), ring, mode)


def test_unknown_mode():
    with pytest.raises(ValueError, match="algorithm1"):
        crop_roi(np.zeros((9, 9), np.uint8), eye(np.ones((9, 9))), "square")


def test_segmenters_by_name():
    assert segmenter_by_name("opencv").name == "opencv"
    with pytest.raises(DatasetError, match="opencv"):
        segmenter_by_name("magic")


def test_model_file_is_refused_by_segmenter_without_network():
    with pytest.raises(DatasetError, match="has no network"):
        segmenter_by_name("opencv", "weights.tflite")


@pytest.mark.parametrize("mode", IRIS_CROPS)
def test_a_colour_image_is_cropped_channel_by_channel(mode):
    image = np.random.default_rng(3).integers(0, 256, (60, 70, 3), np.uint8)
    ring = whole_ring(image.shape[:2], Ellipse(30, 30, 5, 5), Ellipse(30, 30, 15, 15))
    roi = crop_roi(image, ring, mode)
    for channel in range(3):
        alone = crop_roi(np.ascontiguousarray(image[..., channel]), ring, mode)
        np.testing.assert_array_equal(roi[..., channel], alone)


def test_whole_and_center_need_no_iris():
    image = np.arange(5 * 8, dtype=np.uint8).reshape(5, 8)
    np.testing.assert_array_equal(crop_roi(image, None, "whole"), image)
    # A width of 8 leaves 3 columns to drop: 1 on the left, 2 on the right.
    np.testing.assert_array_equal(crop_roi(image, None, "center"), image[:, 1:6])
    np.testing.assert_array_equal(crop_roi(image.T, None, "center"), image.T[1:6])
    with pytest.raises(ValueError, match="needs the outlines"):
        crop_roi(image, None, "aligned")
