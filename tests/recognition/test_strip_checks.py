"""What is a finished strip, and what only has its shape."""

import cv2
import numpy as np
import pytest

from iris_tf.recognition.cropper import Cropper
from iris_tf.recognition.strip_checks import why_no_strip
from iris_tf.segmentation.roi_modes import crop_roi, unrolled
from iris_tf.segmentation.segmenter import SegmentedEye, segmenter_by_name
from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.synthetic.sites import draw_site, render_site_eye

WORDS = ("Lorem ipsum dolor sit amet elit sed do", "incididunt labore adipiscing tempor")


@pytest.fixture(scope="module")
def views():
    """Eyes of several cameras, with their ground truth."""
    return [
        view
        for site in range(12)
        for eye in range(2)
        for view in render_site_eye(draw_site(5, site), 5, site, eye, 1)
    ]


@pytest.fixture(scope="module")
def strips(views):
    """By the ground truth, and by the segmenter where it finds the iris."""
    segment, made = segmenter_by_name("network"), []
    for view in views:
        made.append(unrolled(view.image, SegmentedEye(view.pupil, view.iris, view.visible)))
        try:
            made.append(unrolled(view.image, segment(view.image)))
        except ExtractionError:
            continue
    assert len(made) >= 44
    return made


@pytest.fixture(scope="module")
def image(views):
    return views[0].image


@pytest.fixture(scope="module")
def crop():
    return Cropper("network", "unrolled")


def refused(crop, image, kind, match):
    with pytest.raises(ExtractionError, match=match) as caught:
        crop(image, kind)
    assert caught.value.reason is FailureReason.IMPLAUSIBLE_GEOMETRY
    message = str(caught.value)
    assert message.count(". ") == 0 and message.endswith(".")
    return message


def text(words, background=230, letters=20):
    candidate = np.full((64, 512), background, np.uint8)
    return cv2.putText(candidate, words, (5, 45), cv2.FONT_HERSHEY_SIMPLEX, 0.7, letters, 1)


def barcode(dark, light, noise=0.0):
    rng = np.random.default_rng(2)
    bars = np.repeat(rng.integers(0, 2, 256), rng.integers(1, 6, 256))[:512]
    candidate = np.repeat(np.where(bars, light, dark)[None], 64, axis=0)
    candidate = candidate + rng.normal(0.0, noise, candidate.shape) * (candidate > 0)
    return np.clip(np.round(candidate), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["auto", "roi"])
def test_strips_of_many_cameras_are_taken_unchanged(strips, crop, kind):
    for number, strip in enumerate(strips):
        assert crop(strip, kind).roi is strip, number


def test_rotated_resized_and_faint_strips_are_taken(strips, crop):
    for strip in strips:
        for columns in (16, -64, 256):
            assert why_no_strip(np.roll(strip, columns, axis=1)) == ""
        for size, method in (((1024, 128), cv2.INTER_LINEAR), ((256, 32), cv2.INTER_NEAREST)):
            resized = cv2.resize(strip, size, interpolation=method)
            assert crop(resized, "roi").roi is resized
        visible = strip[strip > 0]
        faint = np.round(100 + (strip - visible.mean()) / visible.std()).clip(1, 255)
        assert why_no_strip(np.where(strip > 0, faint, 0).astype(np.uint8)) == ""
        assert why_no_strip(np.stack([strip] * 3, axis=2)) == ""


@pytest.mark.parametrize("kind", ["auto", "roi"])
@pytest.mark.parametrize(
    ("candidate", "finding"),
    [
        (text(WORDS[0]), "hardly any pixels along its .* edge are hidden"),
        (text(WORDS[1]), "hardly any pixels along its .* edge are hidden"),
        (text(WORDS[0], letters=0), "hardly any pixels along its .* edge are hidden"),
        (text(WORDS[0], 0, 200), "separate places of hidden pixels|small print"),
        (barcode(20, 235), "hardly any pixels along its .* edge are hidden"),
        (barcode(20, 200, 5.0), "hardly any pixels along its .* edge are hidden"),
        (barcode(0, 200, 5.0), "form bars, as in a barcode"),
        (np.random.default_rng(0).integers(0, 256, (64, 512), np.uint8), "hardly any pixels"),
        (np.random.default_rng(0).normal(100, 9, (64, 512)).astype(np.uint8), "hardly any pixels"),
    ],
    ids=["text", "other text", "black text", "text on black", "barcode", "noisy barcode",
         "barcode of 0", "noise", "noise of a camera"],
)  # fmt: skip
def test_text_barcodes_and_noise_are_no_strips(crop, kind, candidate, finding):
    message = refused(crop, candidate, kind, finding)
    if kind == "roi":
        assert "`iris-tf prepare --roi-mode unrolled`" in message
    else:
        assert "cut out one eye" in message


