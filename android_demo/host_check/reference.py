"""Write what Python's LiteRT computes for the released models, for HostCheck to compare with.

    python android_demo/host_check/reference.py FOLDER

For each model file: `NAME.input` and `NAME.output`, float32 in the byte order of this
machine, and `library`, the path of LiteRT's C library. Inputs are noise. `eyes.json`: photographs
of synthetic eyes of varied cameras, and of no eye, with what Python makes of them.
"""

import json
import sys
import tempfile
from pathlib import Path

import ai_edge_litert
import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from iris_tf.datasets.synthetic.writer import synthesize

DEMO = Path(__file__).resolve().parents[1]
MODELS = DEMO.parent / "models"
PERSONS, IMAGES, SEED = 6, 2, 23

sys.path.insert(0, str(DEMO))
import write_agreement  # noqa: E402


def photographs() -> list[np.ndarray]:
    """Synthetic eyes, some far away, cut off or enlarged; noise, and a grey wall."""
    with tempfile.TemporaryDirectory() as folder:
        synthesize(folder, PERSONS, IMAGES, SEED, 1, "png", "many", None)
        eyes = write_agreement.eyes_in(Path(folder))
    noise = np.random.default_rng(0).integers(0, 256, (240, 320)).astype(np.uint8)
    # Of these, the whole image shows too little: the segmenter looks at parts.
    far = [np.pad(eyes[i][::2, ::2], ((150,), (200,)), constant_values=140) for i in (0, 13, 14)]
    cut = [np.ascontiguousarray(eye[eye.shape[0] // 3 :, : -eye.shape[1] // 3]) for eye in eyes[:4]]
    large = [cv2.resize(eye, None, fx=2.3, fy=2.3) for eye in eyes[4:6]]
    return [*eyes, *far, *cut, *large, noise, np.full((200, 300), 127, np.uint8)]


def main(folder: Path) -> None:
    """Write the reference of every released model."""
    folder.mkdir(parents=True, exist_ok=True)
    library = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
    (folder / "library").write_text(f"{library}\n", encoding="utf-8")
    for path in sorted(MODELS.glob("*/*.tflite")):
        runner_of = Interpreter(model_path=str(path), num_threads=1)
        runner = runner_of.get_signature_runner("serving_default")
        ((name, details),) = runner.get_input_details().items()
        image = np.random.default_rng(0).integers(0, 256, details["shape"]).astype(np.float32)
        (output,) = runner(**{name: image}).values()
        image.tofile(folder / f"{path.name}.input")
        output.tofile(folder / f"{path.name}.output")
    eyes = write_agreement.test_of_eyes(photographs())
    (folder / "eyes.json").write_text(json.dumps(eyes), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
