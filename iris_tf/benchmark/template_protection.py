"""What a keyed transform of templates costs, and what attacks on it achieve, at generated sites."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.benchmark.scoring_recognizer import scoring_recognizer
from iris_tf.config.names import SCORE_POINT
from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.template_attacks import LINKAGES, StoredTemplates, recovered
from iris_tf.matching.keyed_transform import KeyedTransform, levelled
from iris_tf.matching.matcher import DescribedTemplates, Matcher
from iris_tf.matching.secret_keys import SecretKey
from iris_tf.metrics.bootstrap import percentile_interval
from iris_tf.metrics.evaluate_embeddings import Evaluation, evaluate_similarities
from iris_tf.metrics.figures import CONFIDENCE
from iris_tf.metrics.unlinkability import unlinkability
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.recognition.site_embeddings import SiteEmbeddings, SitePlan, site_embeddings

KNOWN = (1, 2, 4, 8, 16, 32, 64, 112)
"""Numbers of templates whose embeddings an attacker knows."""

_RESAMPLES = 200
_SCORE_SCALE = 64.0  # brings scores into -1..1 without changing their order
_NO_SECRET = SecretKey(bytes(32))  # keys of a measurement need not be secret


@dataclass(frozen=True, eq=False)
class ProtectedSite:
    """Figures of one site.

    Attributes
    ----------
    plain, transformed : Evaluation
        Of decisions by score.
    errors : dict of str to list of two float
        FMR and FNMR at the default operating point, ``plain`` and ``transformed``.
    links : dict of str to tuple of (ndarray, ndarray)
        Scores of mated and of non-mated pairs across two keys, by `LINKAGES`.
    reversal : ndarray of shape (len(KNOWN), 2)
        Mean cosine of recovered and true levelled embeddings, and share of recovered ones that
        are accepted as the eye of another image; NaN where the site has too few images.
    """

    plain: Evaluation
    transformed: Evaluation
    errors: dict[str, list[float]]
    links: dict[str, tuple[np.ndarray, np.ndarray]]
    reversal: np.ndarray

    @classmethod
    def of(
        cls, vectors: np.ndarray, eyes: np.ndarray, matcher: Matcher, number: int
    ) -> "ProtectedSite":
        """Transform the embeddings (n, D) of a site's images by two keys, and attack them.

        Parameters
        ----------
        vectors : ndarray of shape (n, D)
        eyes : ndarray of shape (n,)
            Who is on each image.
        matcher : Matcher
            Of a card with scores.
        number : int
            Of the site, for its keys.
        """
        keys = (SecretKey(_NO_SECRET.derive(f"site {number}: {n}")) for n in range(2))
        first, second = (StoredTemplates.of(KeyedTransform(k, matcher), vectors) for k in keys)
        same = eyes[:, None] == eyes[None]
        mated = same & ~np.eye(len(eyes), dtype=bool)
        scores = {
            "plain": _scores(matcher.describe(vectors), matcher),
            "transformed": _scores(
                matcher.describe(first.embeddings, first.figures, transformed=True), matcher
            ),
        }
        assert matcher.score_model is not None  # `measure_protection` has checked it
        accepted = {
            name: values >= matcher.score_model.thresholds[SCORE_POINT]
            for name, values in scores.items()
        }
        errors = {
            name: [float(yes[~same].mean()), float(1.0 - yes[mated].mean())]
            for name, yes in accepted.items()
        }
        links = {
            name: (values[mated], values[~same])
            for name, values in ((name, link(first, second)) for name, link in LINKAGES.items())
        }
        return cls(
            plain=_evaluated(scores["plain"], eyes),
            transformed=_evaluated(scores["transformed"], eyes),
            errors=errors,
            links=links,
            reversal=_reversal(vectors, eyes, first),
        )


def measure_protection(
    model: str | Path | None, plan: SitePlan, folder: str | Path
) -> dict[str, Any]:
    """Measure the keyed transform at generated sites.

    Parameters
    ----------
    model : str, Path or None
        See `IrisRecognizer`.
    plan : SitePlan
        Which sites.
    folder : str or Path
        Keeps embeddings, so that an interrupted measurement continues.

    Returns
    -------
    dict
        ``eer`` by score, mean over sites (``plain``, ``transformed``, ``difference`` and its paired
        ``interval``); ``errors``: FMR and FNMR at the default operating point; ``linkage``: D_sys
        (`iris_tf.metrics.unlinkability`) and what chance gives, by attack; ``reversal``: for each
        of `KNOWN`, as far as there are so many, what knowing as many templates of the key achieves.

    Raises
    ------
    ModelError
        When the model cannot be used, or its card has no scores.
    EvaluationError
        When the sites have too few eyes or images.
    """
    recognizer = scoring_recognizer(model)
    sites = [_of_site(found, recognizer) for found in site_embeddings(recognizer, plan, folder)]
    return {"model": recognizer.card.name, "seed": plan.seed} | summary(sites)


def summary(sites: Sequence[ProtectedSite]) -> dict[str, Any]:
    """Figures over sites, as `measure_protection` returns them."""
    before, after = (
        np.mean([getattr(site, name).metrics.values["eer"] for site in sites])
        for name in ("plain", "transformed")
    )
    differences = np.mean(
        [site.transformed.samples["eer"] - site.plain.samples["eer"] for site in sites], axis=0
    )
    interval = percentile_interval(differences, CONFIDENCE)
    return {
        "eer": {
            "plain": float(before),
            "transformed": float(after),
            "difference": float(after - before),
            "interval": None if interval is None else list(interval),
        },
        "errors": {
            name: dict(
                zip(
                    ("fmr", "fnmr"),
                    np.mean([site.errors[name] for site in sites], axis=0).tolist(),
                    strict=True,
                )
            )
            for name in ("plain", "transformed")
        },
        "linkage": {name: _linkage([site.links[name] for site in sites]) for name in LINKAGES},
        "reversal": list(_over_sites([site.reversal for site in sites])),
    }


def _over_sites(reversals: Sequence[np.ndarray]) -> Iterator[dict[str, float]]:
    """Means over those sites that have so many templates."""
    for known, figures in zip(KNOWN, np.swapaxes(reversals, 0, 1), strict=True):
        figures = figures[~np.isnan(figures).any(axis=1)]
        if len(figures):
            cosine, accepted = figures.mean(axis=0).tolist()
            yield {"known": known, "cosine": cosine, "accepted": accepted}


def _of_site(found: SiteEmbeddings, recognizer: IrisRecognizer) -> ProtectedSite:
    return ProtectedSite.of(found.vectors, found.eyes, recognizer.matcher, found.number)


def _linkage(links: Sequence[tuple[np.ndarray, np.ndarray]]) -> Mapping[str, float]:
    mated, non_mated = (np.concatenate(kind) for kind in zip(*links, strict=True))
    found = unlinkability(mated, non_mated)
    return {"d_sys": found.overall, "chance": found.chance}


def _scores(described: DescribedTemplates, matcher: Matcher) -> np.ndarray:
    return matcher.scores(described, described).values


def _evaluated(scores: np.ndarray, eyes: np.ndarray) -> Evaluation:
    rows = [
        ManifestRow(str(n), "site", str(eye), "", str(eye), str(n)) for n, eye in enumerate(eyes)
    ]
    similarities = np.tanh(scores / _SCORE_SCALE).astype(np.float32)
    return evaluate_similarities(similarities, rows, _RESAMPLES)


def _reversal(vectors: np.ndarray, eyes: np.ndarray, stored: StoredTemplates) -> np.ndarray:
    """See `ProtectedSite.reversal`: templates of one half of the eyes are known."""
    matcher = stored.matcher
    mine = np.flatnonzero(eyes < np.median(eyes))
    theirs = np.flatnonzero(eyes >= np.median(eyes))
    assert matcher.score_model is not None and stored.figures is not None  # there are scores
    true = levelled(vectors[theirs], matcher).astype(np.float32)
    targets = stored[theirs]
    another = matcher.describe(true, targets.figures, transformed=True)
    mated = eyes[theirs][:, None] == eyes[theirs][None]
    np.fill_diagonal(mated, False)
    result = np.full((len(KNOWN), 2), np.nan)
    for row, known in enumerate(KNOWN):
        if known > len(mine):
            break
        chosen = np.random.default_rng(known).permutation(mine)[:known]
        found = recovered(vectors[chosen], stored[chosen], targets).astype(np.float32)
        forged = matcher.describe(found, targets.figures, transformed=True)
        scores = matcher.scores(forged, another).values
        accepted = scores[mated] >= matcher.score_model.thresholds[SCORE_POINT]
        result[row] = np.einsum("ij,ij->i", found, true).mean(), accepted.mean()
    return result
