import json
import shutil

import numpy as np
import pytest

from iris_tf.evaluation.differences import paired_differences
from iris_tf.evaluation.evaluate import (
    evaluate_embeddings,
    evaluation_of_embeddings,
    evaluation_of_pairs,
)
from iris_tf.evaluation.model_report import report_rows, write_model_report


@pytest.fixture
def result(population):
    """What a model of 48 images gives, and a baseline that could use 46 of them."""
    embeddings, rows = population(6, 4)
    kept = list(range(1, 47))
    return {
        "model": {
            "name": "small_float16.tflite", "file": "small_float16.tflite",
            "precision": "float16", "sha256": "0", "bytes": 3 * 2**20,
        },
        "generalised": None,
        "others": [],
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
            tmp_path / "report.html", result, tmp_path / "manifest.csv"
        )
        return (tmp_path / "report.html").read_text()

    return page


def test_lines_of_model_and_baseline(result):
    baseline = result["baselines"][0]
    model, paired, other = report_rows(result)
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


def test_another_model_is_one_more_line_with_its_difference(page, result, population):
    embeddings, rows = population(6, 4)
    worse = embeddings + 0.8 * np.random.default_rng(0).normal(size=embeddings.shape)
    worse /= np.linalg.norm(worse, axis=1, keepdims=True)
    first, second = (
        evaluation_of_embeddings(vectors, rows, resamples=20) for vectors in (embeddings, worse)
    )
    result["baselines"] = []
    result["evaluation"] = first.result
    failed = {
        "failures": {"occluded": 3}, "failure_rate": 0.0312,
        "points": {"eer": {"gfrr": 0.1234, "gfar": 0.0567}},
    }  # fmt: skip
    result["others"] = [
        {
            "model": result["model"] | {"name": "large_int8.tflite", "precision": "int8"},
            "evaluation": second.result,
            "generalised": failed,
            "differences": paired_differences(first, second),
        }
    ]
    assert [(row.model, row.precision) for row in report_rows(result)] == [
        ("small_float16.tflite", "float16"), ("large_int8.tflite", "int8"),
    ]  # fmt: skip
    text = page(result)
    assert "Evaluation of small_float16.tflite, large_int8.tflite" in text
    difference = 100 * (second.result["metrics"]["eer"] - first.result["metrics"]["eer"])
    assert f"{difference:+.2f} percentage points" in text
    assert "small_float16.tflite is better." in text
    assert "(3.12 % of the images): at its EER threshold GFRR 12.34 % and GFAR 5.67 %" in text
    assert "No FNMR is given at FMR 1e-2, 1e-3, 1e-4, 1e-5: by the rule of 30" in text


def test_a_page_of_listed_pairs_has_no_identification(page, result, population):
    embeddings, rows = population(6, 4)
    pairs = np.array([(i, j) for i in range(48) for j in range(i)])
    same = np.array([rows[i].identity == rows[j].identity for i, j in pairs])
    result["baselines"] = []
    result["evaluation"] = evaluation_of_pairs(
        embeddings, rows, pairs[same], pairs[~same], resamples=10
    ).result
    text = page(result)
    assert "Only the listed comparisons were made" in text
    assert '<td data-label="CMC@1 (%)">–</td>' in text


def test_a_manifest_alone_gives_no_page(small_dataset, result, tmp_path):
    shutil.copy(small_dataset / "manifest.csv", tmp_path)
    write_model_report(
        tmp_path / "report.html", result, tmp_path / "manifest.csv"
    )
    assert not (tmp_path / "report.html").exists()
