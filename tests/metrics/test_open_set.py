import dataclasses

import numpy as np
import pytest

from iris_tf.metrics import open_set as open_set_module
from iris_tf.metrics import scores as scores_module
from iris_tf.metrics.bootstrap import subject_weights
from iris_tf.metrics.open_set import FPIRS, OpenSetCounter, draw_galleries
from iris_tf.metrics.scales import SIMILARITIES
from iris_tf.metrics.scores import label_images, similarity_blocks


def counted(embeddings, labels, draws):
    counter = OpenSetCounter(labels, draws)
    for start, block in similarity_blocks(embeddings):
        counter.add(start, block)
    return counter


def searched(embeddings, labels, draws):
    return dataclasses.asdict(counted(embeddings, labels, draws).result())


def naive_fnir(matrix, labels, draw, fpir, weights=None):
    """Least FNIR of all thresholds whose FPIR is at most `fpir`, by loops over searches.

    With weights, each copy of a person is searched for by itself.
    """
    enrolled = {labels.subject[image] for image in draw.gallery}
    own = {labels.identity[image]: image for image in draw.gallery}
    mated, non_mated = [], []
    for probe in range(len(matrix)):
        allowed = [g for g in draw.gallery if labels.group[g] == labels.group[probe]]
        for _ in range(1 if weights is None else weights[labels.subject[probe]]):
            if labels.subject[probe] not in enrolled:
                non_mated.append(max([matrix[probe, g] for g in allowed], default=-1))
            elif own[labels.identity[probe]] != probe:
                mated.append(matrix[probe, own[labels.identity[probe]]])
    if not mated or not non_mated:
        return np.nan, len(mated), len(non_mated)
    rates = [np.mean(np.array(mated) < t) for t in [*mated, *non_mated, 2.0]
             if np.mean(np.array(non_mated) >= t) <= fpir]  # fmt: skip
    return min(rates), len(mated), len(non_mated)


@pytest.mark.parametrize("floats", [1, 1 << 22])
@pytest.mark.parametrize("protocol", ["all-pairs", "same-eye"])
def test_fnir_equals_searching_one_by_one(population, monkeypatch, floats, protocol):
    embeddings, rows = population(7, 4)
    embeddings, rows = embeddings[:-6], rows[:-6]
    labels = label_images(rows, protocol)
    monkeypatch.setattr(scores_module, "_FLOATS_PER_BLOCK", floats)
    matrix = np.concatenate([block for _, block in similarity_blocks(embeddings)])
    draws = draw_galleries(labels, 4, seed=1)
    found = searched(embeddings, labels, draws)
    wanted = [naive_fnir(SIMILARITIES.rounded(matrix), labels, draw, 0.1) for draw in draws]
    assert found["fnir"]["fpir_1e-1"] == pytest.approx(np.mean([w[0] for w in wanted]))
    assert found["mated_probes"] == pytest.approx(np.mean([w[1] for w in wanted]))
    assert found["non_mated_probes"] == pytest.approx(np.mean([w[2] for w in wanted]))
    assert found["fnir"]["fpir_1e-2"] is None  # under 100 non-mated probes
    assert found["rule_of_30"] == {"fpir_1e-1": False, "fpir_1e-2": False}


def test_galleries_are_drawn_by_person_and_seed(population):
    labels = label_images(population(7, 3)[1])
    draws = draw_galleries(labels, 5, seed=3)
    for draw in draws:
        enrolled = set(labels.subject[draw.gallery])
        assert len(enrolled) == 4
        assert len(draw.gallery) == 8  # one of each eye
        assert len(set(labels.identity[draw.gallery])) == 8
        assert enrolled.isdisjoint(labels.subject[draw.non_mated])
        assert set(np.flatnonzero(draw.non_mated)) == set(
            np.flatnonzero(~np.isin(labels.subject, list(enrolled)))
        )
        mated = np.flatnonzero(draw.mate >= 0)
        assert set(mated).isdisjoint(draw.gallery)
        assert len(mated) == 4 * 6 - 8
        assert (labels.identity[mated] == labels.identity[draw.mate[mated]]).all()
    again = draw_galleries(labels, 5, seed=3)
    assert all((a.gallery == b.gallery).all() for a, b in zip(draws, again, strict=True))
    assert len({tuple(draw.gallery) for draw in draws}) == 5


def test_perfect_and_constant_scores(rows_of):
    rows = rows_of([(f"p{i // 5}", "L") for i in range(100)])
    labels = label_images(rows)
    draws = draw_galleries(labels, 3)
    perfect = searched(np.repeat(np.eye(20), 5, axis=0), labels, draws)
    assert perfect["fnir"]["fpir_1e-1"] == 0.0
    constant = searched(np.tile([1.0, 0.0], (100, 1)), labels, draws)
    assert constant["fnir"]["fpir_1e-1"] == 1.0
    assert (constant["enrolled"], constant["mated_probes"], constant["non_mated_probes"]) == (
        10, 40, 50,
    )  # fmt: skip


def test_one_person_has_no_open_set(population):
    embeddings, rows = population(1, 4)
    labels = label_images(rows)
    found = searched(embeddings, labels, draw_galleries(labels, 2))
    assert found["fnir"] == {"fpir_1e-1": None, "fpir_1e-2": None}


@pytest.mark.parametrize("floats", [1, 1 << 23])
@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("protocol", ["all-pairs", "same-eye"])
def test_resampled_fnir_equals_drawing_probes_one_by_one(
    population, monkeypatch, floats, ties, protocol
):
    embeddings, rows = population(6, 4, noise=1.5, size=4)
    if ties:  # vectors from a coarse set
        embeddings = np.sign(embeddings) / 2
    labels = label_images(rows[:-3], protocol)  # persons differ in number of images
    monkeypatch.setattr(open_set_module, "_FLOATS_PER_BLOCK", floats)
    matrix = SIMILARITIES.rounded(
        np.concatenate([block for _, block in similarity_blocks(embeddings[:-3])])
    )
    draws = draw_galleries(labels, 2, seed=1)
    weights = subject_weights(6, 25, seed=4)
    weights[0] = 1
    counter = counted(embeddings[:-3], labels, draws)
    found = counter.resample(weights)
    for name, fpir in FPIRS.items():
        wanted = [
            np.mean([naive_fnir(matrix, labels, draw, fpir, drawn)[0] for draw in draws])
            for drawn in weights
        ]
        np.testing.assert_allclose(found[name], wanted)
    # Everybody drawn once is the estimate itself.
    assert found["fpir_1e-1"][0] == pytest.approx(counter.result().fnir["fpir_1e-1"])


def test_a_resample_without_a_kind_of_probe_is_nan(rows_of):
    labels = label_images(rows_of([("a", "L"), ("a", "L"), ("b", "L"), ("b", "L")]))
    counter = counted(np.eye(4), labels, draw_galleries(labels, 1))
    found = counter.resample(np.array([[2, 0], [0, 2], [1, 1]]))
    assert np.isnan(found["fpir_1e-1"]).tolist() == [True, True, False]
