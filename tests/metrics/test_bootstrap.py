import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from iris_tf.metrics import bootstrap as bootstrap_module
from iris_tf.metrics.bootstrap import (
    percentile_interval,
    resample_verification,
    subject_weights,
)
from iris_tf.metrics.comparison_sets import AllPairs
from iris_tf.metrics.counts import count_scores
from iris_tf.metrics.identification import closed_set_ranks, resample_cmc
from iris_tf.metrics.scales import KEYS, SIMILARITIES
from iris_tf.metrics.scores import label_images, similarity_blocks
from iris_tf.metrics.verification import (
    area_under_roc,
    curve_of_counts,
    eer_of_curve,
    equal_error_rate,
    verification_rate,
    vr_of_curve,
)
from iris_tf.support.errors import EvaluationError

FARS = (0.01, 0.1)


def resample(embeddings, labels, weights, fars=FARS):
    def blocks():
        return similarity_blocks(embeddings)

    compared = AllPairs(labels, count_scores(blocks(), labels), blocks)
    return resample_verification(compared, weights, fars)


def people_drawn(weights):
    """(person, copy) of each drawn person: one drawn twice is two people."""
    return [(person, copy) for person, count in enumerate(weights) for copy in range(count)]


def resampled_scores(embeddings, labels, weights):
    """Genuine and impostor scores of the resample, each image of each copy one by one."""
    unit = embeddings.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    matrix = SIMILARITIES.rounded((unit @ unit.T).astype(np.float32))
    images = [
        (person, copy, i)
        for person, copy in people_drawn(weights)
        for i in np.flatnonzero(labels.subject == person)
    ]
    genuine, impostor = [], []
    for first, (p, c, i) in enumerate(images):
        for q, d, j in images[first + 1 :]:
            if p == q and c != d:
                continue  # copies of one person are not compared
            if labels.group[i] != labels.group[j]:
                continue
            same = labels.identity[i] == labels.identity[j]
            (genuine if same else impostor).append(matrix[i, j])
    return np.array(genuine), np.array(impostor)


def scikit_learn_auc(genuine, impostor):
    truth = np.arange(len(genuine) + len(impostor)) < len(genuine)
    return roc_auc_score(truth, np.concatenate([genuine, impostor]))


def assert_equals_resampling_one_by_one(embeddings, labels, weights, found):
    for r, drawn in enumerate(weights):
        genuine, impostor = resampled_scores(embeddings, labels, drawn)
        if not (len(genuine) and len(impostor)):
            assert np.isnan(found.eer[r]) and np.isnan(found.auc[r])
            continue
        assert found.eer[r] == pytest.approx(equal_error_rate(genuine, impostor).rate)
        assert found.auc[r] == pytest.approx(scikit_learn_auc(genuine, impostor), abs=1e-12)
        for f, far in enumerate(FARS):
            assert found.vr[f, r] == pytest.approx(verification_rate(genuine, impostor, far).rate)


@pytest.mark.parametrize("protocol", ["all-pairs", "same-eye"])
@pytest.mark.parametrize("floats", [1, 1 << 23])
@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
def test_verification_equals_resampling_one_by_one(
    population, monkeypatch, floats, rounded, protocol
):
    embeddings, rows = population(6, 3, noise=1.5, size=4)
    if rounded:  # vectors from a coarse set, so that many scores are tied
        embeddings = np.sign(embeddings) / 2
    labels = label_images(rows, protocol)
    weights = subject_weights(6, 25, seed=4)
    monkeypatch.setattr(bootstrap_module, "_FLOATS_PER_BLOCK", floats)
    found = resample(embeddings, labels, weights)
    assert found.exact
    assert_equals_resampling_one_by_one(embeddings, labels, weights, found)


@pytest.mark.parametrize("noise", [0.4, 1.5, 20.0])
def test_low_scores_need_not_be_held(population, monkeypatch, noise):
    embeddings, rows = population(8, 3, noise=noise)
    embeddings, rows = embeddings[:-5], rows[:-5]  # persons differ in number of images
    labels = label_images(rows)
    weights = subject_weights(8, 40, seed=2)
    monkeypatch.setattr(bootstrap_module, "_FEW", 0)
    shares = []
    table = bootstrap_module._table

    def watched(*arguments):
        shares.append(arguments[1])
        return table(*arguments)

    monkeypatch.setattr(bootstrap_module, "_table", watched)
    found = resample(embeddings, labels, weights)
    assert shares[0] == pytest.approx(0.15)
    assert (len(shares) > 1) == (noise > 1)
    assert_equals_resampling_one_by_one(embeddings, labels, weights, found)


def test_some_stand_for_all_where_there_are_too_many_to_hold(population, monkeypatch):
    embeddings, rows = population(60, 4, noise=1.5)
    labels = label_images(rows)
    weights = subject_weights(60, 50, seed=2)
    wanted = resample(embeddings, labels, weights)
    monkeypatch.setattr(bootstrap_module, "_FEW", 0)
    monkeypatch.setattr(bootstrap_module, "_MAX_ENTRIES", 40_000)  # of 114,240 impostors
    found = resample(embeddings, labels, weights)
    assert wanted.exact
    assert not found.exact
    np.testing.assert_allclose(found.eer, wanted.eer, atol=5e-3)
    np.testing.assert_allclose(found.auc, wanted.auc, atol=5e-3)
    assert found.eer.mean() == pytest.approx(wanted.eer.mean(), abs=2e-3)
    np.testing.assert_array_equal(found.vr, wanted.vr)


