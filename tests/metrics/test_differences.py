import numpy as np
import pytest

from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.differences import Difference, paired_differences
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings
from iris_tf.support.errors import EvaluationError


def noisier(embeddings, noise):
    vectors = embeddings + noise * np.random.default_rng(1).normal(size=embeddings.shape)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_difference_of_the_same_resamples(population):
    embeddings, rows = population(15, 4, noise=1.0)
    good = evaluate_embeddings(embeddings, rows, resamples=60, matcher=Matcher())
    bad = evaluate_embeddings(noisier(embeddings, 0.5), rows, resamples=60, matcher=Matcher())
    found = paired_differences(good, bad)
    assert set(found) == set(good.samples)
    for name, difference in found.items():
        wanted = bad.metrics.values[name] - good.metrics.values[name]
        assert difference.difference == pytest.approx(wanted)
        low, high = np.quantile(bad.samples[name] - good.samples[name], [0.05, 0.95])
        assert difference.interval == pytest.approx([low, high])
        assert difference.significant == (low > 0 or high < 0)
    assert found["eer"].difference > 0
    assert found["eer"].significant


def test_pairs_are_narrower_than_two_intervals(population):
    embeddings, rows = population(15, 4, noise=1.5)
    first = evaluate_embeddings(embeddings, rows, resamples=60, matcher=Matcher())
    second = evaluate_embeddings(noisier(embeddings, 0.02), rows, resamples=60, matcher=Matcher())
    low, high = paired_differences(first, second)["eer"].interval
    alone = first.metrics.bounds("eer")
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_a_model_against_itself(population):
    one = evaluate_embeddings(*population(5, 4), resamples=20, matcher=Matcher())
    for difference in paired_differences(one, one).values():
        assert difference == Difference(0.0, [0.0, 0.0], False)


def test_a_model_whose_scores_do_not_vary_has_no_difference_of_d_prime(population):
    embeddings, rows = population(5, 4)
    one = evaluate_embeddings(embeddings, rows, resamples=20, matcher=Matcher())
    constant = evaluate_embeddings(
        np.tile([0.6, 0.8], (40, 1)), rows, resamples=20, matcher=Matcher()
    )
    found = paired_differences(one, constant)
    assert set(found) == set(one.samples) - {"d_prime"}
    assert found["auc"].difference == 0.5 - one.metrics.values["auc"]


def test_other_images_or_resamples_are_refused(population):
    one = evaluate_embeddings(*population(5, 4), resamples=20, matcher=Matcher())
    for other in (
        evaluate_embeddings(*population(5, 3), resamples=20, matcher=Matcher()),
        evaluate_embeddings(*population(5, 4), resamples=10, matcher=Matcher()),
    ):
        with pytest.raises(EvaluationError, match="same images and resamples"):
            paired_differences(one, other)
