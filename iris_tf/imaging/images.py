"""Reading eye images strictly, resizing crops, writing PNG.

Decoding goes through Pillow, because it refuses a truncated JPEG, PNG, BMP,
TIFF or PGM in every version, where OpenCV 4 fills the missing half with grey
and says nothing. All other image work is OpenCV's.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from iris_tf.support.errors import ExtractionError, FailureReason
from iris_tf.support.files import write_bytes

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pgm")
MIN_SIDE = 64  # pixels; an iris in a smaller image has no texture left
# No iris camera has more. A few bytes can claim any size, and decoders believe
# them: of the sides, Pillow's for run-length coded BMP files allocates 255 rows at once.
MAX_SIDE, MAX_PIXELS = 2**14, 2**25
_MAX_BYTES = 2**29  # twice the most that such an image can need

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "PPM")
_EXIF_ORIENTATION = 0x0112
_TURNED = range(2, 9)  # values that say so; others are of a broken tag
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_TOO_LARGE = "The header claims more pixels than an iris camera has."
_JPEG_START_OF_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"


@dataclass(frozen=True)
class EyeImage:
    """A decoded image.

    Attributes
    ----------
    pixels : ndarray of shape (height, width), uint8
        Grey levels 0..255.
    note : str
        What was converted, e.g. ``"16-bit to 8-bit; colour to grey"``, or ``""``.
    """

    pixels: np.ndarray
    note: str = ""


def read_eye(path: str | Path) -> EyeImage:
    """Read an eye image as 8-bit grey.

    Conversions are those of `read_image`.

    Parameters
    ----------
    path : str or Path
        JPEG, PNG, BMP, TIFF or PGM file.

    Returns
    -------
    EyeImage

    Raises
    ------
    ExtractionError
        ``UNREADABLE`` for a file that is missing, empty, truncated, no image, or
        larger than `MAX_SIDE` and `MAX_PIXELS`;
        ``TOO_SMALL`` when a side is under `MIN_SIDE` pixels.
    """
    eye = read_image(path)
    height, width = eye.pixels.shape
    if min(height, width) < MIN_SIDE:
        raise ExtractionError(
            FailureReason.TOO_SMALL,
            f"The image has {width}x{height} pixels; both sides must be at least {MIN_SIDE}.",
        )
    return eye


def read_image(path: str | Path) -> EyeImage:
    """Read an image of any size (a ROI crop, say) as 8-bit grey.

    What is not 8-bit grey is converted and noted:

    - colour, to luma (ITU-R 601); equal channels are just dropped to one;
    - an alpha channel, dropped;
    - more than 8 bits, to 8 by the smallest of 8, 10, 12, 14 and 16 bits that
      holds the brightest pixel, because near-infrared cameras store 10 or 12
      bits in 16 without saying so, and dividing those by 257 would leave an
      all but black image;
    - an EXIF orientation, applied, so that the eye is as a viewer shows it.

    Of a TIFF with several pages, the first is read.

    Parameters
    ----------
    path : str or Path
        JPEG, PNG, BMP, TIFF or PGM file; the format is told from the content.

    Returns
    -------
    EyeImage

    Raises
    ------
    ExtractionError
        ``UNREADABLE`` for a file that is missing, empty, truncated, no image, or
        larger than `MAX_SIDE` and `MAX_PIXELS`.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _unreadable("The file is larger than any image of an eye.")
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(f"The file cannot be read: {error.strerror}.") from None
    if not data:
        raise _unreadable("The file is empty.")
    pixels, notes = _decode(data)
    if pixels.ndim == 3:
        pixels, colour_notes = _drop_channels(pixels)
        notes += colour_notes
    if pixels.dtype != np.uint8:
        pixels, depth_note = _to_8_bits(pixels)
        notes.insert(0, depth_note)
    return EyeImage(np.ascontiguousarray(pixels), "; ".join(notes))


