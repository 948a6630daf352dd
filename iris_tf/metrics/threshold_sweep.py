"""Accuracy, precision, recall and F1 against the threshold (AFL-KD, Table 2 and Figs. 2-5)."""

from typing import Any

import numpy as np

SWEEP = tuple(round(0.30 + 0.01 * step, 2) for step in range(41))
"""AFL-KD's range of thresholds, 0.30 to 0.70."""

FIGURES = ("accuracy", "precision", "recall", "f1")


def sweep_thresholds(
    scores: np.ndarray, genuine: np.ndarray, thresholds: np.ndarray | tuple = SWEEP
) -> dict[str, Any]:
    """Compute the figures of a classifier of comparisons at each threshold.

    Parameters
    ----------
    scores : ndarray of shape (n,), float
        A comparison is accepted from the threshold on.
    genuine : ndarray of shape (n,), bool
    thresholds : array_like of shape (k,), float

    Returns
    -------
    dict
        ``thresholds``, and by name of `FIGURES` a dict of ``values`` (k of them), ``best`` (the
        largest), ``best_threshold`` and ``mean``. Precision is 0 where nothing is accepted. All
        are 0..1; precision and F1 depend on the share of genuine comparisons.
    """
    scores, genuine = np.asarray(scores), np.asarray(genuine, bool)
    cuts = np.asarray(thresholds, np.float64)
    accepted = len(scores) - np.searchsorted(np.sort(scores), cuts, side="left")
    real = np.sort(scores[genuine])
    hits = len(real) - np.searchsorted(real, cuts, side="left")
    rejected_impostors = (len(scores) - len(real)) - (accepted - hits)
    found = {
        "accuracy": (hits + rejected_impostors) / len(scores),
        "precision": hits / np.maximum(accepted, 1),
        "recall": hits / max(len(real), 1),
        "f1": 2 * hits / np.maximum(accepted + len(real), 1),
    }
    return {"thresholds": cuts.tolist()} | {
        name: {
            "values": values.tolist(),
            "best": float(values.max()),
            "best_threshold": float(cuts[values.argmax()]),
            "mean": float(values.mean()),
        }
        for name, values in found.items()
    }
