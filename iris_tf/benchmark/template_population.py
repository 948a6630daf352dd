"""Templates of any number of eyes, drawn from what a few hundred generated eyes have in common.

Rendering and embedding a million eyes would take a day. What searches depend on is how alike the
templates of strangers and of one eye are, and that follows from second moments: responses of Gabor
filters to a texture are nearly Gaussian, so a stranger's phase code is a draw from the Gaussian
field with the correlations, across filters and along both axes, of its site's codes, limited to
its phases, under the mask of one of the site's images. Codes show the correlations of limited
responses, which are smaller than those before limiting; the relation for Gaussian processes (Van
Vleck and Middleton, 1966; for complex ones Jacovitti and Neri, 1994) is inverted.

A second image of an eye is its field mixed with another draw, so that the codes' similarity is that
of a pair of images of one generated eye, at that pair's rotation, under masks of its site.
Learned components are drawn and mixed in the same way from their own moments.

References
----------
J. H. Van Vleck and D. Middleton, "The spectrum of clipped noise", Proc. IEEE 54(1), 1966.

G. Jacovitti and A. Neri, "Estimation of the autocorrelation function of complex Gaussian
stationary processes by amplitude clipped signals", IEEE Trans. Information Theory 40(1), 1994.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import hyp2f1

from iris_tf.matching.matcher import Matcher
from iris_tf.matching.template import unit
from iris_tf.recognition.site_embeddings import SiteEmbeddings
from iris_tf.support.errors import BenchmarkError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

BLOCK = 1000
"""Eyes that are drawn together."""

_TINY = 1e-12


_TINY = 1e-12
_GRID = np.linspace(0.0, 1.0, 1001)


class _Site:
    """Second moments of the templates of one site, and its pairs of images of one eye."""

    def __init__(self, found: SiteEmbeddings, matcher: Matcher):
        layout = matcher.layout
        assert layout is not None
        learned, codes = matcher.split(found.vectors)
        fields = codes.reshape(len(codes), layout.columns, -1).view(np.complex64)
        self.lengths = np.abs(fields)  # 0 where hidden
        self.factors = _factors(fields / np.maximum(self.lengths, _TINY), self.lengths > 0)
        sizes = np.linalg.norm(learned, axis=1, keepdims=True)
        self.learned_share = float(np.square(sizes).mean())
        directions = learned / np.maximum(sizes, _TINY)
        self.mean = directions.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(directions.T))
        self.learned_factor = vectors * np.sqrt(np.maximum(values, 0.0))
        same = np.triu(found.eyes[:, None] == found.eyes[None], 1)
        self.pairs = [
            (*_at_best_rotation(fields[a], fields[b], layout), float(directions[a] @ directions[b]))
            for a, b in np.argwhere(same).tolist()
        ]


class TemplatePopulation:
    """Draws templates of eyes; an eye is the same whenever it is asked for.

    Parameters
    ----------
    sites : sequence of SiteEmbeddings
        Templates of generated eyes, some of them of the same eye.
    matcher : Matcher
        Of the model that computed them; with a phase code.
    seed : int, optional
        Of all draws.

    Raises
    ------
    BenchmarkError
        When a site has no two images of one eye.
    """

    def __init__(self, sites: Sequence[SiteEmbeddings], matcher: Matcher, seed: int = 0):
        self._seed, self._sites = seed, [_Site(site, matcher) for site in sites]
        if not all(site.pairs for site in self._sites):
            raise BenchmarkError("A site has no two images of one eye; take more images of each.")

    @property
    def sites(self) -> int:
        """Number of sites, of which successive blocks come in turn."""
        return len(self._sites)

    def enrolled(self, block: int) -> np.ndarray:
        """Templates (1000, D), float32, of the eyes of a block."""
        rng, site = self._block(block)
        return _templates(rng, site, *_draw(rng, site))

    def again(self, block: int, count: int = BLOCK) -> np.ndarray:
        """Templates (count, D) of other images of the first eyes of a block."""
        rng, site = self._block(block)
        fields, learned = (values[:count] for values in _draw(rng, site))
        rng = np.random.default_rng([self._seed, block, 1])
        other_fields, other_learned = (values[:count] for values in _draw(rng, site))
        for row in range(count):
            similarity, rotation, cosine = site.pairs[rng.integers(len(site.pairs))]
            mixed = _mixed(fields[row], other_fields[row], before_limiting(similarity))
            fields[row] = np.roll(mixed, rotation, axis=0)
            common = float(site.mean @ site.mean)
            kept = max(cosine - common, 0.0) / (1.0 - common)
            deviation = _mixed(learned[row] - site.mean, other_learned[row] - site.mean, kept)
            learned[row] = site.mean + deviation
        return _templates(rng, site, fields, learned)

    def _block(self, block: int) -> tuple[np.random.Generator, _Site]:
        return np.random.default_rng([self._seed, block]), self._sites[block % len(self._sites)]


def before_limiting(correlation: np.ndarray | float) -> np.ndarray:
    """Correlation of complex Gaussian values whose phases have a correlation, both 0..1."""
    limited = 0.25 * np.pi * _GRID * hyp2f1(0.5, 0.5, 2.0, np.square(_GRID))
    return np.asarray(np.interp(correlation, limited, _GRID))


def _draw(rng: np.random.Generator, site: _Site) -> tuple[np.ndarray, np.ndarray]:
    """Fields (1000, columns, p), complex64, and learned components (1000, d) of a site's eyes."""
    columns, kinds, _ = site.factors.shape
    white = rng.standard_normal((columns, BLOCK, 2 * kinds), np.float32).view(np.complex64)
    fields = np.fft.ifft(white @ site.factors.swapaxes(1, 2), axis=0)
    learned = site.mean + rng.standard_normal((BLOCK, len(site.mean))) @ site.learned_factor.T
    return np.ascontiguousarray(fields.swapaxes(0, 1), np.complex64), learned


