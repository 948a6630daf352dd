"""Write the app's agreement tests: synthetic inputs with the outputs of LiteRT on this machine.

Run it in the project's environment after a change in models/:

    python android_demo/write_agreement.py [--all]

Tests of models that have not changed (by their SHA-256) are not written again, because outputs
differ in their last digits between machines. `--all` writes these, too: after a change of the
synthetic eyes, the segmentation or the crops. Tests of models that are gone are deleted.

`Agreement.kt` and `EyeAgreement.kt` document the file formats.
"""

import argparse
import json
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
MODELS = DEMO.parent / "models"
EYES = "eyes.json"  # the test of segmentation and crops
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


def eyes_model() -> Path:
    """The segmenter of the test on eyes: float16, which every backend and browser computes."""
    return released_model("iris-segmenter", "float16")


def test_of_eyes(images: Sequence[np.ndarray]) -> dict:
    """Agreement test of the released segmenter and of ROI mode `unrolled` on eye images."""
    path = eyes_model()
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


def is_current(path: Path, model: Path) -> bool:
    """Whether a test was written for a model file with this content."""
    if not path.is_file():
        return False
    return json.loads(path.read_text("utf-8")).get("sha256") == sha256(model)


def outdated(everything: bool) -> dict[Path, Path]:
    """The tests to be written, with the model of each; those without a model are deleted."""
    models = {
        OUT / f"{file}.json": card.parent / file
        for card in sorted(MODELS.glob("*/model_card.json"))
        for file in json.loads(card.read_text("utf-8"))["files"]
    }
    models[OUT / EYES] = eyes_model()
    for path in OUT.glob("*.json"):
        if path not in models:
            path.unlink()
    return {
        path: model for path, model in models.items() if everything or not is_current(path, model)
    }


def main(everything: bool) -> None:
    """Write the tests of all files in models/ that lack a current one, and that of the crops."""
    wanted = outdated(everything)
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, 1, 1, 11, 1, "png", "one", None)
        eyes = [
            cv2.resize(eye, None, fx=1 / REDUCTION, fy=1 / REDUCTION, interpolation=cv2.INTER_AREA)
            for eye in eyes_in(Path(folder))
        ]
        for path, model in wanted.items():
            if path.name == EYES:
                test = test_of_eyes(eyes)
            else:
                card = json.loads(model.with_name("model_card.json").read_text("utf-8"))
                test = test_of(model, card, Path(folder))
            write_text(path, json.dumps(test) + "\n")
            print(f"{path} was written.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="also tests of unchanged models")
    main(parser.parse_args().all)
