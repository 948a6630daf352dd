import dataclasses
import json
import shutil

import numpy as np
import pytest
from results_by_hand import result_of

from iris_tf.data.manifest import read_manifest
from iris_tf.evaluation.prepared_sets import read_prepared_sets
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.differences import paired_differences
from iris_tf.metrics.evaluate_embeddings import (
    evaluate_embeddings,
    evaluate_pairs,
)
from iris_tf.report import model_report, report_figures
from iris_tf.report.model_report import conclusion, report_rows, write_model_report

SPACE = "\N{NO-BREAK SPACE}"


def figures(embeddings, rows, resamples=10):
    """The figures of embeddings as they are written."""
    return evaluate_embeddings(embeddings, rows, resamples, matcher=Matcher()).metrics.to_json()


@pytest.fixture
def known(population, small_dataset):
    """Embeddings of 48 images that the small dataset has, though of other eyes."""
    embeddings, rows = population(6, 4)
    images = [row.image for row in read_manifest(small_dataset / "manifest.csv")]
    return embeddings, [
        dataclasses.replace(row, image=image) for row, image in zip(rows, images, strict=False)
    ]


@pytest.fixture
def result(known):
    """What a model of 48 images gives, and a baseline that could use 46 of them."""
    embeddings, rows = known
    kept = list(range(1, 47))
    return {
        "model": {
            "name": "small_float16.tflite",
            "file": "small_float16.tflite",
            "precision": "float16",
            "sha256": "0",
            "bytes": 3 * 2**20,
            "parameters": 1_500_000,
            "macs": None,
            "latency": None,
        },
        "generalised": None,
        "slices": {"eye": {}, "dataset": {}, "dilation": None, "quality": {}},
        "others": [],
        "split": "test",
        "evaluation": figures(embeddings, rows),
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
                "generalised": {
                    "failures": {"low_quality": 2},
                    "failure_rate": 2 / 48,
                    "points": {"eer": {"gfrr": 0.3456, "gfar": 0.0321}},
                },
                "evaluation": figures(-embeddings[kept], [rows[i] for i in kept]),
                "model_evaluation": figures(embeddings[kept], [rows[i] for i in kept]),
            }
        ],
    }


@pytest.fixture
def page(small_dataset, tmp_path):
    def page(result, **settings):
        shutil.copy(small_dataset / "manifest.csv", tmp_path)
        shutil.copytree(small_dataset / "roi", tmp_path / "roi")
        description = json.loads((small_dataset / "dataset.json").read_text())
        description["settings"] |= settings
        (tmp_path / "dataset.json").write_text(json.dumps(description))
        write_model_report(
            tmp_path / "report.html",
            result_of(result),
            read_prepared_sets([tmp_path / "manifest.csv"]),
        )
        return (tmp_path / "report.html").read_text()

    return page


def test_lines_of_model_and_baseline(result):
    baseline = result["baselines"][0]
    model, paired, other = report_rows(result_of(result))
    assert (model.model, model.precision, model.bytes) == (
        "small_float16.tflite", "float16", 3 * 2**20,
    )  # fmt: skip
    assert model.metrics.to_json() == result["evaluation"]
    assert paired.model == "small_float16.tflite, on the images of IrisCode"
    assert paired.metrics.to_json() == baseline["model_evaluation"]
    assert (other.model, other.precision, other.bytes) == (
        "IrisCode (Open-Iris 1.11.2)", "", None,
    )  # fmt: skip
    assert other.metrics.to_json() == baseline["evaluation"]
    assert other.generalised == baseline["generalised"]


