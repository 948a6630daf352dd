import errno
import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from iris_tf.imaging import images
from iris_tf.imaging.images import (
    MAX_SIDE,
    MIN_SIDE,
    image_of_array,
    read_eye,
    read_image,
    resize_roi,
    write_png,
)
from iris_tf.support.errors import ExtractionError, FailureReason

FORMATS = ("jpg", "jpeg", "png", "bmp", "tif", "tiff", "pgm")


def texture(height=96, width=120, seed=0):
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def encoded(image, suffix):
    return cv2.imencode(f".{suffix}", image)[1].tobytes()


def saved(path, image, **options):
    Image.fromarray(image).save(path, **options)
    return path


def reason_of(path, read=read_eye):
    with pytest.raises(ExtractionError) as caught:
        read(path)
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_pixels_that_were_stored(tmp_path, suffix):
    path = tmp_path / f"eye.{suffix.upper()}"
    path.write_bytes(encoded(texture(), suffix))
    eye = read_eye(path)
    assert eye.pixels.dtype == np.uint8
    assert eye.note == ""
    lossy = suffix.startswith("jp")
    # JPEG at quality 95 may be off by a few grey levels, the rest must be exact.
    assert np.abs(eye.pixels.astype(int) - texture()).max() <= (6 if lossy else 0)


@pytest.mark.parametrize("suffix", ("jpg", "png", "bmp", "tif", "pgm"))
@pytest.mark.parametrize("kept", (0.03, 0.3, 0.5, 0.9, 0.99))
def test_truncated_files_are_unreadable(tmp_path, suffix, kept):
    data = encoded(texture(), suffix)
    path = tmp_path / f"eye.{suffix}"
    path.write_bytes(data[: int(len(data) * kept)])
    assert reason_of(path) is FailureReason.UNREADABLE


def test_a_jpeg_whose_end_is_zeros_is_unreadable(tmp_path):
    data = encoded(texture(), "jpg")
    half = len(data) // 2
    path = tmp_path / "eye.jpg"
    path.write_bytes(data[:half] + bytes(len(data) - half))
    assert reason_of(path) is FailureReason.UNREADABLE


def test_a_jpeg_with_bytes_after_its_end_is_read(tmp_path):
    path = tmp_path / "eye.jpg"
    for trailer in (b"vendor trailer" * 20, b"\xff\xda another scan's start"):
        path.write_bytes(encoded(texture(), "jpg") + trailer)
        assert read_eye(path).pixels.shape == (96, 120)


def test_a_whole_thumbnail_does_not_hide_that_the_image_is_cut_short(tmp_path):
    whole, thumbnail = encoded(texture(), "jpg"), encoded(texture()[:32, :40], "jpg")
    block = b"\xff\xe1" + (2 + len(thumbnail)).to_bytes(2, "big") + thumbnail
    half = len(whole) // 2
    path = tmp_path / "eye.jpg"
    path.write_bytes(whole[:2] + block + whole[2:])
    assert read_eye(path).pixels.shape == (96, 120)
    path.write_bytes(whole[:2] + block + whole[2:half] + bytes(len(whole) - half))
    assert reason_of(path) is FailureReason.UNREADABLE


@pytest.mark.parametrize("content", (b"", b"not an image\n" * 100, b"\xff\xd8\xff", b"BM", b"P5\n"))
def test_files_that_are_no_images_are_unreadable(tmp_path, content):
    path = tmp_path / "eye.bmp"
    path.write_bytes(content)
    assert reason_of(path) is FailureReason.UNREADABLE


def test_missing_files_and_folders_are_unreadable(tmp_path):
    assert reason_of(tmp_path / "none.png") is FailureReason.UNREADABLE
    assert reason_of(tmp_path) is FailureReason.UNREADABLE


def test_a_header_that_claims_a_giant_image_is_unreadable(tmp_path):
    data = bytearray(encoded(texture(), "bmp"))
    data[18:26] = np.array([60_000, 60_000], np.int32).tobytes()
    path = tmp_path / "eye.bmp"
    path.write_bytes(data)
    assert reason_of(path) is FailureReason.UNREADABLE


@pytest.mark.parametrize("shape", ((1, 1), (MIN_SIDE - 1, 200), (200, MIN_SIDE - 1)))
def test_small_images_are_too_small(tmp_path, shape):
    path = saved(tmp_path / "eye.png", np.full(shape, 90, np.uint8))
    assert reason_of(path) is FailureReason.TOO_SMALL
    assert read_image(path).pixels.shape == shape


def test_the_smallest_side_is_enough(tmp_path):
    path = saved(tmp_path / "eye.png", texture(MIN_SIDE, MIN_SIDE))
    assert read_eye(path).pixels.shape == (MIN_SIDE, MIN_SIDE)


@pytest.mark.parametrize("suffix", ("png", "tif", "pgm"))
def test_full_range_16_bit_is_divided_by_257(tmp_path, suffix):
    path = tmp_path / f"eye.{suffix}"
    path.write_bytes(encoded(texture().astype(np.uint16) * 257, suffix))
    eye = read_eye(path)
    np.testing.assert_array_equal(eye.pixels, texture())
    assert eye.note == "16-bit to 8-bit"


