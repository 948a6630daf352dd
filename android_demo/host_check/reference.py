"""Write the results of Python's LiteRT for the released models, for HostCheck to compare with.

    python android_demo/host_check/reference.py FOLDER MODELS

Writes into FOLDER, for each model file below MODELS, `NAME.input` (noise) and `NAME.output`,
float32 in the byte order of this machine, and for recognition models `NAME.embeddings`, float32,
of the images that gave a crop, and, where the card has scores, `NAME.scores` of all their pairs,
float32. `eyes.json` holds images of synthetic eyes of varied cameras, and
some without an eye, with Python's segmentations and crops. `library` holds the path of LiteRT's C
library, and `bad/` files that are not models of this project.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import ai_edge_litert
import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from iris_tf.matching.matcher import Matcher
from iris_tf.segmentation.network_segmenter import NetworkSegmenter
from iris_tf.segmentation.roi_modes import crop_roi
from iris_tf.support.errors import ExtractionError
from iris_tf.synthetic.dataset_writer import synthesize
from iris_tf.tflite.model_card import CARD_NAME, ModelCard
from iris_tf.tflite.tflite_embedder import TFLiteEmbedder

DEMO = Path(__file__).resolve().parents[1]
SUBJECTS, IMAGES, SEED = 6, 2, 23

sys.path.insert(0, str(DEMO))
import write_agreement  # noqa: E402


def eye_images() -> list[np.ndarray]:
    """Synthetic eyes, some distant, cut off, enlarged or rotated; noise, and a uniform image."""
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, SUBJECTS, IMAGES, SEED, 1, "png", "many", None)
        eyes = write_agreement.eyes_in(Path(folder))
    noise = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    # These irises are too small in the whole image, so the segmenter searches tiles.
    far = [np.pad(eyes[i][::2, ::2], ((150,), (200,)), constant_values=140) for i in (0, 13, 14)]
    cut = [np.ascontiguousarray(eye[eye.shape[0] // 3 :, : -eye.shape[1] // 3]) for eye in eyes[:4]]
    large = [cv2.resize(eye, None, fx=2.3, fy=2.3) for eye in eyes[4:6]]
    rotated = [np.ascontiguousarray(np.rot90(eyes[i], i)) for i in (5, 6, 7)]
    return [*eyes, *far, *cut, *large, *rotated, noise, np.full((200, 300), 127, np.uint8)]


def embeddings(path: Path, roi_mode: str, images: list[np.ndarray]) -> np.ndarray:
    """Embeddings of the images that give a crop."""
    segmenter = NetworkSegmenter()
    crops = []
    for image in images:
        with contextlib.suppress(ExtractionError):
            crops.append(crop_roi(image, segmenter(image), roi_mode))
    return TFLiteEmbedder(path).embed(crops)


def write_bad_models(folder: Path, model: Path) -> None:
    """Files that the app must reject: half a model, no model, and one with another signature."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    content = model.read_bytes()
    (folder / "half.tflite").write_bytes(content[: len(content) // 2])
    (folder / "no_model.tflite").write_bytes(bytes(4) + b"TFL3" + bytes(1000))
    other = content.replace(b"serving_default", b"another_default")
    (folder / "other_signature.tflite").write_bytes(other)


def main(folder: Path, models: Path) -> None:
    """Write the reference results of all model files below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    library = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
    (folder / "library").write_text(f"{library}\n", encoding="utf-8")
    write_bad_models(folder / "bad", min(models.glob("*/*.tflite")))
    images = eye_images()
    for path in sorted(models.glob("*/*.tflite")):
        runner_of = Interpreter(model_path=str(path), num_threads=1)
        runner = runner_of.get_signature_runner("serving_default")
        ((name, details),) = runner.get_input_details().items()
        image = np.random.default_rng(0).integers(0, 256, details["shape"]).astype(np.float32)
        (output,) = runner(**{name: image}).values()
        image.tofile(folder / f"{path.name}.input")
        output.tofile(folder / f"{path.name}.output")
        card = json.loads(path.with_name(CARD_NAME).read_text("utf-8"))
        if "roi_mode" in card:
            found = embeddings(path, card["roi_mode"], images)
            found.tofile(folder / f"{path.name}.embeddings")
            matcher = Matcher.of_card(ModelCard.beside(path))
            if matcher.score_model is not None:
                described = matcher.describe(found)
                scores = matcher.scores(described, described).values.astype(np.float32)
                scores.tofile(folder / f"{path.name}.scores")
    eyes = write_agreement.test_of_eyes(images)
    (folder / "eyes.json").write_text(json.dumps(eyes), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