def test_without_failures_one_line_of_the_model_is_enough(result):
    result["baselines"][0]["templates"] = 48
    assert [row.model for row in report_rows(result_of(result))] == [
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


def test_worst_pairs_of_colour_crops_are_in_colour(result, page, monkeypatch):
    shown = []
    monkeypatch.setattr(report_figures, "small_jpeg", lambda crop: shown.append(crop) or b"")
    monkeypatch.setattr(
        model_report, "read_crop", lambda file, channels: np.zeros((16, 16, channels), np.uint8)
    )
    page(result, channels=3)
    assert {crop.shape for crop in shown} == {(16, 16, 3)}


def test_a_dataset_of_ones_own_is_called_by_its_folder(page, result):
    assert "mine, test split" in page(result, synthetic=False, layout="folder", images="/mine")


def test_nothing_is_said_about_a_baseline_that_is_not_there(page, result):
    result["baselines"] = []
    assert "IrisCode" not in page(result)


def test_another_model_is_one_more_line_with_its_difference(page, result, known):
    embeddings, rows = known
    worse = embeddings + 0.8 * np.random.default_rng(0).normal(size=embeddings.shape)
    worse /= np.linalg.norm(worse, axis=1, keepdims=True)
    first, second = (
        evaluate_embeddings(vectors, rows, resamples=20, matcher=Matcher())
        for vectors in (embeddings, worse)
    )
    result["baselines"] = []
    result["evaluation"] = first.metrics.to_json()
    failed = {
        "failures": {"occluded": 3}, "failure_rate": 0.0312,
        "points": {"eer": {"gfrr": 0.1234, "gfar": 0.0567}},
    }  # fmt: skip
    result["others"] = [
        {
            "model": result["model"] | {"name": "large_int8.tflite", "precision": "int8"},
            "evaluation": second.metrics.to_json(),
            "generalised": failed,
            "slices": result["slices"],
            "differences": {
                name: dataclasses.asdict(found)
                for name, found in paired_differences(first, second).items()
            },
        }
    ]
    assert [(row.model, row.precision) for row in report_rows(result_of(result))] == [
        ("small_float16.tflite", "float16"), ("large_int8.tflite", "int8"),
    ]  # fmt: skip
    text = page(result)
    assert "Evaluation of small_float16.tflite, large_int8.tflite" in text
    rates = [each.metrics.eer for each in (first, second)]
    assert (
        f"small_float16.tflite is better than large_int8.tflite: EER {100 * rates[0]:.2f}{SPACE}% "
        f"against {100 * rates[1]:.2f}{SPACE}%, {100 * (rates[1] - rates[0]):.2f} percentage points"
        " less (90"
    ) in text
    assert f">{100 * (rates[1] - rates[0]):+.2f}</td>" in text
    assert ">12.34</td>" in text  # GFRR
    assert ">5.67</td>" in text
    assert ">1.500</td>" in text  # million parameters
    # Ten genuine and ten impostor pairs of both.
    assert text.count("data:image/jpeg") == 2 * 2 * 10 * 2
    first, second, score = result["evaluation"]["worst"]["impostor"][0]
    assert f"<b>{score:.4f}</b> {first} and {second}" in text


def against(eer, difference, interval):
    """An evaluation's part that the verdict reads, of a model with this difference."""
    significant = interval is not None and not interval[0] <= 0 <= interval[1]
    found = {"difference": difference, "interval": interval, "significant": significant}
    return {
        "model": {"name": f"model {eer}"},
        "evaluation": {"metrics": {"eer": eer}},
        "differences": {"eer": found},
    }


@pytest.mark.parametrize(
    ("eer", "interval", "sentence"),
    [
        (
            0.15,
            [0.02, 0.07],
            "first is better than model 0.15: EER 10.00_% against 15.00_%, 5.00 percentage "
            "points less (90_% interval 2.00 to 7.00, the same subjects drawn for both).",
        ),
        (
            0.07,
            [-0.05, -0.01],
            "model 0.07 is better than first: EER 7.00_% against 10.00_%, 3.00 percentage "
            "points less (90_% interval 1.00 to 5.00, the same subjects drawn for both).",
        ),
        (
            0.09,
            [-0.03, 0.02],
            "No significant difference between model 0.09 and first: EER 9.00_% against "
            "10.00_%, 1.00 percentage points apart (90_% interval -2.00 to 3.00, the same subjects "
            "drawn for both).",
        ),
        (
            0.11,
            None,
            "first and model 0.11: EER 10.00_% against 11.00_%; the images allow no interval "
            "of the difference.",
        ),
    ],
)
def test_the_verdict_on_two_models(eer, interval, sentence):
    result = {
        "model": {"name": "first"},
        "evaluation": {"metrics": {"eer": 0.1}},
        "baselines": [],
        "others": [against(eer, eer - 0.1, interval)],
    }
    assert conclusion(result_of(result)) == sentence.replace("_", SPACE)
    result["others"].append(against(0.2, 0.1, [0.05, 0.2]))
    assert conclusion(result_of(result)).startswith(
        f"Lowest EER: {'first' if eer > 0.1 else f'model {eer}'}."
    )
    assert "first is better than model 0.2: EER 10.00" in conclusion(result_of(result))


def test_the_verdict_on_one_model():
    result = {
        "model": {"name": "only"}, "others": [],
        "evaluation": {
            "metrics": {"eer": 0.1, "fnmr_fmr_1e-2": 0.2, "fnmr_fmr_1e-3": 0.3, "cmc_1": 0.95},
            "operating_points": {
                "fmr_1e-2": {"supported": True}, "fmr_1e-3": {"supported": True},
                "fmr_1e-4": {"supported": False},
            },
            "intervals": {"bounds": {"eer": [0.09, 0.12], "cmc_1": None}},
        },
        "baselines": [{
            "name": "IrisCode", "evaluation": {"metrics": {"eer": 0.02}},
            "model_evaluation": {"metrics": {"eer": 0.08}},
        }],
    }  # fmt: skip
    assert conclusion(result_of(result)) == (
        "only: EER 10.00_% (90_% CI 9.00–12.00), FNMR 30.00_% at FMR 1e-3, rank-1 "
        "identification rate 95.00_%. On the same images, IrisCode has an EER of 2.00_% and only "
        "of 8.00_%."
    ).replace("_", SPACE)


def test_models_without_resamples_have_no_table_of_differences(page, result, known):
    evaluation = figures(*known, resamples=0)
    other = {"evaluation": evaluation, "differences": {}}
    result |= {"baselines": [], "evaluation": evaluation}
    names = ("model", "generalised", "slices")
    result["others"] = [{name: result[name] for name in names} | other]
    text = page(result)
    assert "the images allow no interval" in text
    assert 'aria-label="Differences"' not in text


def test_a_page_of_listed_pairs_has_no_identification(page, result, known):
    embeddings, rows = known
    pairs = np.array([(i, j) for i in range(48) for j in range(i)])
    same = np.array([rows[i].identity == rows[j].identity for i, j in pairs])
    result["baselines"] = []
    result["evaluation"] = evaluate_pairs(
        embeddings, rows, pairs[same], pairs[~same], resamples=10, matcher=Matcher()
    ).metrics.to_json()
    text = page(result)
    assert "Only the listed comparisons were made" in text
    assert '<td data-label="CMC@1 (%)">–</td>' in text


def test_a_manifest_alone_gives_no_page(small_dataset, result, tmp_path):
    shutil.copy(small_dataset / "manifest.csv", tmp_path)
    sets = read_prepared_sets([tmp_path / "manifest.csv"])
    write_model_report(tmp_path / "report.html", result_of(result), sets)
    assert not (tmp_path / "report.html").exists()
