"""Printed lines, against lines written by hand."""

import pytest
from results_by_hand import result_of

from iris_tf.report.summary import summary

METRICS = {
    "eer": 0.01234, "vr_far_1e-2": 0.98765, "vr_far_1e-3": 0.9, "fnmr_fmr_1e-4": 0.25,
    "fnmr_fmr_1e-5": None, "auc": 0.998765, "d_prime": 4.56789, "cmc_1": 1.0, "cmc_5": 1.0,
    "fnir_fpir_1e-2": None,
}  # fmt: skip
BOUNDS = {
    "eer": [0.01, 0.02], "auc": [0.99712, 0.99951], "d_prime": [4.1, 5.0], "cmc_1": None,
    "cmc_5": [1.0, 1.0],
}  # fmt: skip


def entry(name="first.tflite", **metrics):
    return {
        "model": {"name": name, "latency": None},
        "evaluation": {
            "counts": {"images": 80, "identities": 20, "genuine_comparisons": 120,
                       "impostor_comparisons": 3040, "persons": 10},
            "metrics": METRICS | metrics,
            # 30.4 false matches are expected at 1 %, 3.04 at 0.1 %.
            "operating_points": {"fmr_1e-2": {"supported": True},
                                 "fmr_1e-3": {"supported": False}},
            "intervals": {"bounds": BOUNDS},
        },
        "generalised": None,
    }  # fmt: skip


@pytest.fixture
def result():
    return entry() | {"others": [], "baselines": []}


def test_one_model(result):
    result["model"]["latency"] = {
        "median": 4.478, "p95": 5.1, "runs": 50, "threads": 1, "runtime": "a runtime",
    }  # fmt: skip
    assert list(summary(result_of(result))) == [
        "80 images of 20 identities: 120 genuine, 3040 impostor comparisons",
        "EER             1.23 %  (90 % interval 1.00 to 2.00)",
        "VR@FAR=1%      98.77 %",
        "VR@FAR=0.1%    90.00 %  (too few impostor comparisons for certainty, by the rule of 30)",
        "FNMR@FMR=1e-4  25.00 %",
        "AUC           0.9988  (90 % interval 0.9971 to 0.9995)",
        "d'             4.568  (90 % interval 4.100 to 5.000)",
        "CMC@1         100.00 %",
        "CMC@5         100.00 %  (90 % interval 100.00 to 100.00)  "
        "(zero width: no resample of the 10 subjects differed)",
        "first.tflite: 4.48 ms per crop on one thread (p95 5.10 ms, 50 runs)",
    ]


def test_decisions_by_score(result):
    point = {"threshold": 3.0, "claimed_fmr": 1e-2, "fmr": 0.0125, "fnmr": 0.05,
             "false_matches": 38, "supported": True, "fmr_interval": [0.0075, 0.02],
             "fnmr_interval": [0.025, 0.075], "conclusive_fnmr": 0.02567}  # fmt: skip
    rare = point | {"claimed_fmr": 1e-4, "supported": False, "fmr_interval": None,
                    "fnmr_interval": None}  # fmt: skip
    result["evaluation"] |= {"compared_by": "score", "scores": {
        "conclusive_eer": 0.00412, "inconclusive_genuine": 0.025, "inconclusive_impostor": 0.00124,
        "points": {"fmr_1e-2": point, "fmr_1e-4": rare},
    }}  # fmt: skip
    lines = list(summary(result_of(result)))
    assert lines[0].endswith(" impostor comparisons by score")
    assert lines[1] == "EER             1.23 %  (90 % interval 1.00 to 2.00)"
    assert lines[-4:] == [
        "first.tflite: 2.50 % of the genuine and 0.12 % of the impostor comparisons are "
        "inconclusive and count as non-matches; EER without them 0.41 %",
        "first.tflite, at the operating points of its card:",
        "  fmr_1e-2: FMR 1.25 times the claim (90 % interval 0.75 to 2.00), FNMR 5.00 % (90 % "
        "interval 2.50 to 7.50), 2.57 % of conclusive comparisons alone",
        "  fmr_1e-4: FMR not known (too few impostor comparisons, by the rule of 30), FNMR 5.00 %, "
        "2.57 % of conclusive comparisons alone",
    ]
    points = {name: {"gfar": 0.0, "gfrr": 0.0612} for name in ("fmr_1e-2", "fmr_1e-4")}
    result["generalised"] = {"failures": {}, "points": {}, "card_points": points}
    result["others"] = [entry("second.tflite") | {"differences": {}}]
    lines = list(summary(result_of(result)))
    assert lines[1] == "Compared by score: first.tflite; by similarity: second.tflite"
    assert sum(line.endswith("alone, 6.12 % with failures to extract") for line in lines) == 2


