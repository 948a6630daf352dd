from dataclasses import replace

from results_by_hand import result_of

from iris_tf.metrics.differences import Difference
from iris_tf.report.distillation_table import distillation_table


def model(eer, bounds=None, difference=None):
    intervals = None if bounds is None else {"bounds": {"eer": bounds}}
    content = {
        "evaluation": {"metrics": {"eer": eer, "auc": 0.99}, "intervals": intervals},
        "model": {},
        "generalised": None,
        "slices": {},
    }
    found = result_of(content).first
    return replace(found, differences={"eer": difference} if difference else {})


def test_each_model_has_a_row_with_its_difference_and_distance():
    results = {
        "plain": model(0.031, [0.02, 0.04]),
        "teacher": model(0.01),
        "afl": model(0.025, [0.02, 0.03], Difference(-0.006, [-0.009, -0.002], True)),
    }
    table = distillation_table(results, {"afl": 0.1234}, "made figures")
    lines = table.splitlines()
    assert "measured on made figures" in lines[0]
    assert lines[4].startswith("| plain | 3.10 (2.00 to 4.00) | – | 99.00 | – |")
    assert lines[5].startswith("| teacher | 1.00 |")
    assert lines[6].startswith("| afl | 2.50 (2.00 to 3.00) | – | 99.00 | -0.60 (-0.90 to -0.20) |")
    assert lines[6].endswith("| 0.123 |")
    assert lines[5].endswith("| – |")


def test_the_papers_figures_stand_beside_with_their_data_and_contradictions():
    table = distillation_table({"plain": model(0.03)}, {}, "x")
    assert "| AFL-KD | AFL-KD, LFW with ArcFace's protocol | 97.00 |" in table
    assert (
        "| hybrid, MobileFaceNet | Remma et al., LFW | 90.40 | – | 0.87 | 18.33 | 18.66 |" in table
    )
    assert "hybrid, MobileFaceNet contradict each other. The EER of 18.66 % lies outside" in table
    assert table.count("contradict each other") == 1
