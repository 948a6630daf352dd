"""Strict image reading as grey or colour, resizing of crops, and PNG writing.

Files are decoded with Pillow, which refuses a truncated JPEG, PNG, BMP, TIFF or PGM in every
version, whereas OpenCV 4 silently fills the missing half with grey. Everything else uses OpenCV.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.support.files import write_bytes
from iris_tf.support.quiet import no_warnings

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pgm")
MIN_SIDE = 64
"""Least shorter side of an eye image in pixels; an iris in a smaller one has no texture left."""

MIN_CROP_SIDE = 16
"""Least shorter side of a crop in pixels."""

MAX_INPUT_SIDE = 2**12
"""Largest side of a model's input in pixels; no model that a phone runs sees more."""

# No iris or face camera has more pixels. A header of a few bytes can claim any size, and decoders
# trust it: Pillow's decoder for run-length encoded BMP allocates 255 rows at once, hence the limit
# on the side.
MAX_SIDE, MAX_PIXELS = 2**14, 2**25
_MAX_BYTES = 2**29  # twice the maximum size of such an image

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "PPM")
_EXIF_ORIENTATION = 0x0112
_NOT_UPRIGHT = range(2, 9)  # EXIF orientations; values beyond 8 are invalid tags
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_TOO_LARGE = (
    "The header claims more pixels than an iris camera has: at most "
    f"{MAX_PIXELS // 10**5 / 10} megapixels, and {MAX_SIDE} pixels a side, are read; scale the "
    "image down."
)
# Share of pixels that may be brighter than the bit depth holds: hot ones of a sensor.
_HOT_SHARE = 1e-4
_WANTED = {
    1: "grey levels as uint8 of shape (height, width), or red, green and blue as uint8 of shape "
    "(height, width, 3), both 0 to 255",
    3: "red, green and blue as uint8 of shape (height, width, 3), 0 to 255",
}
COLOUR_TO_GREY = "colour to grey"
"""Note of an image whose channels differ, read as grey."""

_REPLICATED = "grey to three equal channels"
_JPEG_START_OF_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    Attributes
    ----------
    pixels : ndarray of shape (height, width) or (height, width, 3), uint8
        Grey levels, or red, green and blue, 0..255.
    note : str
        What was converted, e.g. ``"16-bit to 8-bit; colour to grey"``, or ``""``.
    """

    pixels: np.ndarray
    note: str = ""


def read_eye(path: str | Path, channels: int = 1) -> DecodedImage:
    """Read an eye image, and check that it is large enough to show iris texture.

    Parameters
    ----------
    path, channels
        See `read_image`, which also lists the conversions.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ExtractionError
        As for `read_image`; also ``TOO_SMALL`` if a side is under `MIN_SIDE` pixels.
    """
    eye = read_image(path, channels)
    require_sides(eye.pixels, MIN_SIDE)
    return eye


def require_sides(pixels: np.ndarray, least: int) -> None:
    """Reject an image with a side under `least` pixels.

    Raises
    ------
    ExtractionError
        ``TOO_SMALL``.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < least:
        raise ExtractionError(
            FailureReason.TOO_SMALL,
            f"The image has {width}x{height} pixels; both sides must be at least {least}.",
        )


