"""Fits the numbers of a card's scores to comparisons at generated sites."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from iris_tf.config.names import SCORE_RATES
from iris_tf.matching.levelling import mean_spectrum
from iris_tf.matching.matcher import DescribedTemplates
from iris_tf.matching.phase_evidence import compare_codes
from iris_tf.recognition.recognizer import IrisRecognizer
from iris_tf.recognition.site_embeddings import SitePlan, site_embeddings
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import Levelling, ScoreModel

# Not fitted: on generated eyes, which the network was trained on, the learned component would be
# trusted four times as much. Among strangers of any camera, exp(8 max(c - 0.35, 0)) has a mean
# near 1, so it hardly changes the FMR, which the phase codes determine.
_LEARNED_WEIGHT, _LEARNED_FROM = 8.0, 0.35
_LEAST_FREEDOM = 64.0  # a similarity of 0.6 is 4.6 standard deviations then
# Images that are rotated by more than a head tilts are rare, and others lose
# ln(4/3) of evidence by the search for them.
_WIDE_SHARE = 0.25
# Of magnitudes, see `Levelling`: 0.4 to 0.6 serve about equally well.
_EXPONENT = 0.5
_SAFE_SHARE = 0.75  # of the sites have at most the FMR of an operating point
_SUPPORTED_AT = 1e-2  # FMR that every site's comparisons support


@dataclass(frozen=True, eq=False)
class SiteComparisons:
    """All comparisons of one site's templates.

    Attributes
    ----------
    evidence, cosine : ndarray of shape (n,)
        Of phase codes and of learned components.
    freedom : ndarray of shape (n,)
    genuine : ndarray of shape (n,), bool
    """

    evidence: np.ndarray
    cosine: np.ndarray
    freedom: np.ndarray
    genuine: np.ndarray

    @classmethod
    def of(
        cls,
        embeddings: np.ndarray,
        identities: Sequence | np.ndarray,
        layout: PhaseCodeLayout,
        levelling: Levelling,
    ) -> "SiteComparisons":
        """Compare all pairs of embeddings (n, D), whose phase codes are levelled."""
        templates = DescribedTemplates.of(embeddings, layout, levelling=levelling)
        found = compare_codes(templates.codes, templates.codes, _WIDE_SHARE)
        pairs = np.triu_indices(len(embeddings), 1)
        names = np.asarray(identities)
        return cls(
            found.evidence[pairs],
            (templates.learned @ templates.learned.T)[pairs],
            found.freedom[pairs],
            names[pairs[0]] == names[pairs[1]],
        )

    @property
    def total(self) -> np.ndarray:
        """Evidence of both components together, of the conclusive comparisons."""
        learned = _LEARNED_WEIGHT * np.maximum(self.cosine - _LEARNED_FROM, 0.0)
        return (self.evidence + learned)[self.conclusive]

    @property
    def conclusive(self) -> np.ndarray:
        """Which comparisons have enough degrees of freedom for a decision."""
        return self.freedom >= _LEAST_FREEDOM


def fit_scores(sites: Sequence[SiteComparisons], levelling: Levelling) -> ScoreModel:
    """Fit offset, slope and thresholds.

    Offset and slope are those of a logistic regression in which each site has the same weight,
    and both kinds of comparisons have half of it. Thresholds follow from the exponential
    distribution of strangers' evidence, raised until the stated share of sites has at most the
    FMR at 1e-2.

    Parameters
    ----------
    sites : sequence of SiteComparisons
        Each with genuine and impostor comparisons.
    levelling : Levelling
        Of the phase codes that were compared.
    """
    totals = [site.total for site in sites]
    kinds = [site.genuine[site.conclusive] for site in sites]
    offset, slope = _logistic(totals, kinds)
    level = -np.log(_SUPPORTED_AT)
    # With respect to all comparisons: an inconclusive one is never a false match.
    shares = [
        (total[~genuine] >= level).sum() / (~site.genuine).sum() / _SUPPORTED_AT
        for site, total, genuine in zip(sites, totals, kinds, strict=True)
    ]
    margin = float(np.log(max(np.quantile(shares, _SAFE_SHARE), 1.0)))
    thresholds = {
        point: round(offset + slope * (margin - float(np.log(rate))), 4)
        for point, rate in SCORE_RATES.items()
    }
    return ScoreModel(
        offset,
        slope,
        _LEARNED_WEIGHT,
        _LEARNED_FROM,
        _LEAST_FREEDOM,
        thresholds,
        {
            "cameras": len(sites),
            "genuine_comparisons": int(sum(site.genuine.sum() for site in sites)),
            "impostor_comparisons": int(sum((~site.genuine).sum() for site in sites)),
            "fmr_over_claim": [round(float(share / np.exp(margin)), 2) for share in sorted(shares)],
            "tail": "exponential in the evidence",
        },
        _WIDE_SHARE,
        levelling,
    )


def fit_at_sites(recognizer: IrisRecognizer, plan: SitePlan, folder: str | Path) -> ScoreModel:
    """Fit the scores of a model with a phase code to generated sites.

    Parameters
    ----------
    recognizer : IrisRecognizer
        Embeds the images.
    plan : SitePlan
        Which sites.
    folder : str or Path
        Keeps embeddings, so that an interrupted fit continues.
    """
    layout = recognizer.matcher.layout
    assert layout is not None  # else there is nothing to fit
    sites = list(site_embeddings(recognizer, plan, folder))
    codes = [recognizer.matcher.split(found.vectors)[1] for found in sites]
    # Every site has the same weight, however many of its images were refused.
    spectra = [mean_spectrum(code, layout) for code in codes]
    levelling = Levelling(tuple(np.mean(spectra, axis=0).round(3).tolist()), _EXPONENT)
    return fit_scores(
        [SiteComparisons.of(found.vectors, found.eyes, layout, levelling) for found in sites],
        levelling,
    )


def _logistic(totals: list[np.ndarray], kinds: list[np.ndarray]) -> tuple[float, float]:
    """Offset and slope of a log-likelihood ratio, with equal weight of all sites and kinds."""
    evidence, signs = np.concatenate(totals), np.where(np.concatenate(kinds), 1.0, -1.0)
    weights = np.concatenate(
        [np.where(kind, 0.5 / kind.sum(), 0.5 / (~kind).sum()) for kind in kinds]
    )

    def loss(line: np.ndarray) -> float:
        return float(weights @ np.logaddexp(0.0, -signs * (line[0] + line[1] * evidence)))

    offset, slope = minimize(loss, (-4.0, 1.0), method="Nelder-Mead").x
    return round(float(offset), 3), round(float(slope), 3)
