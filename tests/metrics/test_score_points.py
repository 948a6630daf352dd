import itertools
import json
import math

import numpy as np
import pytest

from iris_tf.config.names import SCORE_RATES
from iris_tf.data.manifest import ManifestRow
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.bootstrap import subject_weights
from iris_tf.metrics.evaluate_embeddings import (
    evaluate_embeddings,
    evaluate_pairs,
    evaluate_similarities,
)
from iris_tf.metrics.metrics import Metrics
from iris_tf.metrics.open_set import draw_galleries
from iris_tf.metrics.scales import SCORES
from iris_tf.metrics.scores import label_images
from iris_tf.metrics.verification import equal_error_rate
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import ScoreModel

LAYOUT = PhaseCodeLayout(size=32 * 4 * 4, columns=32, turns=3)
EYES, IMAGES = 20, 4
# Low enough that codes of unrelated noise are accepted now and then.
THRESHOLDS = {point: -0.6 + 1.2 * k for k, point in enumerate(SCORE_RATES)}
MATCHER = Matcher(LAYOUT, ScoreModel(-4.0, 0.9, 8.0, 0.35, 60.0, THRESHOLDS))


@pytest.fixture(scope="module")
def eyes():
    """Embeddings of 10 subjects with both eyes, and their rows; one image shows hardly anything."""
    rng = np.random.default_rng(5)
    shape = (EYES, 1, LAYOUT.columns, 4, 2)
    pattern, noise = (
        rng.normal(size=(*s, 2)) @ (1, 1j) for s in (shape, (EYES, IMAGES, *shape[2:]))
    )
    codes = pattern + 1.1 * noise
    codes /= np.abs(codes)
    codes[0, 0, 3:] = 0
    codes = np.stack([codes.real, codes.imag], axis=-1).reshape(EYES * IMAGES, -1)
    learned = rng.normal(size=(EYES * IMAGES, 5))
    learned /= np.linalg.norm(learned, axis=1, keepdims=True)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    vectors = np.concatenate([0.6 * learned, 0.8 * codes], axis=1).astype(np.float32)
    rows = [
        ManifestRow(f"{eye}_{i}", "made", f"{eye // 2}", "LR"[eye % 2], f"{eye}", f"{eye}_{i}.png")
        for eye in range(EYES)
        for i in range(IMAGES)
    ]
    return vectors, rows


def scores_one_by_one(vectors):
    described = [MATCHER.describe(vector[None]) for vector in vectors]
    return {
        (i, j): float(MATCHER.scores(described[i], described[j]).values[0, 0])
        for i, j in itertools.combinations(range(len(vectors)), 2)
    }


def rates(pairs, rows, threshold, copies):
    """FMR and FNMR of a resample by a plain loop; `copies` counts the draws of each subject."""
    errors, counts = [0.0, 0.0], [0.0, 0.0]
    for (i, j), score in pairs.items():
        first, second = rows[i], rows[j]
        weight = copies[int(first.subject)]
        if first.subject != second.subject:
            weight *= copies[int(second.subject)]
        genuine = first.identity == second.identity
        counts[genuine] += weight
        errors[genuine] += weight * ((score < threshold) if genuine else (score >= threshold))
    return errors[0] / counts[0], errors[1] / counts[1]


@pytest.mark.parametrize("listed", [False, True])
def test_errors_and_intervals_are_those_of_a_plain_loop(eyes, listed):
    vectors, rows = eyes
    pairs = scores_one_by_one(vectors)
    if listed:
        pairs = {pair: score for pair, score in pairs.items() if sum(pair) % 3}
        same = {pair: rows[pair[0]].identity == rows[pair[1]].identity for pair in pairs}
        lists = [np.array([p for p in pairs if same[p] == kind]) for kind in (True, False)]
        found = evaluate_pairs(vectors, rows, *lists, resamples=50, matcher=MATCHER)
    else:
        found = evaluate_embeddings(vectors, rows, resamples=50, matcher=MATCHER)
    scores = found.metrics.scores
    draws = subject_weights(10, 50, 0)
    assert list(scores.points) == list(SCORE_RATES)
    for name, point in scores.points.items():
        threshold = THRESHOLDS[name]
        assert (point.fmr, point.fnmr) == pytest.approx(rates(pairs, rows, threshold, [1] * 10))
        resampled = np.array([rates(pairs, rows, threshold, copies) for copies in draws])
        bounds = np.quantile(resampled, [0.05, 0.95], axis=0).T
        assert point.fnmr_interval == pytest.approx(bounds[1].tolist())
        # 30 of some 3,000 impostor comparisons are expected at an FMR of 1e-2 only.
        assert point.supported == (name == "fmr_1e-2" and not listed)
        if point.supported:
            assert point.fmr_interval == pytest.approx(bounds[0].tolist())
            assert point.fmr_over_claim == pytest.approx(point.fmr / 0.01)
        else:
            assert point.fmr_interval is None and point.fmr_over_claim is None
    # The loop would not notice if all or none were accepted.
    assert 0 < scores.points["fmr_1e-2"].false_matches < 500
    assert 0 < scores.points["fmr_1e-6"].fnmr < 1