def test_too_many_genuine_scores_are_taken_together(population, monkeypatch):
    embeddings, rows = population(30, 4, noise=1.5)
    labels = label_images(rows)
    weights = subject_weights(30, 50, seed=2)
    wanted = resample(embeddings, labels, weights)
    monkeypatch.setattr(bootstrap_module, "_MAX_LEVELS", 200)  # of 360
    found = resample(embeddings, labels, weights)
    assert not found.exact
    np.testing.assert_allclose(found.eer, wanted.eer, atol=5e-3)
    np.testing.assert_allclose(found.auc, wanted.auc, atol=5e-3)


def test_of_low_scores_some_stand_for_all_in_the_area(population, monkeypatch):
    embeddings, rows = population(60, 4, noise=1.2)
    labels = label_images(rows)
    weights = subject_weights(60, 50, seed=2)
    wanted = resample(embeddings, labels, weights)  # holds every score
    monkeypatch.setattr(bootstrap_module, "_FEW", 0)
    monkeypatch.setattr(bootstrap_module, "_MAX_LOW_ENTRIES", 10_000)
    found = resample(embeddings, labels, weights)
    np.testing.assert_array_equal(found.eer, wanted.eer)
    assert (found.auc != wanted.auc).any()
    low, high = percentile_interval(wanted.auc, 0.9)
    np.testing.assert_allclose(found.auc, wanted.auc, atol=0.05 * (high - low))


def test_everybody_once_is_the_estimate_itself(population):
    embeddings, rows = population(5, 4)
    labels = label_images(rows)
    curve = curve_of_counts(count_scores(similarity_blocks(embeddings), labels).counts)
    ranks = closed_set_ranks(similarity_blocks(embeddings), labels)
    once = np.ones((1, 5), int)
    found = resample(embeddings, labels, once)
    assert found.eer[0] == pytest.approx(eer_of_curve(curve).rate)
    assert found.auc[0] == pytest.approx(area_under_roc(curve))
    assert found.vr[1, 0] == pytest.approx(vr_of_curve(curve, 0.1).rate)
    assert resample_cmc(ranks, labels, once, (1, 3))[:, 0] == pytest.approx(
        [(ranks.ranks <= 1).mean(), (ranks.ranks <= 3).mean()]
    )


def test_cmc_equals_a_loop_over_drawn_probes(population):
    embeddings, rows = population(6, 2, noise=2.5)
    labels = label_images(rows[:-3])
    ranks = closed_set_ranks(similarity_blocks(embeddings[:-3]), labels)
    weights = subject_weights(labels.subjects, 20, seed=1)
    found = resample_cmc(ranks, labels, weights, (1, 2))
    for r, drawn in enumerate(weights):
        drawn_ranks = [
            rank
            for person, _ in people_drawn(drawn)
            for probe, rank in zip(ranks.probes, ranks.ranks, strict=True)
            if labels.subject[probe] == person
        ]
        for i, k in enumerate((1, 2)):
            assert found[i, r] == pytest.approx(np.mean([rank <= k for rank in drawn_ranks]))


def test_resample_without_a_kind_of_comparison_is_nan(rows_of):
    # b has one image: drawn alone, b gives no genuine comparison; a alone gives no impostor.
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "L")])
    labels = label_images(rows)
    embeddings = np.array([[1, 0], [0.6, 0.8], [0, 1.0]])
    weights = np.array([[2, 0], [0, 2], [1, 1]])
    found = resample(embeddings, labels, weights, (0.1,))
    for samples in (found.eer, found.vr[0], found.auc):
        assert np.isnan(samples).tolist() == [True, True, False]
    ranks = closed_set_ranks(similarity_blocks(embeddings), labels)
    assert np.isnan(resample_cmc(ranks, labels, weights, (1,))[0]).tolist() == [False, True, False]


def test_weights_are_draws_with_replacement():
    weights = subject_weights(50, 2000, seed=3)
    assert weights.shape == (2000, 50)
    assert (weights.sum(axis=1) == 50).all()
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.005)
    np.testing.assert_array_equal(weights, subject_weights(50, 2000, seed=3))
    assert (weights != subject_weights(50, 2000, seed=4)).any()


def test_interval_is_wide_enough_for_persons_who_differ(rows_of):
    # Each person is either always right (0) or always wrong; 10 of 40 are wrong. Rates of
    # resamples are binomial: the 90 % interval of 40 draws at 0.25 is 0.25 -+ 1.645 * 0.0685.
    weights = subject_weights(40, 4000, seed=0)
    samples = weights @ np.repeat([1.0, 0.0], [10, 30]) / 40
    low, high = percentile_interval(samples, 0.9)
    assert low == pytest.approx(0.25 - 1.645 * 0.0685, abs=0.02)
    assert high == pytest.approx(0.25 + 1.645 * 0.0685, abs=0.02)


def test_percentiles():
    samples = np.append(np.arange(101.0), np.nan)
    assert percentile_interval(samples, 0.9) == pytest.approx((5, 95))
    assert percentile_interval(np.array([np.nan, 1.0]), 0.9) is None
    with pytest.raises(EvaluationError, match="confidence level is 90"):
        percentile_interval(samples, 90)


@pytest.mark.parametrize("every_level", [True, False])
def test_keys_have_the_same_rows_with_and_without_a_table_of_all(every_level):
    levels, keys = np.array([3, 4, 9], np.int32), np.arange(13)
    expected = [sum((k >= x) + (every_level and k > x) for x in (3, 4, 9)) for k in range(13)]
    for dense in (True, False):
        places = bootstrap_module._Places(levels, every_level, dense)
        np.testing.assert_array_equal(places(keys), expected)
        assert places.least() == 3
        assert bootstrap_module._Places(levels[:0], every_level, dense).least() > KEYS
    table = bootstrap_module._Places(levels, every_level, dense=True)
    assert table.start_after(4) == expected[4]
    np.testing.assert_array_equal(table(keys), np.maximum(np.array(expected) - expected[4], 0))
