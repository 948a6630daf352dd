import json
import shutil

import pytest

from iris_tf.errors import EvaluationError, ModelError
from iris_tf.evaluation.model import evaluate_model
from iris_tf.machine import package_version


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


def test_an_unknown_baseline_is_refused(unrolled, exported, tmp_path):
    with pytest.raises(EvaluationError, match=r"'daugman' is unknown; choose one of iriscode"):
        evaluate_model(
            exported / "mobile_float32.tflite", unrolled, tmp_path, baseline="daugman"
        )


@pytest.mark.skipif(package_version("open-iris") is not None, reason="Open-Iris is installed")
def test_without_open_iris_a_baseline_is_one_sentence(run_cli, small_dataset, exported, tmp_path):
    status, _, err = run_cli(
        "evaluate", "--model", exported / "mobile_float32.tflite", "--out", tmp_path,
        "--manifest", small_dataset / "manifest.csv", "--baseline", "iriscode",
    )  # fmt: skip
    assert status == 2
    assert err == (
        "Error: The baseline IrisCode needs the library Open-Iris, which is not installed; "
        "install the package with its extra, iris_tf[open-iris].\n"
    )
    assert not list(tmp_path.iterdir())
