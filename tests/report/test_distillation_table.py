from dataclasses import replace

from iris_tf.metrics.differences import Difference
from iris_tf.metrics.fold_accuracy import FoldFigures
from iris_tf.metrics.repeats import MeanFigure
from iris_tf.report.distillation_table import DistilledModel, distillation_table


def model(eers, bounds=None, difference=None, distance=None, alignment=None):
    eer = sum(eers) / len(eers)
    figures = {
        "eer": MeanFigure(eer, bounds, eers),
        "auc": MeanFigure(0.99, None, [0.99] * len(eers)),
    }
    differences = {"eer": difference} if difference else {}
    return DistilledModel(figures, differences, distance, alignment)


def test_each_model_has_a_row_with_its_difference_and_distance():
    lower = Difference(-0.006, [-0.009, -0.002], True)
    results = {
        "plain": model([0.031], [0.02, 0.04]),
        "teacher": model([0.01]),
        "afl": model([0.025], [0.02, 0.03], lower, 0.1234, 0.4561),
    }
    table = distillation_table(results, "made figures")
    assert "trainings" not in table
    lines = table.splitlines()
    assert "measured on made figures" in lines[0]
    assert lines[4].startswith("| plain | 3.10 (2.00 to 4.00) | – | 99.00 | – |")
    assert lines[5].startswith("| teacher | 1.00 |")
    assert lines[6].startswith("| afl | 2.50 (2.00 to 3.00) | – | 99.00 | -0.60 (-0.90 to -0.20) |")
    assert lines[6].endswith("| 0.123 | 0.456 |")
    assert lines[5].endswith("| – | – |")
    assert "folds" not in table


def test_folds_have_a_table_of_their_own():
    def folds(accuracy):
        return FoldFigures([accuracy, accuracy], [0.3, 0.3], accuracy, 0.0052, 0.12, 0.23, 0.8, 0.9)

    models = {
        "plain": replace(model([0.03]), folds=folds(0.8333)),
        "x.keras": model([0.01]),
        "afl": replace(model([0.02]), folds=folds(0.85), accuracy_difference=(0.0167, 0.003)),
    }
    table = distillation_table(models, "made figures")
    lines = table[table.index("| model | accuracy") :].splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|")
    assert lines[0].endswith("| F1, % | FAR, % | FRR, % |")
    assert lines[2] == "| plain | 83.33 ± 0.52 | – | 80.00 | 12.00 | 23.00 |"
    assert lines[3] == "| afl | 85.00 ± 0.52 | +1.67 ± 0.30 | 80.00 | 12.00 | 23.00 |"
    assert "Means over 2 folds" in lines[5]


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
