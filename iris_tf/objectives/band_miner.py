"""Mining of negatives from a band of distances beyond the positive's."""

from typing import Any, NamedTuple

import tensorflow as tf


class MinedNegatives(NamedTuple):
    """Negative mined for each anchor.

    Attributes
    ----------
    indices : tensor of shape (anchors,)
        int32 column of the mined negative; -1 where the anchor has no valid
        candidate (keep the sampled negative there).
    in_band : tensor of shape (anchors,)
        bool; False where the band was empty and the negative is a fallback.
    """

    indices: tf.Tensor
    in_band: tf.Tensor


def mine_negatives(
    distances: tf.Tensor,
    d_ap: tf.Tensor,
    valid: tf.Tensor,
    d_left: Any,
    d_right: Any,
    random_keys: tf.Tensor,
    top_k: int = 5,
) -> MinedNegatives:
    """Mine one negative per anchor (Eq. 6).

    The negative is drawn uniformly from the valid candidates with
    ``d_ap + d_left < d_an < d_ap + d_right`` (warm-hard and semi-hard mining:
    ``d_left`` and ``d_right`` are the ratios of `MiningSchedule` times the
    margin). If the band is empty, it is drawn uniformly from the `top_k` valid
    candidates with the smallest ``d_an`` (all of them, if fewer); ties are ranked
    by column. Compatible with XLA; no gradient flows through.

    Parameters
    ----------
    distances : tensor of shape (anchors, candidates)
        d(a, n) from each anchor to each embedding of the batch, any float type;
        compared in float32.
    d_ap : tensor of shape (anchors,)
        d(a, p).
    valid : tensor of shape (anchors, candidates)
        bool; whether a candidate is a negative of the anchor.
    d_left, d_right : float or scalar tensor
        Edges of the band, both exclusive, as distances beyond ``d_ap``.
    random_keys : tensor of shape (anchors, candidates)
        float32, independent and uniform in [0, 1). The qualifying candidate with
        the largest key is chosen (on ties, the first). The caller draws the keys, so
        the choice is determined by its seed.
    top_k : int
        Number of hardest candidates that the fallback draws from.

    Returns
    -------
    MinedNegatives
        Indices, and whether they are from the band.
    """
    distances = tf.stop_gradient(tf.cast(distances, tf.float32))
    d_ap = tf.stop_gradient(tf.cast(d_ap, tf.float32))[:, tf.newaxis]
    random_keys = tf.cast(random_keys, tf.float32)

    above = distances > d_ap + tf.cast(d_left, tf.float32)
    below = distances < d_ap + tf.cast(d_right, tf.float32)
    band, in_band = _largest_key(random_keys, valid & above & below)

    # Invalid candidates rank last, at infinite distance.
    ranked = tf.where(valid, -distances, -float("inf"))
    k = tf.minimum(top_k, tf.shape(distances)[1])
    _, hardest = tf.math.top_k(ranked, k)
    place, any_valid = _largest_key(
        tf.gather(random_keys, hardest, batch_dims=1),
        tf.gather(valid, hardest, batch_dims=1),
    )
    fallback = tf.gather(hardest, place, batch_dims=1)

    indices = tf.where(in_band, band, tf.where(any_valid, fallback, -1))
    return MinedNegatives(indices, in_band)


def _largest_key(keys: Any, qualifies: Any) -> Any:
    """Per row: the qualifying column with the largest key, and whether any column qualifies."""
    chosen = tf.argmax(tf.where(qualifies, keys, -1.0), axis=1, output_type=tf.int32)
    return chosen, tf.reduce_any(qualifies, axis=1)
