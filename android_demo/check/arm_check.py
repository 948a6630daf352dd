"""Compare what model files compute on 64-bit Arm, emulated by QEMU, with this machine.

    python android_demo/check/arm_check.py [FILE.tflite ...]

Without arguments the released models. Each file is run by LiteRT's wheel for aarch64, whose
kernels are those of phones, on generated eyes. It agrees if embeddings have a cosine of at least
0.9999, and if masks cover the same pixels to 0.999. Times under emulation mean nothing. The check
is skipped where QEMU or the folder that `make arm-tools` fills is missing; the exit status is 1 if
a file disagrees or does not run.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

DEMO = Path(__file__).resolve().parents[1]
MODELS = DEMO.parent / "models"
ROOT = DEMO / "build" / "tools" / "arm64" / "root"
QEMU = "qemu-aarch64", "qemu-aarch64-static"
PROCESSOR = "cortex-a76"  # of phones from 2018 on: half precision and dot products, no SVE
IMAGES = 8
MIN_COSINE, MIN_OVERLAP = 0.9999, 0.999

EMULATED = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

path, inputs, outputs = sys.argv[1:]
runner = Interpreter(model_path=path, num_threads=1).get_signature_runner("serving_default")
[name], [output] = runner.get_input_details(), runner.get_output_details()
np.save(outputs, [runner(**{name: image[None]})[output][0] for image in np.load(inputs)])
"""
"""Runs one file; only NumPy and LiteRT are there."""


class Missing(Exception):
    """What this machine lacks; the message is one sentence on where to get it."""


class Failed(Exception):
    """A file that does not run under emulation."""


def emulator() -> list[str]:
    """Command that starts Python for 64-bit Arm."""
    qemu = next(filter(None, map(shutil.which, QEMU)), None)
    if qemu is None:
        raise Missing("qemu-aarch64 is missing; install qemu-user-static (Debian 12 and 13).")
    pythons = sorted(ROOT.glob("usr/bin/python3.*"))
    if not pythons or not (ROOT / "site" / "ai_edge_litert").is_dir():
        raise Missing("Python and LiteRT for 64-bit Arm are missing; run `make arm-tools`.")
    site = f"PYTHONPATH={ROOT / 'site'}"
    return [qemu, "-cpu", PROCESSOR, "-L", str(ROOT), "-E", site, str(pythons[0])]


def on_arm(command: Sequence[str], path: Path, images: np.ndarray) -> np.ndarray:
    """Outputs of a file for images (n, height, width, 1), float32, under emulation."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder) / "inputs.npy", Path(folder) / "outputs.npy"
        np.save(inputs, images)
        done = subprocess.run(
            [*command, "-c", EMULATED, str(path), str(inputs), str(outputs)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"status {done.returncode}: {done.stderr.strip()[-1000:]}")
        return np.load(outputs)


def agreement(here: np.ndarray, there: np.ndarray) -> tuple[str, float, bool]:
    """What is compared, the least value over images, and whether it suffices.

    Embeddings (n, size) are compared by their cosines, masks (n, height, width, channels) by the
    overlap (intersection over union) of the pixels above one half.
    """
    if here.ndim == 2:
        norms = np.linalg.norm(here, axis=1) * np.linalg.norm(there, axis=1)
        least = float(((here * there).sum(axis=1, dtype=np.float64) / norms).min())
        return "cosine", least, least >= MIN_COSINE
    one, other = here > 0.5, there > 0.5
    axes = (1, 2, 3)
    least = float(((one & other).sum(axes) / np.maximum((one | other).sum(axes), 1)).min())
    return "overlap", least, least >= MIN_OVERLAP


def generated_images(signature: str, size: tuple[int, int]) -> np.ndarray:
    """Strips for recognition, or eyes close up for a segmenter, (n, height, width, 1), float32."""
    from iris_tf.synthetic.segmentation_samples import draw_samples
    from iris_tf.synthetic.strips import draw_strips

    if signature == "roi":
        images = np.concatenate([draw_strips(26, eye, 1) for eye in range(IMAGES)])
    else:
        images = draw_samples(26, 0, IMAGES, size[0], ("last",))[..., 0]
    resized = [cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(resized)[..., None].astype(np.float32)


def compare(command: Sequence[str], path: Path) -> bool:
    """Print how far a file agrees on both machines; return whether it suffices."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner(
        "serving_default"
    )
    [(name, details)] = runner.get_input_details().items()
    [output] = runner.get_output_details()
    images = generated_images(name, tuple(details["shape"][1:3]))
    here = np.stack([runner(**{name: image[None]})[output][0] for image in images])
    try:
        there = on_arm(command, path, images)
    except Failed as reason:
        print(f"{path.name}: DOES NOT RUN, {reason}", flush=True)
        return False
    what, least, good = agreement(here, there)
    largest = float(np.abs(here - there).max())
    print(
        f"{path.name}: {'agrees' if good else 'DISAGREES'}, least {what} {least:.6f} over "
        f"{len(images)} images, largest difference {largest:.2g}",
        flush=True,
    )
    return good


def main(files: Sequence[Path]) -> int:
    """Compare all files; return the exit status."""
    try:
        command = emulator()
    except Missing as reason:
        print(f"skipped: {reason}")
        return 0
    return int(not all([compare(command, path) for path in files]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.tflite")
    sys.exit(main(parser.parse_args().files or sorted(MODELS.glob("*/*.tflite"))))