def test_failures_to_extract(result):
    point = {"gfrr": 0.1234, "gfar": 0.0056}
    result["generalised"] = {"failures": {"occluded": 3, "no_iris": 1}, "points": {"eer": point}}
    assert (
        "with 4 failures to extract as non-matches, at the EER threshold: GFRR 12.34 %, GFAR 0.56 %"
    ) in summary(result_of(result))
    result["generalised"]["failures"] = {}
    assert not any("failures" in line for line in summary(result_of(result)))


def test_another_model_and_its_differences(result):
    differences = {
        "eer": {"difference": -0.00234, "interval": [-0.004, 0.001], "significant": False},
        "auc": {"difference": 0.000123, "interval": [0.0001, 0.0002], "significant": True},
        "cmc_1": {"difference": -0.01, "interval": None, "significant": False},
    }
    other = entry("second.tflite", eer=0.01, auc=0.998888, d_prime=None, cmc_1=0.99)
    result["others"] = [other | {"differences": differences}]
    lines = list(summary(result_of(result)))
    assert lines[1:3] == ["first.tflite:", "EER             1.23 %  (90 % interval 1.00 to 2.00)"]
    assert lines[10:] == [
        "second.tflite, and its difference to the first:",
        "EER             1.00 %  -0.23 (90 % interval -0.40 to +0.10)",
        "VR@FAR=1%      98.77 %",
        "VR@FAR=0.1%    90.00 %",
        "FNMR@FMR=1e-4  25.00 %",
        "AUC           0.9989  +0.0001 (90 % interval +0.0001 to +0.0002)",
        "CMC@1          99.00 %  -1.00",
        "CMC@5         100.00 %",
    ]


def test_a_baseline_has_the_model_on_its_images(result):
    evaluations = {
        "evaluation": {"metrics": METRICS | {"fnmr_fmr_1e-4": None}},
        "model_evaluation": {"metrics": METRICS | {"eer": 0.005, "d_prime": 5.0}},
    }
    result["baselines"] = [
        {"name": "IrisCode", "library": "Open-Iris 1", "templates": 78,
         "failures": {"low_quality": 2}, "generalised": {
             "failures": {"low_quality": 2}, "points": {"eer": {"gfrr": 0.5, "gfar": 0.25}},
         }} | evaluations
    ]  # fmt: skip
    lines = list(summary(result_of(result)))
    assert lines[-1] == (
        "with 2 failures to extract as non-matches, at the EER threshold: GFRR 50.00 %, "
        "GFAR 25.00 %"
    )
    assert lines[9:13] == [
        "IrisCode (Open-Iris 1): templates of 78 of 80 images",
        "  failed, low_quality: 2",
        "EER             1.23 %  (the model on the same images 0.50 %)",
        "VR@FAR=1%      98.77 %  (the model on the same images 98.77 %)",
    ]
    assert "d'             4.568  (the model on the same images 5.000)" in lines
    assert not any(line.startswith("FNMR@FMR=1e-4") for line in lines[9:])


def test_collapsed_embeddings_are_explained(result):
    """Scores that are all the same have no d'; nearly the same, they lie in the last bin."""
    result["evaluation"]["metrics"] |= {"eer": 0.5, "d_prime": None}
    curves = {
        "det": {"fmr": [], "fnmr": []}, "cmc": [],
        "histogram": {"edges": [0.96, 0.98, 1.0], "genuine": [0.0, 1.0], "impostor": [0.0, 1.0]},
    }  # fmt: skip
    other = entry("second.tflite", eer=0.44)
    other["evaluation"]["curves"] = curves
    able = entry("third.tflite", eer=0.2)  # an untrained network may be that narrow
    able["evaluation"]["curves"] = curves
    result["others"] = [other | {"differences": {}}, able | {"differences": {}}]
    [line] = [line for line in summary(result_of(result)) if "are the same" in line]
    assert line.startswith(
        "All scores of first.tflite and of second.tflite are the same: the embeddings have "
        "collapsed onto one point"
    )
    assert "batch normalisation" in line


def test_without_resamples_there_are_no_intervals(result):
    result["evaluation"]["intervals"] = None
    assert "EER             1.23 %" in summary(result_of(result))
