import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from iris_tf.evaluation.protocols import EveryPair
from iris_tf.evaluation.slices import slice_figures
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import (
    evaluate_embeddings,
    evaluate_pairs,
    evaluate_similarities,
)
from iris_tf.metrics.scales import SIMILARITIES
from iris_tf.support.errors import EvaluationError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout


def figures(*arguments, **options):
    """Evaluate embeddings: the figures as they are written."""
    return evaluate_embeddings(*arguments, **{"matcher": Matcher(), **options}).metrics.to_json()


def brute_force(embeddings, rows):
    truth, scores = [], []
    for i in range(len(rows)):
        for j in range(i):
            truth.append(rows[i].identity == rows[j].identity)
            scores.append(float(embeddings[i].astype(float) @ embeddings[j].astype(float)))
    return np.array(truth), np.array(scores)


def test_figures_equal_scikit_learn_s(population):
    embeddings, rows = population(10, 4)
    found = figures(embeddings, rows, resamples=20)
    truth, scores = brute_force(embeddings, rows)
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found["counts"] == {
        "images": 80,
        "identities": 20,
        "persons": 10,
        "probes": 80,
        "genuine_comparisons": truth.sum(),
        "impostor_comparisons": (~truth).sum(),
    }
    assert found["metrics"]["vr_far_1e-2"] == pytest.approx(tpr[fpr <= 0.01].max())
    assert found["metrics"]["vr_far_1e-3"] == pytest.approx(tpr[fpr <= 0.001].max())
    assert found["metrics"]["auc"] == pytest.approx(roc_auc_score(truth, scores))
    nearest = np.argmin(np.abs(fpr - (1 - tpr)))
    assert found["metrics"]["eer"] == pytest.approx(fpr[nearest], abs=0.01)


def test_thresholds_give_the_rates(population):
    embeddings, rows = population(10, 4)
    found = figures(embeddings, rows, resamples=0)
    truth, scores = brute_force(embeddings, rows)
    for name, far in (("far_1e-2", 0.01), ("far_1e-3", 0.001)):
        accepted = scores >= found["thresholds"][name]
        assert accepted[~truth].mean() <= far
        assert accepted[truth].mean() == pytest.approx(found["metrics"][f"vr_{name}"])
    accepted = scores >= found["thresholds"]["eer"]
    assert accepted[~truth].mean() == pytest.approx(found["metrics"]["eer"], abs=0.01)


def test_errors_at_the_eer_s_threshold_are_counted(population):
    embeddings, rows = population(6, 3)
    found = figures(embeddings, rows, resamples=0)
    point, scores = found["eer_point"], (embeddings @ embeddings.T)[np.triu_indices(36, 1)]
    eyes = np.array([row.identity for row in rows])
    same = (eyes[:, None] == eyes)[np.triu_indices(36, 1)]
    accepted = scores >= point["threshold"]
    assert point["threshold"] == found["thresholds"]["eer"]
    assert point["false_matches"] == accepted[~same].sum()
    assert point["fmr"] == pytest.approx(accepted[~same].mean())
    assert point["fnmr"] == pytest.approx((~accepted[same]).mean())


def test_result_is_json_and_order_of_images_does_not_matter(population):
    embeddings, rows = population(6, 3)
    found = figures(embeddings, rows, resamples=10)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    backwards = figures(embeddings[::-1], rows[::-1], resamples=10)
    for result in (found, backwards):  # who is drawn for a gallery goes by the order
        for name in ("fnir_fpir_1e-1", "fnir_fpir_1e-2"):
            del result["metrics"][name]
    for part in ("counts", "metrics", "thresholds", "operating_points", "curves"):
        assert backwards[part] == found[part]


