from iris_tf.metrics.differences import Difference
from iris_tf.metrics.repeats import MeanFigure
from iris_tf.report.distillation_table import DistilledModel, distillation_table


def model(eers, bounds=None, difference=None, distance=None):
    eer = sum(eers) / len(eers)
    figures = {
        "eer": MeanFigure(eer, bounds, eers),
        "auc": MeanFigure(0.99, None, [0.99] * len(eers)),
    }
    return DistilledModel(figures, {"eer": difference} if difference else {}, distance)


def test_each_model_has_a_row_with_its_difference_and_distance():
    results = {
        "plain": model([0.031], [0.02, 0.04]),
        "teacher": model([0.01]),
        "afl": model([0.025], [0.02, 0.03], Difference(-0.006, [-0.009, -0.002], True), 0.1234),
    }
    table = distillation_table(results, "made figures")
    assert "trainings" not in table
    lines = table.splitlines()
    assert "measured on made figures" in lines[0]
    assert lines[4].startswith("| plain | 3.10 (2.00 to 4.00) | – | 99.00 | – |")
    assert lines[5].startswith("| teacher | 1.00 |")
    assert lines[6].startswith("| afl | 2.50 (2.00 to 3.00) | – | 99.00 | -0.60 (-0.90 to -0.20) |")
    assert lines[6].endswith("| 0.123 |")
    assert lines[5].endswith("| – |")


def test_repeated_trainings_have_their_mean_and_the_figure_of_each():
    models = {"plain": model([0.03, 0.04], [0.02, 0.05]), "teacher": model([0.01])}
    table = distillation_table(models, "made figures")
    lines = table.splitlines()
    assert lines[4].startswith("| plain | 3.50 (2.00 to 5.00) [3.00, 4.00] |")
    assert lines[5].startswith("| teacher | 1.00 |")
    assert "Means of 2 trainings" in table


def test_the_papers_figures_stand_beside_with_their_data_and_contradictions():
    table = distillation_table({"plain": model([0.03])}, "x")
    assert "| AFL-KD | AFL-KD, LFW with ArcFace's protocol | 97.00 |" in table
    assert (
        "| hybrid, MobileFaceNet | Remma et al., LFW | 90.40 | – | 0.87 | 18.33 | 18.66 |" in table
    )
    assert "hybrid, MobileFaceNet contradict each other. The EER of 18.66 % lies outside" in table
    assert table.count("contradict each other") == 1
