"""Write the expected results of the tests of :core, computed by the Python code.

Run it in the project's environment (OpenCV 5), from any folder, after a change of the ROI modes,
the geometry of the network segmenter, the figure of motion blur, resizing or the result schema:

    python android_demo/write_fixtures.py

All eyes are synthetic. Results of the many small cases are stored as checksums; the tests generate
the same inputs with `PseudoRandom`.
"""

import hashlib
import json
import tempfile
import zlib
from pathlib import Path

import cv2
import numpy as np

from iris_tf.benchmark.collection import TABLE, import_results
from iris_tf.benchmark.schema import STATISTICS, statistics, validate_result
from iris_tf.config.names import IRIS_ROI_MODES
from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.imaging.images import resize_roi
from iris_tf.imaging.rotated_window import RotatedWindow
from iris_tf.recognition.motion_blur import anisotropy
from iris_tf.segmentation.network_segmenter import CHANNELS, NetworkSegmenter
from iris_tf.segmentation.polar import fit_ellipse
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.synthetic.ground_truth import read_truth
from iris_tf.tflite.model_card import ModelCard, ModelFile
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

RESOURCES = Path(__file__).parent / "core" / "src" / "test" / "resources"
ELLIPSES, RESIZES, SAMPLES = 300, 200, 101
FITS, WINDOWS, RENDERED = 60, 60, 60
REDUCTION = 4  # the 640x480 eyes are stored at a quarter of their size


class PseudoRandom:
    """The linear congruential generator that the C standard gives as an example of `rand`."""

    def __init__(self, seed: int):
        self.state = seed

    def below(self, limit: int) -> int:
        """Next number from 0 to `limit` - 1; `limit` is at most 32768."""
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return (self.state >> 16) % limit

    def image(self, height: int, width: int) -> np.ndarray:
        """Noise image."""
        values = [self.below(256) for _ in range(height * width)]
        return np.array(values, np.uint8).reshape(height, width)


def checksum(image: np.ndarray) -> int:
    """CRC-32 of the pixels as bytes."""
    return zlib.crc32(np.ascontiguousarray(image, np.uint8).tobytes())


def write_pgm(path: Path, image: np.ndarray) -> None:
    """Write a binary PGM."""
    height, width = image.shape
    path.write_bytes(b"P5\n%d %d\n255\n" % (width, height) + image.tobytes())


def ellipses() -> list[int]:
    """Checksums of ellipse masks, many of which reach beyond the frame."""
    numbers, found = PseudoRandom(1), []
    for _ in range(ELLIPSES):
        height, width = 20 + numbers.below(100), 20 + numbers.below(100)
        ellipse = Ellipse(
            numbers.below(16 * width) / 16 * 1.2 - 0.1 * width,
            numbers.below(16 * height) / 16 * 1.2 - 0.1 * height,
            1 + numbers.below(900) / 16,
            1 + numbers.below(900) / 16,
            numbers.below(314) / 100,
        )
        found.append(checksum(ellipse.mask((height, width))))
    return found


def resizes() -> list[int]:
    """Checksums of resized noise: downscaled, upscaled and both, also by integer factors."""
    numbers, found = PseudoRandom(2), []
    for i in range(RESIZES):
        height, width = 3 + numbers.below(80), 3 + numbers.below(80)
        if i % 4 == 0:  # integer factors
            size = 1 + numbers.below(20), 1 + numbers.below(20)
            height, width = size[0] * (1 + numbers.below(4)), size[1] * (1 + numbers.below(4))
        else:
            size = 1 + numbers.below(120), 1 + numbers.below(120)
        found.append(checksum(resize_roi(numbers.image(height, width), size)))
    return found


def fits() -> list[list[float] | None]:
    """Ellipses fitted to scattered points, with outliers and points of weight 0."""
    numbers, found = PseudoRandom(4), []
    for _ in range(FITS):
        count = 8 + numbers.below(90)
        ellipse = Ellipse(
            numbers.below(900) / 9, numbers.below(900) / 9,
            2 + numbers.below(900) / 16, 2 + numbers.below(900) / 16, numbers.below(314) / 100,
        )  # fmt: skip
        x, y, weights = np.empty(count), np.empty(count), np.empty(count)
        for i in range(count):
            (point,) = ellipse.points(np.array([numbers.below(6283) / 1000]))
            off = (numbers.below(100) / 100 - 0.5) * (20 if numbers.below(10) == 0 else 0.5)
            x[i], y[i], weights[i] = point[0] + off, point[1] - off, numbers.below(5) / 4
        fitted = fit_ellipse(x, y, weights, 0.02)
        found.append(None if fitted is None else outline(fitted[0]))
    return found


def windows() -> list[int]:
    """Checksums of windows, a third of them rotated; many reach beyond the image."""
    numbers, found = PseudoRandom(5), []
    for _ in range(WINDOWS):
        image = numbers.image(20 + numbers.below(100), 20 + numbers.below(100))
        x, y = numbers.below(1400) / 10 - 10, numbers.below(1400) / 10 - 10
        extent = 4 + numbers.below(1500) / 10
        rotated = RotatedWindow.around(x, y, extent, numbers.below(628) / 100)
        for window in (Window.around(x, y, extent), Window.whole(image.shape), rotated):
            found.append(checksum(window.cut(image, 48)))
    return found


