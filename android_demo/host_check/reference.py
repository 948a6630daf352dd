"""Write what Python's LiteRT computes for the released models, for HostCheck to compare with.

    python android_demo/host_check/reference.py FOLDER

For each model file: `NAME.input` and `NAME.output`, float32 in the byte order of this
machine, and `library`, the path of LiteRT's C library. Inputs are noise.
"""

import sys
from pathlib import Path

import ai_edge_litert
import numpy as np
from ai_edge_litert.interpreter import Interpreter

MODELS = Path(__file__).resolve().parents[2] / "models"


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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
