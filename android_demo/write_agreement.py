"""Write the app's agreement tests: synthetic inputs with the outputs of LiteRT on this machine.

Run it in the project's environment after a change in models/:

    python android_demo/write_agreement.py

`Agreement.kt` and `EyeAgreement.kt` document the file formats.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from iris_tf.imaging.geometry import Ellipse, Window
from iris_tf.imaging.images import resize_roi
from iris_tf.segmentation.network_segmenter import NetworkSegmenter
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import ExtractionError
from iris_tf.support.files import sha256, write_text
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.synthetic.ground_truth import read_truth
from iris_tf.tflite.released_models import released_model

DEMO = Path(__file__).resolve().parent
OUT = DEMO / "app" / "src" / "main" / "assets" / "agreement"
CASES = 2
MAX_POSITIONS = 1024  # values stored of masks and of embeddings with a phase code
DIGITS = 7
REDUCTION = 2  # the app's eye images are stored at half their size


def inputs(card: dict, eyes: Path, size: tuple[int, int]) -> list[np.ndarray]:
    """Synthetic eyes as model inputs: crops in the model's ROI mode, or whole images."""
    found = []
    for path in sorted(p for p in eyes.rglob("*.png") if not p.stem.endswith("_mask"))[:CASES]:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if "roi_mode" in card:
            crop = crop_roi(image, SegmentedEye(*read_truth(path)), card["roi_mode"])
            found.append(resize_roi(crop, size))
        else:
            found.append(Window.whole(image.shape).cut(image, size[0]))
    return found


def test_of(path: Path, card: dict, eyes: Path) -> dict:
    """Agreement test of one model file."""
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    runner = interpreter.get_signature_runner("serving_default")
    ((name, details),) = runner.get_input_details().items()
    height, width = (int(side) for side in details["shape"][1:3])
    images = inputs(card, eyes, (height, width))
    outputs = [
        next(iter(runner(**{name: image.astype(np.float32)[None, :, :, None]}).values())).ravel()
        for image in images
    ]
    size = outputs[0].size
    positions = np.arange(size)
    if size > MAX_POSITIONS:
        positions = np.random.default_rng(0).choice(size, MAX_POSITIONS, replace=False)
    positions.sort()
    return {
        "file": path.name, "sha256": sha256(path), "height": height, "width": width,
        "positions": positions.tolist(),
        "cases": [
            {
                "pixels": image.tobytes().hex(),
                "outputs": [float(f"{value:.{DIGITS}g}") for value in output[positions]],
            }
            for image, output in zip(images, outputs, strict=True)
        ],
    }  # fmt: skip


def test_of_eyes(images: Sequence[np.ndarray]) -> dict:
    """Agreement test of the released segmenter and of ROI mode `unrolled` on eye images."""
    path = released_model("iris-segmenter")
    segmenter = NetworkSegmenter(path)
    return {
        "file": path.name, "sha256": sha256(path),
        "eyes": [test_of_eye(segmenter, image) for image in images],
    }  # fmt: skip


def test_of_eye(segmenter: NetworkSegmenter, image: np.ndarray) -> dict:
    """One image with its outlines, mask and strip, or the reason why there are none."""
    height, width = image.shape
    test = {"height": height, "width": width, "pixels": image.tobytes().hex()}
    try:
        eye = segmenter(image)
        strip = crop_roi(image, eye, "unrolled")
    except ExtractionError as error:
        return test | {"refusal": str(error)}
    return test | {
        "pupil": numbers_of(eye.pupil), "iris": numbers_of(eye.iris),
        "confidence": eye.confidence, "visible": runs_of(eye.visible),
        "strip": strip.tobytes().hex(),
    }  # fmt: skip


def numbers_of(outline: Ellipse) -> list[float]:
    """An outline as x, y, a, b and angle."""
    return [outline.x, outline.y, outline.a, outline.b, outline.angle]


def runs_of(mask: np.ndarray) -> list[int]:
    """Run-length encoding of a mask row by row, starting with False."""
    flat = mask.ravel().astype(np.int8)
    changes = 1 + np.flatnonzero(np.diff(flat))
    ends = np.concatenate([[0] if flat[0] else [], changes, [flat.size]]).astype(int)
    return np.diff(ends, prepend=0).tolist()


def eyes_in(folder: Path) -> list[np.ndarray]:
    """The synthetic eye images below a folder."""
    paths = sorted(p for p in folder.rglob("*.png") if not p.stem.endswith("_mask"))
    return [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]


def main() -> None:
    """Write the tests of all files in models/, and that of segmentation and crops."""
    shutil.rmtree(OUT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, 1, 1, 11, 1, "png", "one", None)
        for card_path in sorted((DEMO.parent / "models").glob("*/model_card.json")):
            card = json.loads(card_path.read_text("utf-8"))
            for file in card["files"]:
                test = test_of(card_path.parent / file, card, Path(folder))
                write_text(OUT / f"{file}.json", json.dumps(test) + "\n")
        eyes = [
            cv2.resize(eye, None, fx=1 / REDUCTION, fy=1 / REDUCTION, interpolation=cv2.INTER_AREA)
            for eye in eyes_in(Path(folder))
        ]
        write_text(OUT / "eyes.json", json.dumps(test_of_eyes(eyes)) + "\n")


if __name__ == "__main__":
    main()
