import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from iris_tf.evaluation.pair_lists import read_pairs
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.evaluate_embeddings import evaluate_embeddings, evaluate_pairs
from iris_tf.metrics.scales import SIMILARITIES
from iris_tf.support.errors import EvaluationError


def both_kinds(rows):
    lists = {True: [], False: []}
    for i in range(len(rows)):
        for j in range(i):
            lists[rows[i].identity == rows[j].identity].append((i, j))
    return np.array(lists[True]), np.array(lists[False])


def test_all_pairs_listed_give_the_figures_of_all_pairs(population):
    embeddings, rows = population(8, 4)
    wanted = evaluate_embeddings(embeddings, rows, resamples=30, matcher=Matcher())
    found = evaluate_pairs(embeddings, rows, *both_kinds(rows), resamples=30, matcher=Matcher())
    counts = wanted.metrics.to_json()["counts"] | {"probes": 0}
    assert found.metrics.to_json()["counts"] == counts
    for name in ("thresholds", "operating_points", "worst"):
        assert found.metrics.to_json()[name] == wanted.metrics.to_json()[name]
    for name, value in found.metrics.to_json()["metrics"].items():
        listed = not name.startswith(("cmc", "fnir"))
        assert value == (wanted.metrics.to_json()["metrics"][name] if listed else None)
    for name, samples in found.samples.items():
        np.testing.assert_allclose(samples, wanted.samples[name])
    assert found.metrics.bounds("eer") is not None


def test_some_pairs(population):
    embeddings, rows = population(8, 4)
    rng = np.random.default_rng(0)
    genuine, impostor = (rng.permutation(pairs)[:n] for pairs, n in
                         zip(both_kinds(rows), (20, 300), strict=True))  # fmt: skip
    found = evaluate_pairs(
        embeddings, rows, genuine, impostor, resamples=0, matcher=Matcher()
    ).metrics.to_json()
    pairs = np.concatenate([genuine, impostor])
    scores = SIMILARITIES.rounded(
        [embeddings[i].astype(float) @ embeddings[j].astype(float) for i, j in pairs]
    )
    truth = np.arange(320) < 20
    assert found["metrics"]["auc"] == pytest.approx(roc_auc_score(truth, scores))
    assert found["counts"]["images"] == len(np.unique(pairs))
    assert found["intervals"] is None


def test_persons_that_are_not_listed_change_no_interval(population):
    embeddings, rows = population(8, 4)
    some = np.flatnonzero([int(row.subject[1:]) >= 3 for row in rows])
    pairs = [kind[np.isin(kind, some).all(axis=1)] for kind in both_kinds(rows)]
    alone = [np.searchsorted(some, kind) for kind in pairs]
    wanted = evaluate_pairs(
        embeddings[some], [rows[i] for i in some], *alone, resamples=40, matcher=Matcher()
    )
    found = evaluate_pairs(embeddings, rows, *pairs, resamples=40, matcher=Matcher())
    assert 0 < len(some) < len(rows)
    for name, samples in wanted.samples.items():
        np.testing.assert_allclose(found.samples[name], samples)
    assert found.metrics.intervals == wanted.metrics.intervals


@pytest.fixture
def listed(tmp_path, rows_of):
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "L")])
    rows = [dataclasses.replace(row, image=f"{row.subject}/{row.image}") for row in rows]
    rows.append(dataclasses.replace(rows[2], image="c/2.png", identity="c-L", subject="c"))

    def listed(text, genuine=True):
        path = tmp_path / "pairs.csv"
        path.write_text(text)
        return read_pairs(path, rows, genuine).tolist()

    return listed


def test_images_are_named_by_path_or_by_unique_file_name(listed):
    assert listed("a/0.png,1.png\n\n") == [[0, 1]]
    assert listed("1.png, 0.png\n") == [[1, 0]]
    assert listed("0.png,b/2.png\n0.png,c/2.png\n", genuine=False) == [[0, 2], [0, 3]]
    assert listed('\ufeff"0.png","1.png"') == [[0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.png,2.png\n", r"line 1: several images have the file name '2\.png'"),
        ("0.png,1.png\n0.png,9.png\n", r"line 2: there is no image '9\.png' among those"),
        ("0.png,0.png\n", r"line 1: compares a/0\.png with itself"),
        ("0.png,1.png\n\n1.png,a/0.png\n", "line 3: the same comparison as in line 1"),
        ("0.png,1.png,1\n", "line 1: has 3 columns"),
        ("0.png,b/2.png\n", r"a/0\.png shows a-L and b/2\.png shows b-L .* no genuine comparison"),
        ("\n", "lists no comparison; give at least one genuine pair"),
        ("\0", "not a CSV table|there is no image|has 1 columns"),
    ],
)
def test_broken_lists(listed, text, message):
    with pytest.raises(EvaluationError, match=message):
        listed(text)


def test_an_impostor_list_of_one_identity_and_a_missing_one(listed, tmp_path):
    with pytest.raises(EvaluationError, match="no impostor comparison"):
        listed("0.png,1.png\n", genuine=False)
    with pytest.raises(EvaluationError, match=r"none\.csv: there is no such list"):
        read_pairs(tmp_path / "none.csv", [], True)