def read_image(path: str | Path, channels: int = 1) -> DecodedImage:
    """Read an image of any size as 8-bit grey or 8-bit RGB.

    Other formats are converted, and each conversion is noted:

    - to grey: colour is converted to luma (ITU-R 601); of three equal channels, one is kept;
    - to colour: a grey image is replicated to three equal channels;
    - an alpha channel is dropped;
    - more than 8 bits are scaled to 8 by the smallest bit depth of 8, 10, 12, 14 and 16 that
      holds all but one in 10,000 pixels: near-infrared cameras store 10 or 12 bits in 16 without
      any indication, and dividing those by 257 would give an almost black image. Brighter pixels,
      such as hot ones of the sensor, become white;
    - an EXIF orientation is applied, so that the image is upright as in a viewer.

    Only the first page of a multi-page TIFF is read.

    Parameters
    ----------
    path : str or Path
        JPEG, PNG, BMP, TIFF or PGM file; the format is detected from the content.
    channels : {1, 3}, optional
        1 for grey, 3 for red, green and blue.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ExtractionError
        ``UNREADABLE`` for a file that is missing, empty, truncated, not an image, or
        larger than `MAX_SIDE` or `MAX_PIXELS`.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _unreadable("The file is larger than any image of an eye.")
        # A pipe would never end, and a device has no size.
        if path.exists() and not path.is_file():
            raise _unreadable("This is not a regular file.")
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(f"The file cannot be read: {error.strerror}.") from None
    except ValueError:  # of a name that no file can have, with a null character
        raise _unreadable("There is no such file.") from None
    return image_of_bytes(data, channels)


def image_of_bytes(data: bytes, channels: int = 1) -> DecodedImage:
    """Decode the content of an image file, with the conversions and limits of `read_image`.

    Parameters
    ----------
    data : bytes
        A whole JPEG, PNG, BMP, TIFF or PGM file.
    channels : {1, 3}, optional
        1 for grey, 3 for red, green and blue.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ExtractionError
        ``UNREADABLE``, as for `read_image`.
    """
    if not data:
        raise _unreadable("The file is empty.")
    pixels, notes = _decode(data)
    return _converted(pixels, notes, channels)


def image_of_array(array: np.ndarray, channels: int = 1) -> DecodedImage:
    """Take an array for an image, with the conversions of `read_image`.

    Parameters
    ----------
    array : ndarray of shape (height, width) or (height, width, 1 to 4), uint8 or uint16
        Grey levels, or red, green and blue, each with or without an alpha channel behind.
    channels : {1, 3}, optional
        1 for grey, 3 for red, green and blue.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ExtractionError
        ``UNREADABLE`` for an array of another shape or type; for grey levels where colour is
        wanted, as whoever has the array can tell whether that is meant.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))
    if (
        not is_image
        or not array.size
        or array.dtype not in (np.uint8, np.uint16)
        or (array.ndim == 3 and array.dtype != np.uint8)
        or (channels == 3 and array.ndim == 2)
    ):
        raise _unreadable(
            f"The array has shape {array.shape} and type {array.dtype}; give {_WANTED[channels]}."
        )
    return _converted(array, [], channels)


def _converted(pixels: np.ndarray, notes: list[str], channels: int) -> DecodedImage:
    """Decoded pixels as 8-bit grey or RGB."""
    if pixels.ndim == 3:
        pixels, channel_notes = _convert_channels(pixels, channels)
        notes += channel_notes
    if pixels.dtype != np.uint8:
        pixels, depth_note = _to_8_bits(pixels)
        notes.insert(0, depth_note)
    if channels == 3 and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
        notes.append(_REPLICATED)
    return DecodedImage(np.ascontiguousarray(pixels), "; ".join(notes))


def channels_of(pixels: np.ndarray) -> int:
    """Return 1 for a grey image (height, width) and 3 for a colour one (height, width, 3)."""
    return 1 if pixels.ndim == 2 else pixels.shape[2]


