import numpy as np
import pytest

from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.differences import paired_differences
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.metrics.repeats import mean_differences, mean_figures
from iris_tf.support.errors import EvaluationError


@pytest.fixture
def evaluations(population):
    """Of three models on the same images."""
    embeddings, rows = population(12, 4, noise=1.2)

    def noisy(seed):
        noise = np.random.default_rng(seed).normal(size=embeddings.shape)
        vectors = embeddings + 0.3 * noise
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return [
        evaluate_embeddings(noisy(seed), rows, resamples=60, matcher=Matcher()) for seed in range(3)
    ]


def test_figures_are_means_and_intervals_those_of_the_mean_of_each_resample(evaluations):
    found = mean_figures(evaluations)["eer"]
    each = [one.metrics.values["eer"] for one in evaluations]
    assert found.each == each
    assert found.value == pytest.approx(sum(each) / 3)
    samples = [sum(one.samples["eer"][i] for one in evaluations) / 3 for i in range(60)]
    assert found.interval == pytest.approx(np.quantile(samples, [0.05, 0.95]))


def test_one_training_has_its_own_figures_and_differences(evaluations):
    first, second, _ = evaluations
    found = mean_figures([first])["eer"]
    assert (found.value, found.interval) == (
        first.metrics.values["eer"],
        list(first.metrics.bounds("eer")),
    )
    assert mean_differences([first], [second]) == paired_differences(first, second)


def test_differences_are_those_of_means_resample_by_resample(evaluations):
    teacher, *students = evaluations
    found = mean_differences(students, [teacher])["eer"]
    wanted = teacher.metrics.values["eer"] - sum(s.metrics.values["eer"] for s in students) / 2
    assert found.difference == pytest.approx(wanted)
    samples = [
        teacher.samples["eer"][i] - sum(s.samples["eer"][i] for s in students) / 2
        for i in range(60)
    ]
    low, high = np.quantile(samples, [0.05, 0.95])
    assert found.interval == pytest.approx([low, high])
    assert found.significant == (low > 0 or high < 0)


def test_a_figure_that_one_training_lacks_has_no_mean(population):
    embeddings, rows = population(5, 4)
    one = evaluate_embeddings(embeddings, rows, resamples=20, matcher=Matcher())
    constant = evaluate_embeddings(
        np.tile([0.6, 0.8], (40, 1)), rows, resamples=20, matcher=Matcher()
    )
    assert set(mean_figures([one])) - set(mean_figures([one, constant])) == {"d_prime"}


def test_without_resamples_there_are_no_intervals(population):
    one = evaluate_embeddings(*population(5, 4), resamples=0, matcher=Matcher())
    assert mean_figures([one, one])["eer"].interval is None
    assert mean_differences([one], [one]) == {}


def test_trainings_on_other_images_are_refused(population, evaluations):
    other = evaluate_embeddings(*population(5, 3), resamples=60, matcher=Matcher())
    with pytest.raises(EvaluationError, match="same images and resamples"):
        mean_figures([evaluations[0], other])
    with pytest.raises(EvaluationError, match="same images and resamples"):
        mean_differences(evaluations[:1], [other])