class GreyLevels:
    """A fake network whose masks are functions of the grey level; wrong at lids."""

    def __init__(self, height: int):
        self.input_size = height, height * 4 // 3

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Masks (height, width, 4) of an image."""
        grey = image.astype(np.float32)
        pupil = np.clip((75 - grey) / 60 + np.float32(0.5), 0, 1)
        iris = np.clip((160 - grey) / 60 + np.float32(0.5), 0, 1)
        masks = {"visible": iris * (1 - pupil), "pupil": pupil, "iris": iris}
        return np.stack([masks.get(name, np.ones_like(iris)) for name in CHANNELS], axis=-1)


def render_eye(numbers: PseudoRandom) -> np.ndarray:
    """An eye of uniform grey levels, with a lid and noise; not all of them are plausible."""
    height, width = 100 + numbers.below(120), 100 + numbers.below(180)
    radius = 12 + numbers.below(60)
    iris = Ellipse(
        0.2 * width + 0.6 * numbers.below(width), 0.3 * height + 0.4 * numbers.below(height),
        radius, radius * (70 + numbers.below(40)) / 100, numbers.below(314) / 100,
    )  # fmt: skip
    share = (20 + numbers.below(50)) / 100
    pupil = Ellipse(
        iris.x + (numbers.below(21) - 10) / 100 * radius, iris.y, share * iris.a, share * iris.b,
        iris.angle,
    )  # fmt: skip
    lid = int(iris.y - radius * (20 + numbers.below(110)) / 100)
    image = np.full((height, width), 200, np.uint8)
    image[iris.mask(image.shape)] = 110
    image[pupil.mask(image.shape)] = 30
    image[: max(lid, 0)] = 190
    noise = numbers.image(height, width) % 32
    return image + noise


def rendered_eyes() -> list[dict]:
    """Segmentations of rendered eyes by `NetworkSegmenter` with the fake network."""
    segmenter = NetworkSegmenter()
    # The input sizes of the released segmenter.
    segmenter._finder, segmenter._model = GreyLevels(192), GreyLevels(288)
    numbers, found = PseudoRandom(6), []
    for _ in range(RENDERED):
        image = render_eye(numbers)
        try:
            eye = segmenter(image)
        except ExtractionError as error:
            found.append({"refusal": str(error)})
            continue
        found.append({
            "pupil": outline(eye.pupil), "iris": outline(eye.iris), "confidence": eye.confidence,
            "visible": checksum(eye.visible), "tilt": eye.tilt,
        })  # fmt: skip
    return found


def outline(ellipse: Ellipse) -> list[float]:
    """An ellipse as x, y, a, b and angle."""
    return [ellipse.x, ellipse.y, ellipse.a, ellipse.b, ellipse.angle]


def write_eyes() -> None:
    """Write small synthetic eyes, one of them cut off, with their crops in all modes."""
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, 2, 1, 7, 1, "png", "one", None)
        paths = sorted(p for p in Path(folder).rglob("*.png") if not p.stem.endswith("_mask"))
        for number, path in enumerate(paths[:3]):
            pupil, iris, visible = read_truth(path)
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[::REDUCTION, ::REDUCTION]
            visible = visible[::REDUCTION, ::REDUCTION]
            pupil, iris = (found.scaled(1 / REDUCTION, (0.0, 0.0)) for found in (pupil, iris))
            if number == 2:
                cut = int(iris.x)  # the frame ends within the iris
                image, visible = image[:, :cut], visible[:, :cut]
            write_eye(f"eye{number}", np.ascontiguousarray(image), pupil, iris, visible)


def write_eye(name: str, image: np.ndarray, pupil: Ellipse, iris: Ellipse, visible) -> None:
    """Write one eye: image, mask, outlines, crops."""
    eye = SegmentedEye(pupil, iris, np.ascontiguousarray(visible))
    write_pgm(RESOURCES / f"{name}.pgm", image)
    write_pgm(RESOURCES / f"{name}_visible.pgm", visible.astype(np.uint8) * np.uint8(255))
    for mode in IRIS_ROI_MODES:
        write_pgm(RESOURCES / f"{name}_{mode}.pgm", crop_roi(image, eye, mode))
    values = {
        "pupil": outline(pupil),
        "iris": outline(iris),
        "anisotropy": anisotropy(crop_roi(image, eye, "unrolled")),
    }
    (RESOURCES / f"{name}.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def numpy_statistics() -> dict:
    """Samples with NumPy's statistics of them."""
    samples = np.random.default_rng(3).gamma(2.0, 3.0, SAMPLES)
    percents = {"median": 50, "p5": 5, "p90": 90, "p95": 95, "p99": 99}
    values = {name: float(np.percentile(samples, p)) for name, p in percents.items()}
    values |= {"avg": float(samples.mean()), "stddev": float(samples.std())}
    values |= {"min": float(samples.min()), "max": float(samples.max())}
    assert values.keys() == set(STATISTICS)
    return {"samples": samples.tolist(), **values}


