import shutil

import cv2
import numpy as np
import pytest

from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.copied_crops import refuse_copies
from iris_tf.evaluation.evaluate_model import EvaluationRequest, read_inputs
from iris_tf.support.errors import DatasetError


def row(number):
    name = f"{number}.png"
    return ManifestRow(name, "d", f"s{number // 2}", "L", f"s{number // 2}L", name, "test", name)


@pytest.fixture
def crops(tmp_path):
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels)
    return [tmp_path / f"{number}.png" for number in range(4)]


def test_a_copy_of_a_crop_is_refused(crops):
    rows = [row(number) for number in range(4)]
    refuse_copies(rows, crops)
    for copy, of in ((1, 0), (3, 0)):  # of the same identity, and of another
        kept = crops[copy].read_bytes()
        shutil.copy(crops[of], crops[copy])
        with pytest.raises(DatasetError, match=rf"{copy}\.png .* is a copy of that of {of}\.png"):
            refuse_copies(rows, crops)
        crops[copy].write_bytes(kept)
    crops[2].unlink()  # which reading it reports
    refuse_copies(rows, crops)


def test_an_evaluation_compares_no_image_with_itself(small_dataset, exported, tmp_path):
    dataset = tmp_path / "dataset"
    shutil.copytree(small_dataset, dataset)
    manifest = dataset / "manifest.csv"
    header, *lines = manifest.read_text().splitlines()
    first = next(line for line in lines if ",test," in line)
    name = first.split(",")[0]
    roi = first.split(",")[header.split(",").index("roi")]
    again = first.replace(name, "again.png").replace(roi, "roi/again.png")
    shutil.copy(dataset / roi, dataset / "roi" / "again.png")
    manifest.write_text("\n".join([header, *lines, again]) + "\n")
    request = EvaluationRequest([exported / "mobile_float32.tflite"], [manifest])
    with pytest.raises(DatasetError, match="would be compared with itself"):
        read_inputs(request)
