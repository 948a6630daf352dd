import json
import shutil

import pytest

from iris_tf.errors import ModelError
from iris_tf.evaluation.model import evaluate_model


@pytest.fixture
def unrolled(small_dataset, tmp_path):
    """A dataset that says that its crops are strips."""
    shutil.copytree(small_dataset, tmp_path / "dataset")
    description = tmp_path / "dataset" / "dataset.json"
    content = json.loads(description.read_text())
    content["settings"]["roi_mode"] = "unrolled"
    description.write_text(json.dumps(content))
    return tmp_path / "dataset" / "manifest.csv"


def test_crops_of_another_roi_mode_are_refused(unrolled, exported, trained_run, tmp_path):
    for model in (exported / "mobile_float32.tflite", trained_run):
        with pytest.raises(ModelError, match=r"roi_mode algorithm1.*unrolled"):
            evaluate_model(model, unrolled, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_a_file_without_a_card_is_evaluated_all_the_same(unrolled, exported, tmp_path):
    model = shutil.copy(exported / "mobile_float32.tflite", tmp_path)
    result = evaluate_model(model, unrolled, tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == result
