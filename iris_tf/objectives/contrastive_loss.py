"""In-batch contrastive loss: all images of other identities in the batch are negatives."""

from typing import Any

from keras import ops


def contrastive_loss(embeddings: Any, labels: Any, temperature: float = 1.0 / 16.0) -> Any:
    """Softmax cross-entropy of retrieving images of the same identity from the batch.

    The loss of an ordered pair (a, p) of one identity is ``-log(exp(s_ap / T) /
    (exp(s_ap / T) + sum_n exp(s_an / T)))``, where s is the cosine similarity and n
    runs over all images of other identities. This is the loss of Sohn (2016, N-pair)
    and van den Oord et al. (2018, InfoNCE) over the pairs of Khosla et al. (2020,
    L_out), with the other positives excluded from the denominator.

    Parameters
    ----------
    embeddings : tensor of shape (batch, D), float32
        Unit length.
    labels : tensor of shape (batch,), integer
        Identity of each image.
    temperature : float
        T, above 0.

    Returns
    -------
    tensor of shape (batch,)
        Mean over the positives of each image; 0 for an image without positives.
    """
    similarity = ops.matmul(embeddings, ops.transpose(embeddings)) / temperature
    same = ops.equal(labels[:, None], labels[None, :])
    itself = ops.eye(embeddings.shape[0], dtype="bool")
    positive = ops.cast(ops.logical_and(same, ~itself), "float32")
    others = ops.logsumexp(ops.where(same, -1e9, similarity), axis=1, keepdims=True)
    losses = ops.logaddexp(similarity, others) - similarity
    return ops.sum(losses * positive, axis=1) / ops.maximum(ops.sum(positive, axis=1), 1.0)
