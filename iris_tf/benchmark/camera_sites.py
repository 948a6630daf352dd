"""Whether decisions by score hold on generated cameras that they were not fitted to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iris_tf.benchmark.scoring_recognizer import scoring_recognizer
from iris_tf.config.names import SCORE_RATES
from iris_tf.matching.matcher import Matcher
from iris_tf.metrics.metrics import RULE_OF_30
from iris_tf.metrics.verification import equal_error_rate
from iris_tf.recognition.site_embeddings import SiteEmbeddings, SitePlan, site_embeddings
from iris_tf.support.errors import BenchmarkError

RATES = {name: SCORE_RATES[name] for name in ("fmr_1e-2", "fmr_1e-3", "fmr_1e-4")}
"""Operating points that a site may have enough comparisons for."""


@dataclass(frozen=True)
class SiteFigures:
    """Errors of decisions by score at one site.

    Attributes
    ----------
    site : int
        Number of the site.
    images, refused : int
        Images with an embedding, and those in which no usable iris was found.
    genuine, impostor : int
        Numbers of comparisons.
    inconclusive_genuine : float
        Share of the genuine comparisons that show too little to decide; in the EER they rank
        below all others.
    eer : float
        Equal error rate of the scores, 0..1.
    fmr_over_claim : dict of str to float or None
        Measured FMR over that of the operating point, by `RATES`; None where fewer than 30 false
        matches are expected.
    fnmr : dict of str to float
        By the same names, inconclusive comparisons counted as non-matches.
    """

    site: int
    images: int
    refused: int
    genuine: int
    impostor: int
    inconclusive_genuine: float
    eer: float
    fmr_over_claim: dict[str, float | None]
    fnmr: dict[str, float]

    @classmethod
    def of(cls, found: SiteEmbeddings, matcher: Matcher) -> "SiteFigures":
        """Compare all pairs of a site's images.

        Raises
        ------
        BenchmarkError
            When too many images were refused.
        """
        first, second = np.triu_indices(len(found.eyes), 1)
        same = found.eyes[first] == found.eyes[second]
        if same.all() or not same.any():
            raise BenchmarkError(
                f"Site {found.number}: {found.refused} of {found.refused + len(found.eyes)} images "
                "were refused, so there is nothing to compare; take more eyes or images."
            )
        templates = matcher.describe(found.vectors)
        scores = matcher.scores(templates, templates).values[first, second]
        genuine, impostor = scores[same], scores[~same]
        assert matcher.score_model is not None  # else nothing was described
        thresholds = matcher.score_model.thresholds
        return cls(
            site=found.number,
            images=len(found.eyes),
            refused=found.refused,
            genuine=len(genuine),
            impostor=len(impostor),
            inconclusive_genuine=float(np.isneginf(genuine).mean()),
            eer=equal_error_rate(genuine, impostor).rate,
            fmr_over_claim={
                name: float((impostor >= thresholds[name]).mean() / rate)
                if rate * len(impostor) >= RULE_OF_30
                else None
                for name, rate in RATES.items()
            },
            fnmr={name: float((genuine < thresholds[name]).mean()) for name in RATES},
        )


def measure_cameras(model: str | Path | None, plan: SitePlan, folder: str | Path) -> dict[str, Any]:
    """Measure decisions by score at generated sites.

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
        ``model``, ``sites`` (`SiteFigures` as dictionaries), ``worst`` and ``median``: figures
        over sites, by name. The worst is the largest; of FMRs over the claim, sites without one
        do not count.

    Raises
    ------
    ModelError
        When the model cannot be used, or its card has no scores.
    BenchmarkError
        When too many images of a site were refused.
    """
    recognizer = scoring_recognizer(model)
    sites = [
        SiteFigures.of(found, recognizer.matcher)
        for found in site_embeddings(recognizer, plan, folder)
    ]
    return {
        "model": recognizer.card.name,
        "seed": plan.seed,
        "sites": [vars(site) for site in sites],
        "worst": _over_sites(sites, max),
        "median": _over_sites(sites, lambda values: float(np.median(values))),
    }


def _over_sites(
    sites: Sequence[SiteFigures], summarised: Callable[[Sequence[float]], float]
) -> dict[str, Any]:
    def by_rate(name: str) -> dict[str, float | None]:
        found = {
            rate: [value for site in sites if (value := getattr(site, name)[rate]) is not None]
            for rate in RATES
        }
        return {rate: summarised(values) if values else None for rate, values in found.items()}

    return {
        name: summarised([getattr(site, name) for site in sites])
        for name in ("refused", "inconclusive_genuine", "eer")
    } | {name: by_rate(name) for name in ("fmr_over_claim", "fnmr")}
