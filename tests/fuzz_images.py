"""Fuzzing of reader, segmenter and crop with damaged images, under a memory limit.

    python tests/fuzz_images.py SEED COUNT MEBIBYTES

prints how many images of each kind ended how, and what anything but an
`ExtractionError` was.
"""

import collections
import contextlib
import io
import json
import resource
import struct
import sys
import tempfile
import traceback
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

FORMATS = {
    "jpg": ("JPEG", {"quality": 90}),
    "progressive.jpg": ("JPEG", {"quality": 80, "progressive": True}),
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {"compression": "tiff_lzw"}),
    "pgm": ("PPM", {}),
}
SIZES = (1, 63, 64, 255, 4095, 16384, 16385, 40000, 65535, 2**24, 2**31 - 1, 2**32 - 1)


def small_eye(rng: np.random.Generator) -> np.ndarray:
    """An eye of 160x120 pixels without eyelids."""
    image = np.full((120, 160), 190.0, np.float32)
    centre = (int(rng.integers(75, 85)), int(rng.integers(55, 65)))
    cv2.circle(image, centre, 45, 110, -1, cv2.LINE_AA)
    image += cv2.GaussianBlur(rng.normal(0, 60, image.shape), (0, 0), 2).astype(np.float32)
    cv2.circle(image, centre, 16, 20, -1, cv2.LINE_AA)
    image += rng.normal(0, 2, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def encoded(kind: str, rng: np.random.Generator) -> bytes:
    """A valid image file, grey or colour."""
    name, options = FORMATS[kind]
    pixels = small_eye(rng)
    if kind != "pgm" and rng.random() < 0.3:
        pixels = np.dstack([pixels, pixels, pixels // 2])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, name, **options)
    return buffer.getvalue()


def mutated(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Content of the file after one to three mutations."""
    for _ in range(rng.integers(1, 4)):
        data = MUTATIONS[rng.integers(len(MUTATIONS))](bytearray(data), kind, rng)
    return bytes(data)


def _flip_bits(data, kind, rng):
    for at in rng.integers(0, max(len(data), 1), rng.integers(1, 20)):
        if at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
    return data


def _truncate(data, kind, rng):
    return data[: rng.integers(0, len(data) + 1)]


def _insert(data, kind, rng):
    at = int(rng.integers(0, len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 64))) + data[at:]


def _drop(data, kind, rng):
    at = int(rng.integers(0, len(data) + 1))
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def _blank(data, kind, rng):
    at, length = int(rng.integers(0, len(data) + 1)), int(rng.integers(1, 2000))
    data[at : at + length] = bytes([int(rng.choice([0, 255]))]) * len(data[at : at + length])
    return data


def _edit_header(data, kind, rng):
    for at in rng.integers(0, max(min(len(data), 64), 1), rng.integers(1, 5)):
        if at < len(data):
            data[at] = int(rng.choice([0, 1, 127, 128, 255, rng.integers(256)]))
    return data


def _declare_size(data, kind, rng):
    """Overwrite width and height in the header, with correct checksums."""
    width, height = (int(rng.choice(SIZES)) for _ in range(2))
    if kind == "png" and len(data) > 33:
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif kind == "bmp" and len(data) > 34:
        data[18:26] = struct.pack("<II", width, height)
        data[30] = int(rng.choice([0, 1, 2, 3]))  # compression
    elif kind == "pgm":
        _, _, rest = bytes(data).partition(b"\n")
        return bytearray(b"P5\n%d %d\n255\n" % (width, height) + rest)
    elif kind.endswith("jpg"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            at = bytes(data).find(marker)
            if 0 <= at < len(data) - 9:
                data[at + 5 : at + 9] = struct.pack(">HH", height % 65536, width % 65536)
    elif kind == "tif":
        for tag in (256, 257, 322, 323):  # sides of image and tile
            at = bytes(data).find(struct.pack("<H", tag))
            if 0 <= at < len(data) - 12:
                data[at + 8 : at + 12] = struct.pack("<I", width)
    return data


def _damage_png_pixels(data, kind, rng):
    """Flip bits of the compressed pixels, with correct checksums."""
    at = bytes(data).find(b"IDAT")
    if kind != "png" or at < 4:
        return _flip_bits(data, kind, rng)
    length = struct.unpack(">I", data[at - 4 : at])[0]
    end = at + 4 + length
    if length == 0 or end + 4 > len(data):
        return data
    data[int(rng.integers(at + 4, end))] ^= 1 << int(rng.integers(8))
    data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at:end]))
    return data


MUTATIONS = (
    _flip_bits, _truncate, _insert, _drop, _blank, _edit_header, _declare_size, _declare_size,
    _damage_png_pixels,
)  # fmt: skip


def write_mutations(folder: Path, seed: int, count: int) -> list[Path]:
    """Write `count` damaged files of all formats in turn."""
    paths = []
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        kind = list(FORMATS)[i % len(FORMATS)]
        path = folder / f"p{i % 9}" / f"{i:04d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutated(encoded(kind, rng), kind, rng))
        paths.append(path)
    return paths


def _limit_memory(mebibytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(seed: int, count: int, mebibytes: int) -> None:
    from iris_tf.config.names import IRIS_ROI_MODES
    from iris_tf.imaging.images import read_eye
    from iris_tf.preparation.overlay import draw_overlay
    from iris_tf.segmentation.quality import iris_quality
    from iris_tf.segmentation.roi_modes import crop_roi
    from iris_tf.segmentation.segmenter import segmenter_by_name
    from iris_tf.support.errors import ExtractionError

    segment = segmenter_by_name("opencv")
    cv2.setNumThreads(1)
    with contextlib.suppress(ExtractionError):
        segment(small_eye(np.random.default_rng(0)))  # what it allocates for good
    ends, bugs = collections.Counter(), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        paths = write_mutations(Path(folder), seed, count)
        _limit_memory(mebibytes)
        for path in paths:
            kind = path.name.partition(".")[2]
            try:
                image = read_eye(path).pixels
                eye = segment(image)
                for mode in IRIS_ROI_MODES:
                    crop_roi(image, eye, mode)
                iris_quality(image, eye)
                draw_overlay(image, eye)
                ends[f"{kind} prepared"] += 1
            except ExtractionError as error:
                ends[f"{kind} {error.reason}"] += 1
            except Exception:
                bugs.append(f"{path.name}: {traceback.format_exc()}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"ends": ends, "bugs": bugs, "grown_mebibytes": grown / 1024}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