def test_inconclusive_comparisons_are_non_matches_and_counted(eyes):
    vectors, rows = eyes
    metrics = evaluate_embeddings(vectors, rows, resamples=0, matcher=MATCHER).metrics
    scores = metrics.scores
    pairs = scores_one_by_one(vectors)
    assert all(math.isinf(pairs[0, j]) for j in range(1, len(rows)))
    for genuine, share in ((True, scores.inconclusive_genuine),
                           (False, scores.inconclusive_impostor)):  # fmt: skip
        kind = [
            score
            for (i, j), score in pairs.items()
            if (rows[i].identity == rows[j].identity) == genuine
        ]
        assert share == pytest.approx(np.mean(np.isneginf(kind)))
    kinds = [[], []]
    for (i, j), score in pairs.items():
        kinds[rows[i].identity == rows[j].identity].append(max(score, -50.0))
    # Rounding joins some of the 3,000 scores.
    assert metrics.eer == pytest.approx(equal_error_rate(kinds[1], kinds[0]).rate, abs=1e-3)
    assert 0.01 < metrics.eer < 0.4
    conclusive = [[score for score in kind if score > -50.0] for kind in kinds]
    wanted = equal_error_rate(conclusive[1], conclusive[0]).rate
    assert scores.conclusive_eer == pytest.approx(wanted, abs=1e-3)
    assert scores.conclusive_eer < metrics.eer
    for point in scores.points.values():
        wanted = np.mean(np.array(conclusive[1]) < point.threshold)
        assert point.conclusive_fnmr == pytest.approx(wanted)
        assert point.conclusive_fnmr < point.fnmr
    assert scores.points["fmr_1e-2"].fnmr >= scores.inconclusive_genuine > 0
    assert scores.points["fmr_1e-2"].fnmr_interval is None


@pytest.mark.parametrize("listed", [False, True])
def test_images_that_a_recogniser_refuses_are_non_matches(eyes, listed):
    vectors, rows = eyes
    blurred = vectors.copy()
    # Fine texture of half the amplitude in the last eye's last image.
    blurred[-1, 5:].view(np.complex64)[1::2] *= 0.5
    blurred[-1] /= np.linalg.norm(blurred[-1])
    pairs = list(itertools.combinations(range(len(rows)), 2))
    lists = [
        np.array([p for p in pairs if (rows[p[0]].identity == rows[p[1]].identity) == kind])
        for kind in (True, False)
    ]
    shares = []
    for each in (vectors, blurred):
        if listed:
            found = evaluate_pairs(each, rows, *lists, resamples=0, matcher=MATCHER)
        else:
            found = evaluate_embeddings(each, rows, resamples=0, matcher=MATCHER)
        scores = found.metrics.scores
        shares.append([scores.inconclusive_genuine, scores.inconclusive_impostor])
    # Its 3 genuine comparisons, and those with the other eyes but one image that shows too little.
    added = [3 / len(lists[0]), (4 * EYES - 5) / len(lists[1])]
    assert np.subtract(*reversed(shares)) == pytest.approx(added)


def matrix_of(pairs, images):
    """Scores of all pairs as a matrix; inconclusive ones below all others."""
    matrix = np.zeros((images, images))
    for (i, j), score in pairs.items():
        matrix[i, j] = matrix[j, i] = max(score, SCORES.lowest)
    return matrix