def with_channel_axis(crops: np.ndarray) -> np.ndarray:
    """Add the channel axis that networks expect: (n, height, width, channels).

    Parameters
    ----------
    crops : ndarray of shape (n, height, width) or (n, height, width, 3)
    """
    return crops[..., None] if crops.ndim == 3 else crops


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Convert colour to luma (ITU-R 601); return a grey image unmodified.

    Parameters
    ----------
    pixels : ndarray of shape (height, width) or (height, width, 3), uint8

    Returns
    -------
    ndarray of shape (height, width), uint8
    """
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def resize_roi(roi: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a crop to the input size of a model. Crops are resized only here.

    Each axis is resized separately: by area averaging (``INTER_AREA``) when it shrinks, to
    avoid aliasing, and by linear interpolation when it grows.

    Parameters
    ----------
    roi : ndarray of shape (height, width) or (height, width, 3), uint8
        The crop.
    size : tuple of int
        Target (height, width).

    Returns
    -------
    ndarray of shape size or (*size, 3), uint8
    """
    (height, width), (new_height, new_width) = roi.shape[:2], size
    # OpenCV's INTER_AREA falls back to a form of bilinear interpolation on both axes if either
    # grows, so shrinking is a separate first step.
    smaller = (min(height, new_height), min(width, new_width))
    if smaller != (height, width):
        roi = cv2.resize(roi, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != (new_height, new_width):
        roi = cv2.resize(roi, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    return roi


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image as PNG, atomically.

    Parameters
    ----------
    path : str or Path
        Target file; missing folders are created.
    image : ndarray of shape (height, width) or (height, width, 3), uint8
        Grey levels, or red, green and blue, 0..255.

    Raises
    ------
    OSError
        If the disk is full or the folder is not writable.
    """
    bgr = image if image.ndim == 2 else image[..., ::-1]  # OpenCV's order
    encoded, data = cv2.imencode(".png", bgr)
    if not encoded:
        raise ValueError(f"an array of shape {image.shape} and {image.dtype} is no PNG image")
    write_bytes(path, data.tobytes())


def _unreadable(detail: str) -> ExtractionError:
    return ExtractionError(FailureReason.UNREADABLE, detail)


def _decode(data: bytes) -> tuple[np.ndarray, list[str]]:
    """Decode to pixels (H, W) or (H, W, channels), uint8 or uint16, and notes."""
    try:
        with no_warnings():  # unusual metadata is irrelevant here
            image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise _unreadable(_TOO_LARGE) from None
    except MemoryError:
        raise  # not a property of the image
    except Exception:  # parsers raise arbitrary exceptions on broken headers
        raise _unreadable("This is not a JPEG, PNG, BMP, TIFF or PGM image.") from None
    if max(image.size) > MAX_SIDE or image.size[0] * image.size[1] > MAX_PIXELS:
        raise _unreadable(_TOO_LARGE)
    # An interrupted download that was written to its full length ends in zeros, which libjpeg
    # decodes as grey: only the missing end-of-image marker shows it.
    if image.format == "JPEG" and _lacks_its_end(data):
        raise _unreadable("The file is truncated: the end of the JPEG data is missing.")
    try:
        with no_warnings():
            deep_channels = _stores_16_bit_channels(image)
            # Checked before loading, which rotates a TIFF and removes the tag.
            rotated = image.getexif().get(_EXIF_ORIENTATION, 1) in _NOT_UPRIGHT
            image.load()
            if rotated:
                image = ImageOps.exif_transpose(image)
            if image.mode == "1":
                image = image.convert("L")
            elif image.mode in ("P", "PA"):
                image = image.convert("RGBA")
            elif image.mode not in ("L", "LA", "I", "F") and not image.mode.startswith("I;16"):
                image = image.convert("RGBA" if "A" in image.getbands() else "RGB")
            pixels = np.asarray(image)
    except MemoryError:
        raise
    except Exception:  # so do decoders on broken data
        raise _unreadable("The file is truncated or damaged.") from None
    notes = ["16-bit to 8-bit"] if deep_channels else []
    if rotated:
        notes.append("turned as its EXIF orientation says")
    if pixels.dtype != np.uint8:
        pixels = _as_uint16(pixels)
    return pixels, notes


def _lacks_its_end(data: bytes) -> bool:
    """Whether a JPEG file has no end marker after its pixels begin; a thumbnail has its own."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        if data[at + 1] == _JPEG_START_OF_SCAN:
            return data.find(_JPEG_END, at) < 0
        fill = data[at + 1] == 0xFF
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4])
    return False  # left to the decoder


def _stores_16_bit_channels(image: Image.Image) -> bool:
    """Whether Pillow is about to drop the low bytes of a 16-bit colour image."""
    assert isinstance(image, ImageFile.ImageFile)  # true of every opened image
    for tile in image.tile:
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(a, str) and ";16" in a and not a.startswith("I;16") for a in args):
            return True
    return False


def _as_uint16(pixels: np.ndarray) -> np.ndarray:
    """Pillow's 16- and 32-bit integer grey images as uint16."""
    if pixels.dtype.kind not in "iu":
        raise _unreadable("Pixels are floating-point; store grey levels in 8 or 16 bits.")
    if pixels.min() < 0 or pixels.max() > 65535:
        raise _unreadable("Grey levels go beyond 16 bits; store them in 8 or 16 bits.")
    return pixels.astype(np.uint16)


def _convert_channels(pixels: np.ndarray, wanted: int) -> tuple[np.ndarray, list[str]]:
    """Grey or RGB image of uint8 channels (grey + alpha, RGB, RGBA), and notes."""
    channels = pixels.shape[2]
    notes = ["alpha dropped"] if channels in (2, 4) and pixels[..., -1].min() < 255 else []
    if channels == 2:
        return pixels[..., 0], notes
    rgb = np.ascontiguousarray(pixels[..., :3])
    if wanted == 3:
        return rgb, notes
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return rgb[..., 0], ["three equal channels to one", *notes]
    return to_grey(rgb), [COLOUR_TO_GREY, *notes]


def _to_8_bits(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """Scale uint16 to uint8 by the bit depth that the image uses."""
    hot = int(_HOT_SHARE * pixels.size)
    brightest = int(np.partition(pixels, -1 - hot, axis=None)[-1 - hot])
    bits = next(bits for bits in _BIT_DEPTHS if brightest < 2**bits)
    top = 2**bits - 1
    within = np.minimum(pixels, top).astype(np.float32)
    scaled = np.round(within * (255.0 / top)).astype(np.uint8)
    return scaled, "16-bit to 8-bit" if bits == 16 else f"{bits} of 16 bits to 8-bit"