def _mixed(first: np.ndarray, second: np.ndarray, kept: np.ndarray | float) -> np.ndarray:
    """A draw whose correlation with `first` is `kept`, from an independent one."""
    kept = min(float(kept), 1.0)
    return kept * first + np.sqrt(1.0 - kept**2) * second


def _templates(
    rng: np.random.Generator, site: _Site, fields: np.ndarray, learned: np.ndarray
) -> np.ndarray:
    """Unit vectors of fields, limited to their phases under masks of the site."""
    lengths = site.lengths[rng.integers(len(site.lengths), size=len(fields))]
    codes = fields * (lengths / np.maximum(np.abs(fields), np.float32(_TINY)))
    codes = codes.reshape(len(codes), -1).view(np.float32)
    code_share = np.sqrt(1.0 - site.learned_share)
    return unit(
        np.concatenate(
            [unit(learned) * np.sqrt(site.learned_share), unit(codes) * code_share], axis=1
        )
    )


def _factors(phases: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Square roots (columns, p, p) of the spectral density of fields before limiting.

    Parameters
    ----------
    phases : ndarray of shape (n, columns, p), complex64
        Of length 1, or 0 where hidden.
    seen : ndarray of shape (n, columns, p), bool
    """
    sums, counts = (_correlations(values) for values in (phases, seen.astype(np.complex64)))
    limited = np.where(counts.real > 0.5, sums / np.maximum(counts.real, 0.5), 0.0)
    size = np.abs(limited)
    unlimited = before_limiting(np.minimum(size, 1.0)) * limited / np.maximum(size, _TINY)
    density = np.fft.fft(unlimited, axis=0)
    values, vectors = np.linalg.eigh(0.5 * (density + density.conj().swapaxes(1, 2)))
    factors = vectors * np.sqrt(np.maximum(values, 0.0))[:, None]
    power = np.square(np.abs(factors)).sum(axis=2).mean(axis=0)
    # The inverse transform of as many columns makes their variance 1 with this scale.
    scale = np.sqrt(0.5 * len(factors) / power)
    return (factors * scale[:, None]).astype(np.complex64)


def _correlations(values: np.ndarray) -> np.ndarray:
    """Sums over fields of products at all lags around the ring, (columns, p, p)."""
    waves = np.fft.fft(values, axis=1)
    power = np.einsum("nfi,nfj->fij", waves, waves.conj(), optimize=True)
    return np.fft.ifft(power, axis=0)


def _at_best_rotation(
    first: np.ndarray, second: np.ndarray, layout: PhaseCodeLayout
) -> tuple[float, int]:
    """Similarity of two codes over what both show, 0 or more, and the rotation of the first."""
    found = []
    for rotation in layout.rotations:
        rotated = np.roll(first, rotation, axis=0)
        energies = [
            float(np.square(np.abs(one[other != 0])).sum())
            for one, other in ((rotated, second), (second, rotated))
        ]
        product = float((rotated * second.conj()).real.sum())
        found.append((product / max(np.sqrt(energies[0] * energies[1]), _TINY), rotation))
    similarity, rotation = max(found)
    return min(max(similarity, 0.0), 1.0), rotation