def test_intervals_hold_the_estimate_and_depend_on_the_seed_alone(population):
    embeddings, rows = population(12, 4)
    found = figures(embeddings, rows, resamples=100, seed=1)
    intervals = found["intervals"]
    assert (intervals["level"], intervals["resamples"], intervals["seed"]) == (0.9, 100, 1)
    assert intervals["exact"]
    assert set(intervals["bounds"]) == {
        "eer", "auc", "d_prime", "vr_far_1e-2", "vr_far_1e-3", "cmc_1", "cmc_5", "cmc_10",
        "fnmr_fmr_1e-2", "fnmr_fmr_1e-3", "fnmr_fmr_1e-4", "fnmr_fmr_1e-5",
        "fnir_fpir_1e-1", "fnir_fpir_1e-2",
    }  # fmt: skip
    # 4,416 impostor comparisons: 30 errors are to be expected at 1e-2 alone. Of 48 non-mated
    # probes, none is one in a hundred.
    unsupported = {"fnmr_fmr_1e-3", "fnmr_fmr_1e-4", "fnmr_fmr_1e-5", "fnir_fpir_1e-2"}
    for name, bounds in intervals["bounds"].items():
        assert (bounds is None) == (name in unsupported)
        if bounds is not None:
            assert 0 <= bounds[0] <= found["metrics"][name] <= bounds[1]
            assert bounds[1] <= 1 or name == "d_prime"
    assert figures(embeddings, rows, resamples=100, seed=1)["intervals"] == intervals
    other = figures(embeddings, rows, resamples=100, seed=2)["intervals"]
    assert other["bounds"]["eer"] != intervals["bounds"]["eer"]


def test_no_resamples_no_intervals(population):
    assert figures(*population(3, 3), resamples=0)["intervals"] is None


def test_one_person_has_figures_but_no_interval(population):
    found = figures(*population(1, 4), resamples=10)
    assert found["counts"]["persons"] == 1
    assert set(found["intervals"]["bounds"].values()) == {None}


def test_constant_embeddings(rows_of):
    rows = rows_of([(f"p{i // 3}", "L") for i in range(12)])
    found = figures(np.tile([0.6, 0.8], (12, 1)), rows, resamples=5)
    assert found["metrics"] == {
        "eer": 0.5, "vr_far_1e-2": 0.0, "vr_far_1e-3": 0.0, "cmc_1": 0.0, "cmc_5": 1.0,
        "cmc_10": 1.0, "auc": 0.5, "d_prime": None, "fnir_fpir_1e-1": None,
        "fnir_fpir_1e-2": None, "fnmr_fmr_1e-2": None, "fnmr_fmr_1e-3": None,
        "fnmr_fmr_1e-4": None, "fnmr_fmr_1e-5": None,
    }  # fmt: skip
    assert found["intervals"]["bounds"]["eer"] == [0.5, 0.5]
    assert found["intervals"]["bounds"]["auc"] == [0.5, 0.5]
    assert found["intervals"]["bounds"]["d_prime"] is None


def test_curves_are_points_of_the_whole_curve(population):
    embeddings, rows = population(15, 5)
    curves = figures(embeddings, rows, resamples=0)["curves"]
    truth, scores = brute_force(embeddings, rows)
    fpr, tpr, _ = roc_curve(truth, scores.astype(np.float32), drop_intermediate=False)
    whole = {(round(x, 9), round(1 - y, 9)) for x, y in zip(fpr, tpr, strict=True)}
    det = list(zip(curves["det"]["fmr"], curves["det"]["fnmr"], strict=True))
    assert {(round(x, 9), round(y, 9)) for x, y in det} <= whole
    assert det[0] == (0.0, 1.0)
    assert det[-1] == (1.0, 0.0)
    histogram = curves["histogram"]
    counted, _ = np.histogram(scores[truth], histogram["edges"])
    np.testing.assert_allclose(histogram["genuine"], counted / truth.sum())
    assert sum(histogram["impostor"]) == pytest.approx(1)
    assert curves["cmc"] == sorted(curves["cmc"])


def test_refused(population):
    embeddings, rows = population(2, 2)
    with pytest.raises(EvaluationError, match="do not belong to 7 images"):
        evaluate_embeddings(embeddings, rows[:-1], matcher=Matcher())
    embeddings[0] = np.nan
    with pytest.raises(EvaluationError, match="NaN"):
        evaluate_embeddings(embeddings, rows, matcher=Matcher())


def test_a_similarity_matrix_gives_the_figures_of_its_embeddings(population, monkeypatch):
    embeddings, rows = population(8, 4)
    cosine = (embeddings.astype(float) @ embeddings.T.astype(float)).astype(np.float32)
    before = cosine.copy()
    wanted = figures(embeddings, rows, resamples=20)
    for block in (1024, 7):
        monkeypatch.setattr("iris_tf.metrics.evaluate_embeddings._BLOCK", block)
        found = evaluate_similarities(cosine, rows, resamples=20).metrics.to_json()
        assert found["counts"] == wanted["counts"]
        assert found["metrics"] == pytest.approx(wanted["metrics"], abs=1e-6)
        assert found["thresholds"] == pytest.approx(wanted["thresholds"], abs=1e-6)
        assert found["curves"]["cmc"] == wanted["curves"]["cmc"]
    np.testing.assert_array_equal(cosine, before)


