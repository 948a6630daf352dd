import numpy as np
import pytest
import tensorflow as tf

from iris_tf.objectives.band_miner import mine_negatives


def naive_mining(distances, d_ap, valid, d_left, d_right, keys, top_k):
    """Eq. 6 and its fallback, one candidate at a time."""
    indices, in_band = [], []
    for a in range(len(distances)):
        band = []
        for n in range(len(distances[a])):
            if valid[a][n] and d_ap[a] + d_left < distances[a][n] < d_ap[a] + d_right:
                band.append(n)
        in_band.append(bool(band))
        if not band:
            negatives = [n for n in range(len(distances[a])) if valid[a][n]]
            band = sorted(negatives, key=lambda n: distances[a][n])[:top_k]
        indices.append(max(band, key=lambda n: keys[a][n]) if band else -1)
    return indices, in_band


def random_case(seed, anchors=40, candidates=24, dtype=np.float32):
    rng = np.random.default_rng(seed)
    # Coarse values make ties.
    distances = (rng.integers(0, 33, (anchors, candidates)) / 16).astype(dtype)
    d_ap = (rng.integers(0, 33, anchors) / 16).astype(dtype)
    valid = rng.random((anchors, candidates)) < rng.choice([0.0, 0.1, 0.5, 1.0], (anchors, 1))
    return distances, d_ap, valid, rng.random((anchors, candidates), np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("seed", range(5))
def test_equals_a_naive_loop(seed, dtype):
    distances, d_ap, valid, keys = random_case(seed, dtype=dtype)
    for d_left, d_right, top_k in [(0.0625, 0.5, 5), (0.1, 0.2, 3), (0.0, 0.0, 1), (0.0, 2.0, 99)]:
        mined = mine_negatives(distances, d_ap, valid, d_left, d_right, keys, top_k)
        indices, in_band = naive_mining(distances, d_ap, valid, d_left, d_right, keys, top_k)
        assert mined.indices.numpy().tolist() == indices
        assert mined.in_band.numpy().tolist() == in_band


def test_the_random_cases_hold_every_kind():
    distances, d_ap, valid, keys = random_case(0)
    indices, in_band = naive_mining(distances, d_ap, valid, 0.0625, 0.5, keys, 5)
    assert -1 in indices
    assert True in in_band
    assert any(i >= 0 and not inside for i, inside in zip(indices, in_band, strict=True))


def test_edges_of_the_band_are_outside():
    # Band 0.5 + 0.25 .. 0.5 + 0.5: exact in binary.
    distances = [[0.75, 0.875, 1.0]]
    keys = [[0.9, 0.1, 0.8]]
    mined = mine_negatives(distances, [0.5], [[True] * 3], 0.25, 0.5, keys)
    assert (mined.indices.numpy().tolist(), mined.in_band.numpy().tolist()) == ([1], [True])


def test_the_band_moves_with_each_anchors_positive():
    distances = [[0.3, 0.6, 1.2]] * 2
    mined = mine_negatives(distances, [0.2, 1.1], [[True] * 3] * 2, 0.05, 0.2, [[0.5] * 3] * 2)
    assert mined.indices.numpy().tolist() == [0, 2]


def test_fallback_takes_one_of_the_hardest_by_key():
    distances = [[0.9, 0.1, 0.2, 0.3, 0.8]]
    keys = [[0.99, 0.3, 0.5, 0.4, 0.98]]
    mined = mine_negatives(distances, [1.5], [[True] * 5], 0.1, 0.4, keys, top_k=3)
    assert (mined.indices.numpy().tolist(), mined.in_band.numpy().tolist()) == ([2], [False])


def test_fallback_skips_what_is_not_a_negative():
    distances = [[0.1, 0.2, 0.3]]
    valid = [[False, False, True]]
    mined = mine_negatives(distances, [1.5], valid, 0.1, 0.4, [[0.9, 0.8, 0.0]], top_k=3)
    assert mined.indices.numpy().tolist() == [2]


def test_no_negative_at_all():
    mined = mine_negatives([[0.1, 0.2]], [0.1], [[False, False]], 0.0, 1.0, [[0.5, 0.5]])
    assert (mined.indices.numpy().tolist(), mined.in_band.numpy().tolist()) == ([-1], [False])


def test_uniform_among_those_that_qualify():
    draws = 3000
    distances = np.tile([0.55, 0.6, 0.65, 1.9, 0.1], (draws, 1))
    keys = np.random.default_rng(2).random((draws, 5))
    mined = mine_negatives(distances, np.full(draws, 0.5), distances > 0, 0.0, 0.3, keys)
    counts = np.bincount(mined.indices, minlength=5)
    # 1000 +- 5 standard deviations (26) of a binomial count.
    assert (np.abs(counts[:3] - 1000) < 130).all()
    assert counts[3:].tolist() == [0, 0]


def test_xla_gives_the_same():
    distances, d_ap, valid, keys = random_case(7)
    compiled = tf.function(mine_negatives, jit_compile=True)
    args = [tf.constant(x) for x in (distances, d_ap, valid, 0.0625, 0.5, keys)]
    plain, fast = mine_negatives(*args), compiled(*args)
    np.testing.assert_array_equal(fast.indices, plain.indices)
    np.testing.assert_array_equal(fast.in_band, plain.in_band)


def test_no_gradient_flows():
    distances = tf.constant([[0.3, 0.6]])
    with tf.GradientTape() as tape:
        tape.watch(distances)
        mined = mine_negatives(distances, [0.2], [[True, True]], 0.05, 0.2, [[0.5, 0.6]])
        total = tf.reduce_sum(tf.cast(mined.indices, tf.float32))
    assert tape.gradient(total, distances) is None