def resize_roi(roi: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a crop to a model's input size; the only resizing there is.

    Each axis is treated by itself: averaged over areas (``INTER_AREA``) when
    it shrinks, so that nothing aliases, and interpolated linearly when it
    grows.

    Parameters
    ----------
    roi : ndarray of shape (height, width), uint8
        The crop.
    size : tuple of int
        (height, width) wanted.

    Returns
    -------
    ndarray of shape size, uint8
    """
    (height, width), (new_height, new_width) = roi.shape, size
    # OpenCV's INTER_AREA falls back to a kind of bilinear for both axes as
    # soon as one of them grows, so shrinking goes first and alone.
    smaller = (min(height, new_height), min(width, new_width))
    if smaller != (height, width):
        roi = cv2.resize(roi, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != (new_height, new_width):
        roi = cv2.resize(roi, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    return roi


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an image as PNG, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Where to; missing folders are made.
    image : ndarray of shape (height, width), uint8
        Grey levels 0..255.

    Raises
    ------
    OSError
        When the disk is full or the folder cannot be written.
    """
    encoded, data = cv2.imencode(".png", image)
    if not encoded:
        raise ValueError(f"an array of shape {image.shape} and {image.dtype} is no PNG image")
    write_bytes(path, data.tobytes())


def _unreadable(detail: str) -> ExtractionError:
    return ExtractionError(FailureReason.UNREADABLE, detail)


def _decode(data: bytes) -> tuple[np.ndarray, list[str]]:
    """Pixels as (H, W) or (H, W, channels), uint8 or uint16, and notes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no concern of ours
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise _unreadable(_TOO_LARGE) from None
    except MemoryError:
        raise  # nothing is known about the image
    except Exception:  # broken headers raise whatever the parser trips over
        raise _unreadable("This is not a JPEG, PNG, BMP, TIFF or PGM image.") from None
    if max(image.size) > MAX_SIDE or image.size[0] * image.size[1] > MAX_PIXELS:
        raise _unreadable(_TOO_LARGE)
    # A download cut short but written to its full length ends in zeros, which
    # libjpeg takes for grey: only the end-of-image marker tells.
    if image.format == "JPEG" and _lacks_its_end(data):
        raise _unreadable("The file is truncated: the end of the JPEG data is missing.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            deep_channels = _stores_16_bit_channels(image)
            # Asked before loading, which turns a TIFF and forgets that it did.
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _TURNED
            image.load()
            if turned:
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
    except Exception:  # decoders, too, raise whatever they trip over
        raise _unreadable("The file is truncated or damaged.") from None
    notes = ["16-bit to 8-bit"] if deep_channels else []
    if turned:
        notes.append("turned as its EXIF orientation says")
    if pixels.dtype != np.uint8:
        pixels = _as_uint16(pixels)
    return pixels, notes


def _lacks_its_end(data: bytes) -> bool:
    """Whether no end follows where a JPEG file's pixels begin; a thumbnail before has its own."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        if data[at + 1] == _JPEG_START_OF_SCAN:
            return data.find(_JPEG_END, at) < 0
        fill = data[at + 1] == 0xFF
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4])
    return False  # what the decoder makes of it, it says itself


def _stores_16_bit_channels(image: Image.Image) -> bool:
    """Whether Pillow is about to drop the low bytes of a 16-bit colour image."""
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


def _drop_channels(pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Grey image of uint8 channels (grey + alpha, RGB, RGBA), and notes."""
    channels = pixels.shape[2]
    notes = ["alpha dropped"] if channels in (2, 4) and pixels[..., -1].min() < 255 else []
    if channels == 2:
        return pixels[..., 0], notes
    rgb = np.ascontiguousarray(pixels[..., :3])
    if np.array_equal(rgb[..., 0], rgb[..., 1]) and np.array_equal(rgb[..., 0], rgb[..., 2]):
        return rgb[..., 0], ["three equal channels to one", *notes]
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), ["colour to grey", *notes]


def _to_8_bits(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """Scale uint16 to uint8 by the bit depth that the image uses."""
    brightest = int(pixels.max())
    bits = next(bits for bits in _BIT_DEPTHS if brightest < 2**bits)
    scaled = np.round(pixels.astype(np.float32) * (255.0 / (2**bits - 1))).astype(np.uint8)
    return scaled, "16-bit to 8-bit" if bits == 16 else f"{bits} of 16 bits to 8-bit"