def test_every_figure_is_that_of_the_scores(eyes):
    vectors, rows = eyes
    found = evaluate_embeddings(vectors, rows, 30, matcher=MATCHER).metrics.to_json()
    assert found["compared_by"] == "score"
    # Rates depend on the order of the scores alone, and d' not on their unit.
    scores = scores_one_by_one(vectors)
    matrix = SCORES.rounded(matrix_of(scores, len(rows))) / 64
    same = evaluate_similarities(matrix.astype(np.float32), rows, 30).metrics.to_json()
    assert found["metrics"] == pytest.approx(same["metrics"], abs=1e-5)
    for name, bounds in found["intervals"]["bounds"].items():
        assert bounds == pytest.approx(same["intervals"]["bounds"][name], abs=1e-5), name
    assert found["thresholds"] == pytest.approx(
        {name: 64 * threshold for name, threshold in same["thresholds"].items()}, abs=1e-4
    )
    assert found["curves"]["cmc"] == same["curves"]["cmc"]
    assert found["open_set"] == same["open_set"]
    for kind, pairs in found["worst"].items():
        assert [pair[:2] for pair in pairs] == [pair[:2] for pair in same["worst"][kind]]
    # The histogram reaches from the lowest to the highest score.
    histogram = found["curves"]["histogram"]
    assert histogram["edges"][0] == SCORES.lowest
    assert histogram["edges"][-1] == pytest.approx(max(scores.values()), abs=1e-3)
    assert sum(histogram["genuine"]) == pytest.approx(1)
    assert sum(histogram["impostor"]) == pytest.approx(1)
    genuine = [s for (i, j), s in scores.items() if rows[i].identity == rows[j].identity]
    assert histogram["genuine"][0] == pytest.approx(np.mean(np.isneginf(genuine)))


def test_scores_are_the_same_if_no_matrix_is_kept(eyes, monkeypatch):
    vectors, rows = eyes
    wanted = evaluate_embeddings(vectors, rows, 20, matcher=MATCHER).metrics.to_json()
    monkeypatch.setattr("iris_tf.metrics.evaluate_embeddings._FLOATS_KEPT", len(rows) ** 2 - 1)
    monkeypatch.setattr("iris_tf.metrics.scores._SCORED_ROWS", 7)
    found = evaluate_embeddings(vectors, rows, 20, matcher=MATCHER).metrics.to_json()
    assert found["metrics"] == pytest.approx(wanted["metrics"], abs=1e-6)
    assert found["intervals"]["bounds"].keys() == wanted["intervals"]["bounds"].keys()


def test_searches_share_the_fmr_of_an_operating_point(eyes):
    vectors, rows = eyes
    scores = evaluate_embeddings(vectors, rows, resamples=0, matcher=MATCHER).metrics.scores
    matrix, labels = matrix_of(scores_one_by_one(vectors), len(rows)), label_images(rows)
    for name, point in scores.points.items():
        rates = []
        for draw in draw_galleries(labels):
            threshold = MATCHER.score_model.threshold(name, len(draw.gallery))
            found = matrix[draw.non_mated][:, draw.gallery] >= threshold
            mated = np.flatnonzero(draw.mate >= 0)
            missed = matrix[mated, draw.mate[mated]] < threshold
            rates.append((found.any(axis=1).mean(), missed.mean()))
        assert (point.search.fpir, point.search.fnir) == pytest.approx(np.mean(rates, axis=0))
        assert not point.search.supported  # 40 probes


def test_scores_of_an_earlier_version_are_not_taken_for_these(eyes):
    vectors, rows = eyes
    written = evaluate_embeddings(vectors, rows, 0, matcher=Matcher(LAYOUT)).metrics.to_json()
    # Its other figures were of similarities.
    found = Metrics.from_json(written | {"scores": {"eer": 0.1, "points": {}}})
    assert found.scores is None and found.scale.name == "similarity"


def test_figures_survive_json(eyes):
    vectors, rows = eyes
    metrics = evaluate_embeddings(vectors, rows, 20, matcher=MATCHER).metrics
    written = json.loads(json.dumps(metrics.to_json(), allow_nan=False))
    assert Metrics.from_json(written).to_json() == metrics.to_json()
    assert Metrics.from_json(written).scores == metrics.scores