def test_masked_noise_and_a_dark_rim_are_no_strips(strips):
    strip = strips[0]
    noise = np.random.default_rng(0).integers(1, 256, strip.shape, np.uint8)
    assert "unrelated, as in noise" in why_no_strip(np.where(strip > 0, noise, 0))
    # A crushed shadow instead of a mask: levels rise from the hidden pixels on.
    depth = cv2.distanceTransform((strip > 0).astype(np.uint8), cv2.DIST_L2, 5)
    shadow = np.where(strip > 0, np.maximum(strip * (1 - np.exp(-depth / 12)), 1), 0)
    assert "dark rim" in why_no_strip(shadow.astype(np.uint8))


def test_a_strip_that_does_not_close_is_none(strips):
    """Of a ramp along the ring, only the step at the seam is seen."""
    ramp = np.linspace(-60, 60, 512)
    for strip in strips:
        seam = (strip[:, 0] > 0) & (strip[:, -1] > 0)
        broken = np.where(strip > 0, np.clip(strip + ramp, 1, 255), 0).astype(np.uint8)
        step = np.abs(broken[seam, 0].astype(int) - broken[seam, -1]).mean() if seam.any() else 0
        if seam.sum() >= 32 and step > 60:
            assert "does not continue in its first" in why_no_strip(broken)
            assert why_no_strip(np.roll(broken, 256, axis=1)) == ""  # one step among many
            return
    raise AssertionError("No strip shows the seam.")


def test_cut_outs_of_eye_images_are_no_strips(views, crop):
    rng, cut = np.random.default_rng(0), 0
    for view in views:
        image = cv2.resize(view.image, (640, 480))
        for _ in range(5):
            top, left = rng.integers(0, 480 - 64), rng.integers(0, 640 - 512)
            candidate = np.ascontiguousarray(image[top : top + 64, left : left + 512])
            if candidate[candidate > 0].std() < 1.0:
                continue
            cut += 1
            for kind in ("auto", "roi"):
                refused(crop, candidate, kind, "finished crop")
    assert cut > 100


def test_eye_images_and_other_crops_are_no_strips(views, crop):
    for view in views:
        eye = SegmentedEye(view.pupil, view.iris, view.visible)
        for candidate in (
            view.image,
            crop_roi(view.image, eye, "algorithm1"),
            crop_roi(view.image, eye, "aligned"),
        ):
            height, width = candidate.shape
            refused(crop, candidate, "roi", f"it has {width}x{height} pixels; a strip of 512x64")


@pytest.mark.parametrize("kind", ["auto", "roi"])
def test_a_band_with_both_eyes_is_refused_in_any_orientation(image, crop, kind):
    eye = cv2.resize(image, (640, 480))
    skin = np.full((480, 320), 90, np.uint8)
    band = np.hstack([skin, eye, skin, np.ascontiguousarray(eye[:, ::-1])])
    for candidate, side in ((band, "wide"), (np.ascontiguousarray(np.rot90(band)), "high")):
        if kind == "roi":
            refused(crop, candidate, kind, "it has (1920x480|480x1920) pixels")
        else:
            message = refused(crop, candidate, kind, f"too {side} for one eye; cut out one eye")
            assert "--kind" not in message


def test_a_large_strip_whose_visible_pixels_are_not_looked_at_is_refused():
    strip = np.zeros((128, 1024), np.uint8)
    strip[1, 1::2] = np.arange(512) % 200 + 1
    assert why_no_strip(strip) == "no pixel of it is visible"


@pytest.fixture
def drawn():
    """A smooth ring, continuous at the seam, of which nothing is hidden."""
    y, x = np.mgrid[:64, :512]
    return np.round(100 + 20 * np.sin(2 * np.pi * x / 512 * 5) + 10 * np.sin(y / 5)).astype("u1")


def test_hidden_places_apart_are_counted(drawn):
    assert "hardly any pixels" in why_no_strip(drawn)
    drawn[62:] = 0
    assert why_no_strip(drawn) == ""
    drawn[5:35:2, [100, 300]] = 0  # 30 dots
    assert why_no_strip(drawn) == ""
    drawn[30, 200] = 0
    assert why_no_strip(drawn) == "it has 31 separate places of hidden pixels (0)"


def test_hidden_places_are_connected_across_the_seam(drawn):
    """A tenth of the hidden pixels must be connected to the first or last row."""
    drawn[62:, 100:170] = 0  # 140 pixels
    drawn[20:44, :20] = 0  # 480, at the seam
    drawn[10:58, 300:320] = 0  # 960
    assert "hardly any pixels" in why_no_strip(drawn)  # 140 of 1580
    drawn[20:, 509:] = 0  # 132 more connect those at the seam to the last row: 752 of 1712
    assert why_no_strip(drawn) == ""


def test_the_first_row_counts_as_the_last_does(drawn):
    drawn[:2] = 0
    assert why_no_strip(drawn) == ""