def test_operating_points_are_supported_by_thirty_errors(population):
    embeddings, rows = population(20, 4)
    found = figures(embeddings, rows, resamples=0)
    truth, scores = brute_force(embeddings, rows)
    scores = SIMILARITIES.rounded(scores)
    assert (~truth).sum() == 12480
    for name, fmr in (("fmr_1e-2", 1e-2), ("fmr_1e-3", 1e-3), ("fmr_1e-5", 1e-5)):
        point = found["operating_points"][name]
        accepted = scores >= point["threshold"]
        assert point["false_matches"] == accepted[~truth].sum() <= fmr * 12480
        assert point["fmr"] == pytest.approx(accepted[~truth].mean())
        assert point["fnmr"] == pytest.approx((~accepted[truth]).mean())
        assert point["supported"] == (fmr == 1e-2)  # 124.8 errors, 12.5, 0.1
        wanted = pytest.approx(point["fnmr"]) if point["supported"] else None
        assert found["metrics"][f"fnmr_{name}"] == wanted


def test_worst_comparisons(population):
    embeddings, rows = population(8, 3)
    found = figures(embeddings, rows, resamples=0)["worst"]
    loop = {True: [], False: []}
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            score = SIMILARITIES.rounded(
                [embeddings[i].astype(float) @ embeddings[j].astype(float)]
            )[0]
            same = rows[i].identity == rows[j].identity
            loop[same].append((score, rows[i].image, rows[j].image))
    wanted = {"genuine": sorted(loop[True])[:10], "impostor": sorted(loop[False])[:-11:-1]}
    for kind, pairs in wanted.items():
        assert [(score, *images) for *images, score in found[kind]] == [
            (pytest.approx(score, abs=5e-7), *images) for score, *images in pairs
        ]


def test_same_eye_leaves_left_against_right_out(population):
    embeddings, rows = population(9, 4)
    found = figures(embeddings, rows, resamples=0, protocol="same-eye")
    truth, scores = [], []
    for i in range(len(rows)):
        for j in range(i):
            if rows[i].eye == rows[j].eye:
                truth.append(rows[i].identity == rows[j].identity)
                scores.append(float(embeddings[i].astype(float) @ embeddings[j].astype(float)))
    truth = np.array(truth)
    assert found["protocol"] == "same-eye"
    assert found["counts"]["genuine_comparisons"] == truth.sum() == 18 * 6
    assert found["counts"]["impostor_comparisons"] == (~truth).sum() == 2 * 36 * 16
    assert found["metrics"]["auc"] == pytest.approx(
        roc_auc_score(truth, SIMILARITIES.rounded(scores))
    )
    left = np.array([row.eye == "L" for row in rows])
    hits = [
        figures(embeddings[eye], [r for r, e in zip(rows, eye, strict=True) if e], 0)
        for eye in (left, ~left)
    ]
    for name in ("cmc_1", "cmc_5"):
        assert found["metrics"][name] == pytest.approx(np.mean([h["metrics"][name] for h in hits]))


def test_protocols_that_cannot_be(population):
    embeddings, rows = population(2, 2)
    with pytest.raises(EvaluationError, match="protocol 'all' is unknown"):
        evaluate_embeddings(embeddings, rows, protocol="all", matcher=Matcher())
    rows[3] = dataclasses.replace(rows[3], eye="")
    with pytest.raises(EvaluationError, match=r"eye of 1 of 8 images, such as 3\.png; use"):
        evaluate_embeddings(embeddings, rows, protocol="same-eye", matcher=Matcher())