def host_result() -> dict:
    """A result as the host writes it, with made-up durations."""
    row = {
        "model": {"file": "m_float16.tflite", "sha256": "0123456789abcdef" * 4, "bytes": 10},
        "backend_requested": "cpu-xnnpack",
        "backend": "cpu-xnnpack",
        "threads": 2,
        "init": statistics([20.0, 18.0]),
        "first": statistics([9.0, 8.0]),
        "warmup": None,
        "inference": statistics([4.0, 1.0, 3.0, 2.0]),
    }
    found = {
        "schema": "iris_tf.latency",
        "schema_version": 1,
        "created": "2026-01-31T12:00:00Z",
        "created_by": "iris_tf 0.1.0",
        "runtime": "ai-edge-litert 2.3.0",
        "machine": {"cpu": "Some CPU", "cores": 8, "os": "Some system 1", "python": "3.11"},
        "rows": [row, row | {"threads": 1, "warmup": statistics([1.25, 0.1])}],
    }
    validate_result(found)
    return found


def phone_result() -> dict:
    """A result as the phone writes it, with all optional fields and made-up durations."""
    model = {"file": "m_float16.tflite", "sha256": "0123456789abcdef" * 4, "bytes": 10}
    found = {
        "schema": "iris_tf.latency",
        "schema_version": 1,
        "created": "2026-02-03T04:05:06Z",
        "created_by": "iris_tf android_demo 0.1.0",
        "runtime": "LiteRT 1.4.0",
        "machine": {
            "cpu": "Some SoC",
            "cores": 8,
            "os": "Android 15",
            "device": 'Maker "Model", 2',
            "abi": "arm64-v8a",
            "android_api": 35,
            "memory_bytes": 8_000_000_000,
        },
        "rows": [
            {
                "model": model,
                "backend_requested": "gpu",
                "backend": "cpu-xnnpack",
                "threads": 1,
                "init": statistics([20.0, 18.0]),
                "first": statistics([9.0, 8.0]),
                "warmup": None,
                "inference": statistics([4.0, 1.0, 3.0, 2.0]),
                "fallback": "The GPU delegate cannot run this model.",
                "invalid": "The app was in the background.",
                "memory_bytes": 90_000_000,
                "conditions_start": {
                    "thermal": "none",
                    "battery_percent": 81,
                    "charging": False,
                    "battery_celsius": 31.5,
                },
                "conditions_end": {
                    "thermal": "moderate",
                    "battery_percent": 80,
                    "charging": False,
                    "battery_celsius": 36.0,
                },
            },
            {
                "model": model,
                "backend_requested": "cpu-xnnpack",
                "backend": "cpu-xnnpack",
                "threads": 4,
                "init": statistics([20.0]),
                "first": statistics([9.0]),
                "warmup": statistics([8.5, 0.25]),
                "inference": statistics([1.5, 1.0]),
            },
        ],
        "failures": [
            {
                "model": "m_float16.tflite",
                "backend_requested": "nnapi",
                "threads": 1,
                "reason": "This Android version has no NNAPI.",
            },
        ],
    }
    validate_result(found)
    return found


def phone_table() -> str:
    """The table that importing `phone_result` writes; the app's CSV has the same columns."""
    with tempfile.TemporaryDirectory() as folder:
        import_results([RESOURCES / "phone_result.json"], folder)
        return (Path(folder) / TABLE).read_bytes().decode("utf-8")


def write_card() -> None:
    """Write a model card in the form of `iris-tf export`, with made-up figures."""
    sha256 = hashlib.sha256(b"abc").hexdigest()
    ModelCard(
        name="small", network="mobilenet_v3_large", roi_mode="unrolled", segmenter="network",
        input_size=(48, 256), embedding_size=64,
        thresholds={"eer": 0.25, "far_1e-2": 0.5, "far_1e-3": 0.75},
        thresholds_from={"dataset": "synthetic", "split": "val"},
        files={"m.tflite": ModelFile(precision="float16", sha256=sha256, bytes=3)},
        training_data="synthetic eyes", created_by="iris_tf 0.1.0",
        phase=PhaseCodeLayout(32, 16, 2),
    ).write(RESOURCES / "recognition_card.json")  # fmt: skip


def main() -> None:
    """Write all fixtures."""
    RESOURCES.mkdir(parents=True, exist_ok=True)
    write_eyes()
    write_card()
    for name, value in (
        ("ellipses", ellipses()),
        ("resizes", resizes()),
        ("statistics", numpy_statistics()),
        ("fits", fits()),
        ("windows", windows()),
        ("rendered_eyes", rendered_eyes()),
        ("host_result", host_result()),
        ("phone_result", phone_result()),
    ):
        (RESOURCES / f"{name}.json").write_text(json.dumps(value) + "\n", encoding="utf-8")
    (RESOURCES / "phone_result.csv").write_bytes(phone_table().encode("utf-8"))


if __name__ == "__main__":
    main()
