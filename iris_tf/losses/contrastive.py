"""In-batch contrastive loss: every other identity of the batch is a negative."""

from keras import ops


def contrastive_loss(embeddings, labels, temperature: float = 1.0 / 16.0, spread: float = 0.0):
    """Softmax cross-entropy of finding the images of the same identity in the batch.

    For each ordered pair (a, p) of one identity, ``-log(exp(s_ap / T) / (exp(s_ap
    / T) + sum_n exp(s_an / T)))`` with cosine similarities s, n all images of
    other identities: the loss of Sohn (2016, N-pair) and van den Oord et al.
    (2018, InfoNCE) with the pairs of Khosla et al. (2020, L_out), except that other
    positives are left out of the denominator.

    Its gradient comes from the few negatives that are almost as near as the positive.
    `spread` adds that many times the mean of s_an^2 over all negatives, the second
    term of HaoChen et al. (2021, spectral contrastive loss): it is least when
    embeddings vary alike in all dimensions.

    Parameters
    ----------
    embeddings : tensor of shape (batch, D), float32
        Of unit length.
    labels : tensor of shape (batch,), integer
    temperature : float
        T, above 0.
    spread : float, optional
        Weight of the mean squared similarity of negatives, 0 or more.

    Returns
    -------
    tensor of shape (batch,)
        Mean over the positives of each image, 0 for an image without any, and the spread.
    """
    cosines = ops.matmul(embeddings, ops.transpose(embeddings))
    similarity = cosines / temperature
    same = ops.equal(labels[:, None], labels[None, :])
    itself = ops.eye(embeddings.shape[0], dtype="bool")
    positive = ops.cast(ops.logical_and(same, ~itself), "float32")
    others = ops.logsumexp(ops.where(same, -1e9, similarity), axis=1, keepdims=True)
    losses = ops.logaddexp(similarity, others) - similarity
    losses = ops.sum(losses * positive, axis=1) / ops.maximum(ops.sum(positive, axis=1), 1.0)
    if not spread:
        return losses
    negative = ops.cast(~same, "float32")
    squared = ops.sum(negative * ops.square(cosines), axis=1)
    return losses + spread * squared / ops.maximum(ops.sum(negative, axis=1), 1.0)
