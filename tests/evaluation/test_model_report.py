import json
import shutil

import pytest

from iris_tf.evaluation.evaluate import evaluate_embeddings
from iris_tf.evaluation.model_report import report_rows, write_model_report
from iris_tf.inference.model_card import CARD_NAME


@pytest.fixture
def result(population):
    """What a model of 48 images gives, and a baseline that could use 46 of them."""
    embeddings, rows = population(6, 4)
    kept = list(range(1, 47))
    return {
        "model": {"file": "small_float16.tflite", "sha256": "0", "bytes": 3 * 2**20},
        "split": "test",
        "evaluation": evaluate_embeddings(embeddings, rows, resamples=10),
        "machine": {"cpu": "a processor"},
        "baselines": [
            {
                "name": "IrisCode",
                "library": "Open-Iris 1.11.2",
                "segmenter": "open-iris",
                "segmenter_version": "1",
                "templates": 46,
                "failures": {"low_quality": 2},
                "errors": {"SharpnessEstimationError": 2},
                "evaluation": evaluate_embeddings(
                    -embeddings[kept], [rows[i] for i in kept], resamples=10
                ),
                "model_evaluation": evaluate_embeddings(
                    embeddings[kept], [rows[i] for i in kept], resamples=10
                ),
            }
        ],
    }


@pytest.fixture
def page(small_dataset, tmp_path):
    def page(result, **settings):
        shutil.copy(small_dataset / "manifest.csv", tmp_path)
        description = json.loads((small_dataset / "dataset.json").read_text())
        description["settings"] |= settings
        (tmp_path / "dataset.json").write_text(json.dumps(description))
        write_model_report(
            tmp_path / "report.html", result, tmp_path / "model.tflite", tmp_path / "manifest.csv"
        )
        return (tmp_path / "report.html").read_text()

    return page


def test_lines_of_model_and_baseline(result):
    baseline = result["baselines"][0]
    model, paired, other = report_rows(result, "float16")
    assert (model.model, model.precision, model.bytes) == (
        "small_float16.tflite", "float16", 3 * 2**20,
    )  # fmt: skip
    assert model.evaluation is result["evaluation"]
    assert paired.model == "small_float16.tflite, on the images of IrisCode"
    assert paired.evaluation is baseline["model_evaluation"]
    assert (other.model, other.precision, other.bytes) == (
        "IrisCode (Open-Iris 1.11.2)", "", None,
    )  # fmt: skip
    assert other.evaluation is baseline["evaluation"]


def test_without_failures_one_line_of_the_model_is_enough(result):
    result["baselines"][0]["templates"] = 48
    assert [row.model for row in report_rows(result)] == [
        "small_float16.tflite", "IrisCode (Open-Iris 1.11.2)",
    ]  # fmt: skip


def test_the_page_says_what_was_compared(page, result):
    text = page(result)
    assert "Evaluation of small_float16.tflite" in text
    assert "Synthetic eyes, test split" in text
    assert "made no template of 2 of 48 images (SharpnessEstimationError 2)" in text
    assert "stock parameters, on the masks of the segmenter &#x27;open-iris&#x27;" in text
    assert "was trained partly on" not in text


def test_the_page_says_where_open_iris_had_seen_the_eyes(page, result):
    text = page(result, synthetic=False, layout="casia-thousand")
    assert "casia-thousand, test split" in text
    assert "was trained partly on CASIA-Iris-Thousand" in text


def test_nothing_is_said_about_a_baseline_that_is_not_there(page, result):
    result["baselines"] = []
    assert "IrisCode" not in page(result)


def test_precision_comes_from_the_card(exported, small_dataset, result, tmp_path):
    for name in ("manifest.csv", "dataset.json"):
        shutil.copy(small_dataset / name, tmp_path)
    model = exported / "mobile_float16.tflite"
    assert (exported / CARD_NAME).is_file()
    write_model_report(tmp_path / "a.html", result, model, tmp_path / "manifest.csv")
    assert '<td data-label="precision" class="left">float16</td>' in (
        tmp_path / "a.html"
    ).read_text()


def test_a_manifest_alone_gives_no_page(small_dataset, result, tmp_path):
    shutil.copy(small_dataset / "manifest.csv", tmp_path)
    write_model_report(
        tmp_path / "report.html", result, tmp_path / "m.tflite", tmp_path / "manifest.csv"
    )
    assert not (tmp_path / "report.html").exists()