@pytest.mark.parametrize("bits", (8, 10, 12, 14))
def test_fewer_bits_in_16_are_scaled_by_their_own_maximum(tmp_path, bits):
    top = 2**bits - 1
    stored = np.round(texture() / 255 * top).astype(np.uint16)
    path = tmp_path / "eye.png"
    path.write_bytes(encoded(stored, "png"))
    eye = read_eye(path)
    np.testing.assert_array_equal(eye.pixels, texture())
    assert eye.note == f"{bits} of 16 bits to 8-bit"


def test_hot_pixels_do_not_determine_the_bit_depth():
    grey = np.tile(texture(100, 200), (2, 1)).astype(np.uint16)
    stored = np.round(grey / 255 * 1023).astype(np.uint16)
    hot = [(3, 3), (150, 7), (399 // 2, 199), (0, 0)]  # 4 of 40,000 pixels: one in 10,000
    for place in hot:
        stored[place] = 65535
    eye = image_of_array(stored)
    assert eye.note == "10 of 16 bits to 8-bit"
    expected = grey.copy()
    expected[tuple(zip(*hot, strict=True))] = 255
    np.testing.assert_array_equal(eye.pixels, expected)
    stored[9, 9] = 65535  # one more belongs to the image
    assert image_of_array(stored).note == "16-bit to 8-bit"


def test_16_bit_colour_is_noted_as_both(tmp_path):
    grey = texture().astype(np.uint16) * 257
    path = tmp_path / "eye.png"
    path.write_bytes(encoded(np.dstack([grey, grey, grey]), "png"))
    eye = read_eye(path)
    np.testing.assert_array_equal(eye.pixels, texture())
    assert eye.note == "16-bit to 8-bit; three equal channels to one"


def test_floating_point_pixels_are_unreadable(tmp_path):
    path = saved(tmp_path / "eye.tif", texture().astype(np.float32) / 255)
    assert reason_of(path) is FailureReason.UNREADABLE


@pytest.mark.parametrize("channel", range(3))
def test_one_channel_that_differs_makes_colour(tmp_path, channel):
    pixels = np.full((70, 70, 3), 100, np.uint8)
    pixels[5, 5, channel] = 200
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    assert read_eye(tmp_path / "a.png").note == "colour to grey"


def test_colour_becomes_luma(tmp_path):
    rgb = np.dstack([texture(seed=1), texture(seed=2), texture(seed=3)])
    eye = read_eye(saved(tmp_path / "eye.png", rgb))
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(eye.pixels - luma).max() <= 1
    assert eye.note == "colour to grey"


def test_equal_channels_are_dropped_to_one(tmp_path):
    eye = read_eye(saved(tmp_path / "eye.bmp", np.dstack([texture()] * 3)))
    np.testing.assert_array_equal(eye.pixels, texture())
    assert eye.note == "three equal channels to one"


def test_alpha_is_dropped(tmp_path):
    alpha = texture(seed=4)
    eye = read_eye(saved(tmp_path / "rgba.png", np.dstack([texture()] * 3 + [alpha])))
    np.testing.assert_array_equal(eye.pixels, texture())
    assert eye.note == "three equal channels to one; alpha dropped"
    eye = read_eye(saved(tmp_path / "la.png", np.dstack([texture(), alpha])))
    np.testing.assert_array_equal(eye.pixels, texture())
    assert eye.note == "alpha dropped"


def test_palettes_and_bilevel_images_are_expanded(tmp_path):
    Image.fromarray(texture()).convert("P").save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_eye(tmp_path / "palette.png").pixels, texture())
    bilevel = texture() > 127
    Image.fromarray(bilevel).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(
        read_eye(tmp_path / "bilevel.png").pixels, bilevel.astype(np.uint8) * 255
    )


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned 90 degrees clockwise
    path = saved(tmp_path / "eye.jpg", texture(), exif=exif, quality=95)
    eye = read_eye(path)
    upright = np.rot90(texture(), -1)
    assert eye.pixels.shape == upright.shape
    assert np.abs(eye.pixels.astype(int) - upright).mean() < 3
    assert eye.note == "turned as its EXIF orientation says"


@pytest.mark.parametrize("kind", ("tif", "png"))
def test_exif_orientation_of_other_formats(tmp_path, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    eye = read_eye(saved(tmp_path / f"eye.{kind}", texture(), exif=exif))
    np.testing.assert_array_equal(eye.pixels, np.rot90(texture(), -1))
    assert eye.note == "turned as its EXIF orientation says"


@pytest.mark.parametrize("value", (0, 9))
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, value):
    exif = Image.Exif()
    exif[0x0112] = value
    eye = read_eye(saved(tmp_path / "eye.jpg", texture(), exif=exif, quality=95))
    assert eye.pixels.shape == texture().shape
    assert eye.note == ""


def test_opencv_decodes_the_same_pixels(tmp_path):
    path = tmp_path / "eye.bmp"
    path.write_bytes(encoded(texture(), "bmp"))
    np.testing.assert_array_equal(read_eye(path).pixels, cv2.imread(str(path), 0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L"])
def test_an_array_becomes_what_its_file_becomes(tmp_path, mode, channels):
    rgb = np.stack([texture(seed=seed) for seed in range(3)], axis=2)
    image = Image.fromarray(rgb).convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(texture(seed=4)))
    image.save(tmp_path / "eye.png")
    if (mode, channels) == ("L", 3):
        with pytest.raises(ExtractionError, match="give red, green and blue as uint8"):
            image_of_array(np.asarray(image), channels)
        return
    found = image_of_array(np.asarray(image), channels)
    expected = read_image(tmp_path / "eye.png", channels)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert found.note == expected.note


def test_arrays_of_one_channel_or_16_bits():
    grey = texture()
    np.testing.assert_array_equal(image_of_array(grey[..., None]).pixels, grey)
    np.testing.assert_array_equal(image_of_array(grey.astype(np.uint16) * 257).pixels, grey)


@pytest.mark.parametrize(
    "array",
    [
        texture() / 255.0,
        texture().astype(np.int64),
        texture() > 100,
        texture().astype(np.uint16)[..., None].repeat(3, axis=2),
        np.zeros((0, 64), np.uint8),
        np.zeros((64, 64, 0), np.uint8),
        np.zeros((2, 64, 64, 3), np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_other_arrays_are_no_images(array):
    with pytest.raises(ExtractionError, match="give grey levels as uint8 of shape") as caught:
        image_of_array(array)
    assert caught.value.reason is FailureReason.UNREADABLE


def test_shrinking_averages_areas():
    roi = texture(96, 120)
    expected = roi.reshape(48, 2, 60, 2).mean((1, 3))
    assert np.abs(resize_roi(roi, (48, 60)) - expected).max() <= 0.5


def test_growing_interpolates_linearly():
    roi = np.array([[0, 100], [100, 200]], np.uint8)
    # Pixel centres of the doubled row lie at -1/4, 1/4, 3/4 and 5/4.
    np.testing.assert_array_equal(resize_roi(roi, (2, 4))[0], [0, 25, 75, 100])


def test_each_axis_has_its_own_rule():
    roi = texture(64, 10)
    areas = roi.reshape(16, 4, 10).mean(1)  # rows shrink by 4, columns double
    result = resize_roi(roi, (16, 20))
    assert result.shape == (16, 20)
    expected = (0.75 * areas[:, 4] + 0.25 * areas[:, 5], 0.25 * areas[:, 4] + 0.75 * areas[:, 5])
    assert np.abs(result[:, 9] - expected[0]).max() <= 1
    assert np.abs(result[:, 10] - expected[1]).max() <= 1


def test_the_same_size_changes_nothing():
    np.testing.assert_array_equal(resize_roi(texture(), (96, 120)), texture())


def test_png_round_trip_of_any_size(tmp_path):
    for shape in ((1, 1), (3, 200), (96, 120)):
        path = tmp_path / "deep" / "roi.png"
        write_png(path, texture()[: shape[0], :1].repeat(shape[1], 1))
        pixels = read_image(path).pixels
        assert pixels.shape == shape
        assert Image.open(io.BytesIO(path.read_bytes())).mode == "L"


def test_a_full_disk_surfaces_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(images, "write_bytes", full)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        write_png(tmp_path / "roi.png", texture())
    assert not list(tmp_path.iterdir())


# -- Claims of size that nothing may be allocated for ---------------------------------------------


def declared_png(width, height):
    data = bytearray(encoded(np.zeros((70, 70), np.uint8), "png"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    "size", ((MAX_SIDE + 1, 70), (70, MAX_SIDE + 1), (5800, 5800), (50000, 50000))
)
def test_sizes_that_no_camera_has_are_refused_before_decoding(tmp_path, size, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    (tmp_path / "x.png").write_bytes(declared_png(*size))
    with pytest.raises(
        ExtractionError, match=r"33\.5 megapixels, .* scale the image down"
    ) as caught:
        read_eye(tmp_path / "x.png")
    assert caught.value.reason == FailureReason.UNREADABLE


def test_a_picture_of_a_large_camera_is_read(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(np.zeros((4000, 6000), np.uint8), "png"))
    assert read_eye(tmp_path / "x.png").pixels.shape == (4000, 6000)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    with open(tmp_path / "x.bmp", "wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read"))
    with pytest.raises(ExtractionError, match="larger than any image of an eye"):
        read_eye(tmp_path / "x.bmp")


def test_want_of_memory_is_not_taken_for_a_damaged_file(tmp_path, monkeypatch):
    def load(self):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    (tmp_path / "x.png").write_bytes(encoded(np.zeros((70, 70), np.uint8), "png"))
    with pytest.raises(MemoryError):
        read_eye(tmp_path / "x.png")


@pytest.mark.parametrize("read", [read_image, read_eye])
def test_what_is_no_regular_file_is_not_read(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "folder.png", "device.png"):
        with pytest.raises(ExtractionError, match="not a regular file") as caught:
            read(tmp_path / name)
        assert caught.value.reason is FailureReason.UNREADABLE
