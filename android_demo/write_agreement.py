"""Write the agreement tests of the app: synthetic inputs, and what LiteRT computes here.

Run it in the project's environment after a change of models/:

    python android_demo/write_agreement.py

The files' form is described in `Agreement.kt`.
"""

import json
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from iris_tf.datasets.images import resize_roi
from iris_tf.datasets.synthetic.truth import read_truth
from iris_tf.datasets.synthetic.writer import synthesize
from iris_tf.files import sha256, write_text
from iris_tf.geometry import Window
from iris_tf.segmentation.roi import crop_roi
from iris_tf.segmentation.segmenter import SegmentedEye

DEMO = Path(__file__).resolve().parent
OUT = DEMO / "app" / "src" / "main" / "assets" / "agreement"
CASES = 2
MOST_POSITIONS = 1024  # of a segmenter's masks; embeddings are kept whole
DIGITS = 7


def inputs(card: dict, eyes: Path, size: tuple[int, int]) -> list[np.ndarray]:
    """Synthetic eyes as the model takes them: crops in its ROI mode, or whole images."""
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
    """The test of one model file."""
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
    if size > MOST_POSITIONS:
        positions = np.random.default_rng(0).choice(size, MOST_POSITIONS, replace=False)
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


def main() -> None:
    """Write the test of every model in models/."""
    shutil.rmtree(OUT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, 1, 1, 11, 1, "png", "one", None)
        for card_path in sorted((DEMO.parent / "models").glob("*/model_card.json")):
            card = json.loads(card_path.read_text("utf-8"))
            for file in card["files"]:
                test = test_of(card_path.parent / file, card, Path(folder))
                write_text(OUT / f"{file}.json", json.dumps(test) + "\n")


if __name__ == "__main__":
    main()
