from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from iris_tf.metrics import counts as counts_module
from iris_tf.metrics import scores as scores_module
from iris_tf.metrics.counts import (
    ScoreCounter,
    ScoreCounts,
    count_scores,
    give_both_kinds,
    pairs_above,
)
from iris_tf.metrics.scales import SIMILARITIES
from iris_tf.metrics.scores import label_images, similarity_blocks
from iris_tf.metrics.verification import (
    area_under_roc,
    curve_of_counts,
    d_prime,
    d_prime_of_counts,
    eer_of_curve,
    equal_error_rate,
)
from iris_tf.support.errors import EvaluationError


def looped(embeddings, rows):
    """(first, second) -> (genuine?, cosine), by a double loop."""
    unit = embeddings.astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return {
        (i, j): (rows[i].identity == rows[j].identity, sum(unit[i] * unit[j]))
        for i in range(len(rows))
        for j in range(i + 1, len(rows))
    }


def test_keys_are_scores_rounded_to_the_nearest_step():
    scores = np.random.default_rng(0).uniform(-1, 1, 10_000).astype(np.float32)
    assert np.abs(SIMILARITIES.rounded(scores) - scores).max() <= SIMILARITIES.step / 2
    keys = SIMILARITIES.keys(np.float32([-1, 0, 1, 0.5 + 0.75 * SIMILARITIES.step]))
    assert keys.tolist() == [0, 2**22, 2**23, 2**22 + 2**21 + 1]


def test_both_kinds_are_of_one_dataset(population):
    """Images of two datasets are not compared: neither their eyes nor their persons count."""
    rows = sorted(population(2, 2, size=4)[1], key=lambda row: row.identity)
    assert give_both_kinds(rows)
    assert not give_both_kinds([])
    assert not give_both_kinds(rows[:2])  # one eye
    assert not give_both_kinds(rows[::2])  # one image of each
    assert not give_both_kinds([*rows[:2], *(replace(row, dataset="other") for row in rows[2:4])])


@pytest.mark.parametrize("floats", [1, 7 * 24, 1 << 22])
@pytest.mark.parametrize("few", [True, False])
def test_counts_equal_a_double_loop(population, monkeypatch, floats, few):
    embeddings, rows = population(4, 3, size=4)
    monkeypatch.setattr(scores_module, "_FLOATS_PER_BLOCK", floats)
    if not few:  # every block is counted by bins, as large ones are
        monkeypatch.setattr(counts_module, "_FEW", 0)
    found = count_scores(similarity_blocks(embeddings), label_images(rows))
    truth, cosines = zip(*looped(embeddings, rows).values(), strict=True)
    wanted = ScoreCounts.of_scores(
        *(
            SIMILARITIES.rounded(np.array(cosines)[np.array(truth) == kind])
            for kind in (True, False)
        )
    )
    np.testing.assert_allclose(found.counts.levels, wanted.levels, atol=1.01 * SIMILARITIES.step)
    np.testing.assert_array_equal(found.counts.genuine, wanted.genuine)
    np.testing.assert_array_equal(found.counts.impostor, wanted.impostor)
    # 8 eyes of 3 images: 8 * 3 genuine pairs out of 24 * 23 / 2.
    assert (found.counts.n_genuine, found.counts.n_impostor) == (24, 276 - 24)
    pairs = set(zip(found.genuine.first.tolist(), found.genuine.second.tolist(), strict=True))
    assert pairs == {pair for pair, (same, _) in looped(embeddings, rows).items() if same}


@pytest.mark.parametrize("floats", [1, 1 << 22])
def test_highest_impostors(population, monkeypatch, floats):
    embeddings, rows = population(6, 3, size=4)
    monkeypatch.setattr(scores_module, "_FLOATS_PER_BLOCK", floats)
    counter = ScoreCounter(label_images(rows), highest=7)
    for start, block in similarity_blocks(embeddings):
        counter.add(start, block)
    found = counter.comparisons().highest_impostor
    impostors = {pair: c for pair, (same, c) in looped(embeddings, rows).items() if not same}
    wanted = sorted(impostors, key=impostors.get, reverse=True)[:7]
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == wanted
    np.testing.assert_allclose(
        found.scores, [impostors[pair] for pair in wanted], atol=SIMILARITIES.step
    )


def test_pairs_above_a_score(population):
    embeddings, rows = population(5, 2, size=4)
    least = int(SIMILARITIES.keys(np.float32([0.3]))[0])
    found = [pairs_above(start, block, label_images(rows), least)
             for start, block in similarity_blocks(embeddings)]  # fmt: skip
    pairs = {pair for p in found for pair in zip(p.first.tolist(), p.second.tolist(), strict=True)}
    assert pairs == {pair for pair, (_, c) in looped(embeddings, rows).items() if c >= 0.3}


def test_the_other_eye_of_a_person_is_an_impostor(rows_of):
    rows = rows_of([("a", "L"), ("a", "L"), ("a", "R")])
    found = count_scores(similarity_blocks(np.eye(3)), label_images(rows))
    assert (found.genuine.first.tolist(), found.genuine.second.tolist()) == ([0], [1])
    assert found.counts.n_impostor == 2


@pytest.mark.parametrize(
    ("identities", "counts"),
    [
        ([("a", "L"), ("b", "L"), ("c", "L")], "3 identities give 0 genuine and 3 impostor"),
        ([("a", "L")] * 4, "1 identities give 6 genuine and 0 impostor"),
        ([("a", "L")], "1 identities give 0 genuine and 0 impostor"),
    ],
)
def test_one_kind_of_comparison_only(rows_of, identities, counts):
    with pytest.raises(EvaluationError, match=counts):
        count_scores(iter(()), label_images(rows_of(identities)))


def test_same_eye_with_one_left_and_one_right_person(rows_of):
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "R"), ("b", "R")])
    with pytest.raises(EvaluationError, match="give 2 genuine and 0 impostor"):
        count_scores(iter(()), label_images(rows, "same-eye"))


def test_rates_of_many_rounded_scores_are_scikit_learn_s():
    # Two Gaussians in -1..1, a million comparisons: EER = Phi(-d'/2).
    rng = np.random.default_rng(0)
    genuine = np.clip(rng.normal(0.3, 0.1, 200_000), -1, 1).astype(np.float32)
    impostor = np.clip(rng.normal(0.0, 0.1, 800_000), -1, 1).astype(np.float32)
    counts = ScoreCounts.of_scores(SIMILARITIES.rounded(genuine), SIMILARITIES.rounded(impostor))
    truth = np.r_[np.ones(len(genuine)), np.zeros(len(impostor))]
    scores = np.r_[genuine, impostor]
    fpr, tpr, _ = roc_curve(truth, scores)
    curve = curve_of_counts(counts)
    after = np.argmax(fpr + tpr >= 1)
    assert eer_of_curve(curve).rate == pytest.approx(fpr[after], abs=1e-5)
    exact = equal_error_rate(genuine, impostor)
    assert eer_of_curve(curve).rate == pytest.approx(exact.rate, abs=1e-6)
    assert eer_of_curve(curve).threshold == pytest.approx(exact.threshold, abs=1e-5)
    assert eer_of_curve(curve).rate == pytest.approx(norm.cdf(-1.5), abs=5e-4)
    assert area_under_roc(curve) == pytest.approx(roc_auc_score(truth, scores), abs=1e-7)
    assert d_prime_of_counts(counts) == pytest.approx(d_prime(genuine, impostor), abs=1e-6)
    assert d_prime_of_counts(counts) == pytest.approx(3, abs=0.02)