def test_datasets_are_compared_with_each_other_on_request(population):
    embeddings, rows = population(8, 3)
    rows = [dataclasses.replace(row, dataset="one" if row.subject < "p5" else "two")
            for row in rows]  # fmt: skip
    apart = figures(embeddings, rows, resamples=0)
    across = figures(embeddings, rows, resamples=0, protocol="across-datasets")
    one, two = (sum(row.dataset == name for row in rows) for name in ("one", "two"))
    genuine = 16 * 3
    assert apart["counts"]["impostor_comparisons"] == (
        one * (one - 1) // 2 + two * (two - 1) // 2 - genuine
    )
    assert across["counts"]["impostor_comparisons"] == 48 * 47 // 2 - genuine
    assert across["metrics"]["cmc_1"] <= apart["metrics"]["cmc_1"]
    truth, scores = brute_force(embeddings, rows)
    assert across["metrics"]["auc"] == pytest.approx(
        roc_auc_score(truth, SIMILARITIES.rounded(scores))
    )


def test_one_genuine_comparison(rows_of):
    # In the plane: a at 0 and 30 degrees, b at 90, c at 200.
    angles = np.radians([0, 30, 90, 200])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "L"), ("c", "L")])
    found = figures(embeddings, rows, resamples=50)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["counts"] == {
        "images": 4, "identities": 3, "persons": 3, "probes": 2, "genuine_comparisons": 1,
        "impostor_comparisons": 5,
    }  # fmt: skip
    impostors = np.cos(np.radians([90, 200, 60, 170, 110]))
    metrics = found["metrics"]
    assert [metrics[k] for k in ("eer", "vr_far_1e-2", "auc", "cmc_1")] == [0, 1, 1, 1]
    wanted = (np.cos(np.radians(30)) - impostors.mean()) / np.sqrt(impostors.var() / 2)
    assert metrics["d_prime"] == pytest.approx(wanted, rel=1e-5)
    assert found["thresholds"]["eer"] == pytest.approx((np.cos(np.radians(30)) + 0.5) / 2)
    # Resamples without a, or with nobody else, have no comparison of either kind.
    assert found["intervals"]["bounds"]["eer"] == [0, 0]
    assert [pair[:2] for pair in found["worst"]["genuine"]] == [["0.png", "1.png"]]


def test_a_phase_code_is_compared_at_its_best_rotation(population):
    embeddings, rows = population(6, 3)  # of 16 numbers: four, and three columns of four
    matcher = Matcher(PhaseCodeLayout(12, 3, 1))
    expected = np.full((len(rows), len(rows)), -1.0)
    for columns in (-1, 0, 1):
        rotated = embeddings.copy()
        rotated[:, 4:] = np.roll(embeddings[:, 4:], 4 * columns, axis=1)
        np.maximum(expected, rotated @ embeddings.T, out=expected)
    found = evaluate_embeddings(embeddings, rows, resamples=0, matcher=matcher)
    naive = evaluate_similarities(expected.astype(np.float32), rows, resamples=0)
    for name, value in naive.metrics.values.items():
        assert found.metrics.values[name] == pytest.approx(value, abs=1e-6)
    first, second = np.triu_indices(len(rows), 1)
    names = np.array([row.identity for row in rows])
    genuine = names[first] == names[second]
    pairs = np.stack([first, second], axis=1)
    listed = evaluate_pairs(
        embeddings, rows, pairs[genuine], pairs[~genuine], resamples=0, matcher=matcher
    )
    eer = naive.metrics.values["eer"]
    assert listed.metrics.values["eer"] == pytest.approx(eer, abs=1e-6)
    sliced = slice_figures(embeddings, rows, found, EveryPair(), matcher)
    for name, part in sliced["eye"].items():
        chosen = [i for i, row in enumerate(rows) if row.eye == name]
        own = evaluate_similarities(
            expected[np.ix_(chosen, chosen)].astype(np.float32), [rows[i] for i in chosen], 0
        )
        assert part["eer"] == pytest.approx(own.metrics.values["eer"], abs=1e-6)


def test_similarities_of_phase_codes_are_computed_once_where_they_may_be_kept(
    population, monkeypatch
):
    embeddings, rows = population(6, 3)
    matcher, similarities = Matcher(PhaseCodeLayout(12, 3, 1)), Matcher.similarities
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return similarities(*arguments)

    monkeypatch.setattr(Matcher, "similarities", counted)
    kept = figures(embeddings, rows, resamples=20, matcher=matcher)
    assert len(calls) == 1
    monkeypatch.setattr("iris_tf.metrics.evaluate_embeddings._FLOATS_KEPT", len(rows) ** 2 - 1)
    again = figures(embeddings, rows, resamples=20, matcher=matcher)
    assert len(calls) > 2
    assert again == kept
