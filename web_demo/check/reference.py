"""Write photographs with Python's results, for the tests in the browser to compare with.

    python web_demo/check/reference.py FOLDER

Writes PNG files of 32 synthetic eyes of varied cameras, some of them distant, cut off, enlarged or
rotated, and of images without an eye, and `reference.json`: for each file whether its eye is
sideways or upside down, and the levels of the crop as hexadecimal digits, or why there is none; for
each two files in a row that gave crops their comparison.
"""

import itertools
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from iris_tf.imaging.images import resize_roi
from iris_tf.recognition.cropper import Cropper
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.support.errors import ExtractionError
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.tflite.released_models import released_model

SUBJECTS, IMAGES, SEED = 6, 2, 41


def photographs() -> list[tuple[np.ndarray, bool]]:
    """32 images of varied cameras: 24 eyes, and variants that are hard to crop or show no eye.

    Each with whether its eye is sideways or upside down.
    """
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, SUBJECTS, IMAGES, SEED, 1, "png", "many", None)
        files = sorted(p for p in Path(folder).rglob("*.png") if not p.stem.endswith("_mask"))
        eyes = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
    # This iris is too small in the whole image, so the segmenter searches tiles.
    far = np.pad(eyes[0][::2, ::2], ((150,), (200,)), constant_values=140)
    cut = [eye[eye.shape[0] // 3 :, : -eye.shape[1] // 3] for eye in eyes[:2]]
    large = cv2.resize(eyes[4], None, fx=2.3, fy=2.3)
    rotated = [np.ascontiguousarray(np.rot90(eyes[i], i)) for i in (5, 6)]
    noise = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    upright = [*eyes, far, *cut, large, noise, np.full((200, 300), 127, np.uint8)]
    return [(image, False) for image in upright] + [(image, True) for image in rotated]


def main(folder: Path) -> None:
    """Write the photographs and their results."""
    folder.mkdir(parents=True, exist_ok=True)
    # The page is given this file, not the default one of 8-bit integers.
    network = released_model("iris-segmenter", "float16")
    recognizer = IrisRecognizer(segmenter_model=network)
    card = recognizer.card
    cropper = Cropper(card.segmenter, card.roi_mode, "", card.channels, network)
    cases, templates = [], []
    for i, (photograph, sideways) in enumerate(photographs()):
        name = f"{i:02}.png"
        cv2.imwrite(str(folder / name), photograph)
        try:
            crop = resize_roi(cropper(photograph, "eye").roi, card.input_size)
            template = recognizer.enroll(photograph, "eye")
        except ExtractionError as error:
            refusal = str(error).removeprefix("image array: ")
            cases.append({"file": name, "sideways": sideways, "refusal": refusal})
            continue
        height, width = crop.shape
        cases.append({
            "file": name, "sideways": sideways, "height": height, "width": width,
            "crop": crop.tobytes().hex(),
        })  # fmt: skip
        templates.append((name, template))
    comparisons = []
    for (first, template), (second, probe) in itertools.pairwise(templates):
        found = recognizer.verify(template, probe)
        comparisons.append({
            "first": first, "second": second, "similarity": found.similarity,
            "score": None if found.inconclusive else found.score,
            "inconclusive": found.inconclusive, "same_eye": found.same_eye,
        })  # fmt: skip
    reference = {"cases": cases, "comparisons": comparisons}
    (folder / "reference.json").write_text(json.dumps(reference), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
