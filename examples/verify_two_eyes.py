"""Verify two eye images with the released model.

    python examples/verify_two_eyes.py ENROLLED PROBE
    python examples/verify_two_eyes.py

Without arguments, it generates synthetic eyes and verifies a genuine and an impostor pair.
"""

import sys
import tempfile
from pathlib import Path

from iris_tf import IrisRecognizer
from iris_tf.support.errors import ExtractionError
from iris_tf.synthetic.dataset_writer import synthesize


def verify(recognizer: IrisRecognizer, enrolled: Path, probe: Path) -> None:
    """Print whether two images show the same eye."""
    template = recognizer.enroll(enrolled)
    result = recognizer.verify(template, probe, operating_point="fmr_1e-4")
    decision = "same eye" if result.same_eye else result.inconclusive or "different eyes"
    print(
        f"{enrolled.name} and {probe.name}: {decision} "
        f"(score {result.score:.1f}, threshold {result.threshold:.1f})"
    )


def main(arguments: list[str]) -> None:
    """Verify the two given images, or synthetic ones."""
    recognizer = IrisRecognizer()
    if len(arguments) == 2:
        verify(recognizer, *map(Path, arguments))
        return
    with tempfile.TemporaryDirectory() as folder:
        # One subject, both eyes, two images of each: 000/L/S5000L00.jpg, ...
        eyes = synthesize(Path(folder) / "eyes", subjects=1, images=2, seed=0, jobs=1)
        left = eyes / "000" / "L"
        verify(recognizer, left / "S5000L00.jpg", left / "S5000L01.jpg")
        verify(recognizer, left / "S5000L00.jpg", eyes / "000" / "R" / "S5000R00.jpg")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ExtractionError as error:
        sys.exit(f"No usable iris: {error}")
