"""How unlikely the similarity of two phase codes is among strangers on the same camera.

Phase codes of different eyes are uncorrelated, but how much their similarity scatters depends on
how smooth the codes are along both the angle and the radius, thus on camera, focus, eyelashes and
resolution. The scatter follows from the two codes alone, by their autocorrelations (Bartlett,
1946); Daugman (1993) estimates the same quantity, the degrees of freedom of a comparison, from
many comparisons of strangers. The largest similarity over all rotations is judged by how often a
Gaussian process rises above a level (Rice, 1945).

References
----------
M. S. Bartlett, "On the theoretical specification and sampling properties of autocorrelated
time-series", Suppl. J. Royal Statistical Society 8(1), 1946.

S. O. Rice, "Mathematical analysis of random noise", Bell System Technical Journal 24, 1945.

J. Daugman, "High confidence visual recognition of persons by a test of statistical
independence", IEEE TPAMI 15(11), 1993.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from iris_tf.matching.levelling import levelled_codes
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import Levelling

_FILTERS = 2
_ROW_LAGS = 4  # 0..3; negative ones follow by symmetry
_COLUMN_LAGS = 11  # in either direction
_LEAST_COUNT = 20.0  # places, below which an autocorrelation is not scaled up further
_LEAST_SPREAD = 1.0 / (2 * _FILTERS)  # places per degree of freedom
# A code shares the sampling error of its autocorrelation with itself, not with strangers.
_SHARED = 0.85
_SMOOTHEST = 0.95  # correlation of similarities at neighbouring rotations
# Evidence that one stranger in a hundred reaches, hence no sign that an image is rotated.
_BY_CHANCE = 4.6
_TINY = 1e-12
# Codes that are described and compared at a time, such that all of it stays in a processor's cache.
_DESCRIBED = 64
_ROWS, _PAIRS = 16, 2048


@dataclass(frozen=True, eq=False)
class CodeSet:
    """Phase codes, with what comparisons need to know of each.

    Codes are kept as Fourier coefficients along the ring: the products of these are the
    coefficients of the correlation at all rotations at once.

    Attributes
    ----------
    layout : PhaseCodeLayout
    waves : ndarray of shape (columns // 2 + 1, n, size / columns), complex64
        Coefficients of the codes' entries, by frequency.
    seen, energies : ndarray of shape (columns // 2 + 1, n, size / columns / 2), complex64
        Coefficients of where a response is not hidden (1, else 0), and of its squared magnitude.
    spread : ndarray of shape (n,)
        Visible places per degree of freedom in comparisons with codes like this one.
    smoothness : ndarray of shape (n,)
        Correlation of similarities with codes like this one at neighbouring rotations.
    coarseness : ndarray of shape (n,)
        Mean energy of the coarse filter's visible responses over the fine filter's, before
        levelling. It is near 1 for sharp images, and 0 where a filter sees nothing. Blur removes
        fine texture first, so it rises with blur, but hardly with the hidden share of the iris.
    plain_spread : ndarray of shape (n,) or None
        The spread before levelling; None without.
    """

    layout: PhaseCodeLayout
    waves: np.ndarray
    seen: np.ndarray
    energies: np.ndarray
    spread: np.ndarray
    smoothness: np.ndarray
    coarseness: np.ndarray
    plain_spread: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        codes: np.ndarray,
        layout: PhaseCodeLayout,
        figures: np.ndarray | None = None,
        levelling: Levelling | None = None,
    ) -> Self:
        """Describe phase codes (n, size), after levelling them if there is one.

        Their `figures` after the same levelling may be known.
        """
        codes = np.ascontiguousarray(codes, np.float32)
        count, entries = len(codes), codes.shape[1] // layout.columns
        shape = layout.columns // 2 + 1, count
        waves = np.empty((*shape, entries), np.complex64)
        places, powers = (np.empty((*shape, entries // 2), np.complex64) for _ in range(2))
        known = figures is not None
        figures = np.asarray(figures, np.float64) if known else _no_figures(count, levelling)
        coarseness = np.empty(count, np.float32)
        for start in range(0, count, _DESCRIBED):
            part = slice(start, start + _DESCRIBED)
            plain = levelled = codes[part]
            energies = _energies(plain)
            seen = _seen(plain)
            coarseness[part] = _coarseness(energies, seen)
            if levelling is not None:
                levelled = levelled_codes(plain, layout, levelling)
                energies = _energies(levelled)
            if not known:
                figures[part] = _figures(plain, levelled, seen, layout)
            for whole, values in ((waves, levelled), (places, seen), (powers, energies)):
                whole[:, part] = layout.waves(values).swapaxes(0, 1)
        spread, smoothness, *others = figures.T
        plain_spread = others[0] if others else None
        return cls(layout, waves, places, powers, spread, smoothness, coarseness, plain_spread)

    def __len__(self) -> int:
        return len(self.spread)

    def __getitem__(self, chosen: slice | np.ndarray) -> Self:
        waves, seen, energies = (part[:, chosen] for part in (self.waves, self.seen, self.energies))
        return type(self)(
            self.layout,
            waves,
            seen,
            energies,
            self.spread[chosen],
            self.smoothness[chosen],
            self.coarseness[chosen],
            None if self.plain_spread is None else self.plain_spread[chosen],
        )

    @property
    def freedom(self) -> np.ndarray:
        """Degrees of freedom (n,) of each code's comparison with itself, before levelling.

        Blur takes most of them; levelling would make up for that.
        """
        spread = self.spread if self.plain_spread is None else self.plain_spread
        return np.rint(self.seen[0].real.sum(axis=1)) / spread

    @property
    def figures(self) -> np.ndarray:
        """What takes longest to compute: `spread`, `smoothness`, and any `plain_spread`.

        Of shape (n, 2), or (n, 3) of levelled codes.
        """
        others = [] if self.plain_spread is None else [self.plain_spread]
        return np.stack([self.spread, self.smoothness, *others], axis=1)


def figure_count(levelling: Levelling | None) -> int:
    """Number of `CodeSet.figures` of each code."""
    return 2 if levelling is None else 3


def code_figures(
    codes: np.ndarray, layout: PhaseCodeLayout, levelling: Levelling | None
) -> np.ndarray:
    """`CodeSet.figures` of phase codes (n, size), for which not all else is computed."""
    codes = np.ascontiguousarray(codes, np.float32)
    figures = _no_figures(len(codes), levelling)
    for start in range(0, len(codes), _DESCRIBED):
        part = slice(start, start + _DESCRIBED)
        plain = levelled = codes[part]
        seen = _seen(plain)
        if levelling is not None:
            levelled = levelled_codes(plain, layout, levelling)
        figures[part] = _figures(plain, levelled, seen, layout)
    return figures


@dataclass(frozen=True, eq=False)
class PhaseEvidence:
    """Evidence of phase codes, for every pair of two sets.

    Attributes
    ----------
    freedom : ndarray of shape (n, m)
        Degrees of freedom of the comparison: the reciprocal variance of strangers' similarities
        over commonly visible places. They fall with blur and with a smaller common area; 0 where
        nothing is visible in both. Rotations beyond those of the layout count where their evidence
        is larger than one stranger in a hundred would have.
    evidence : ndarray of shape (n, m)
        Negative natural logarithm of the share of strangers that are as similar at any rotation;
        by this definition exponentially distributed among strangers.
    """

    freedom: np.ndarray
    evidence: np.ndarray


def compare_codes(first: CodeSet, second: CodeSet, wide_share: float = 0.0) -> PhaseEvidence:
    """Compare every phase code of one set with every code of another.

    Parameters
    ----------
    first, second : CodeSet
        Of the same layout.
    wide_share : float, optional
        Share of strangers' evidence, 0..1, that may come of rotations beyond those of the layout,
        as of images that are upside down. With 0 they are not tried.
    """
    found = tuple(np.empty((len(first), len(second)), np.float32) for _ in range(2))
    rows = max(min(_ROWS, len(first)), 1)
    for start in range(0, len(first), rows):
        for column in range(0, len(second), _PAIRS // rows):
            part = slice(start, start + rows), slice(column, column + _PAIRS // rows)
            values = _compare(first[part[0]], second[part[1]], wide_share)
            for whole, value in zip(found, values, strict=True):
                whole[part] = value
    return PhaseEvidence(*found)


def _compare(first: CodeSet, second: CodeSet, wide_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Fields of `PhaseEvidence` of some pairs."""
    layout = first.layout
    correlations = _Correlations.of(first, second)
    freedom, evidence = _evidence(correlations, layout.rotations, 1.0 - wide_share)
    if wide_share and layout.wide_rotations:
        wide_freedom, wide = _evidence(correlations, layout.wide_rotations, wide_share)
        # Else what both show upright counts, which may be nothing.
        rotated = (wide > evidence) & (wide > _BY_CHANCE)
        freedom = np.where(rotated, wide_freedom, freedom)
        evidence = np.maximum(wide, evidence)
    return freedom, evidence


class _Correlations(NamedTuple):
    """Correlations of n and m codes at all rotations (columns, n, m), and figures of pairs (n, m).

    Attributes
    ----------
    product : ndarray of shape (columns, n, m)
        Scalar products of the codes.
    common : ndarray of shape (columns, n, m)
        Numbers of places that are visible in both.
    first_energy, second_energy : ndarray of shape (columns, n, m)
        Energies of either code at these places.
    spread, smoothness : ndarray of shape (n, m)
        Means of both codes'.
    """

    product: np.ndarray
    common: np.ndarray
    first_energy: np.ndarray
    second_energy: np.ndarray
    spread: np.ndarray
    smoothness: np.ndarray

    @classmethod
    def of(cls, first: CodeSet, second: CodeSet) -> Self:
        pairs = (
            (first.waves, second.waves),
            (first.seen, second.seen),
            (first.energies, second.seen),
            (first.seen, second.energies),
        )
        columns = first.layout.columns
        product, common, first_energy, second_energy = (
            _correlate(one, other, columns) for one, other in pairs
        )
        return cls(
            product,
            common,
            first_energy,
            second_energy,
            np.sqrt(np.outer(first.spread, second.spread)),
            0.5 * np.add.outer(first.smoothness, second.smoothness),
        )


def _evidence(
    found: _Correlations, rotations: range, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Degrees of freedom and evidence (n, m) at the best of some rotations.

    `share` is that of strangers' evidence that may come of these rotations.
    """
    columns = len(found.product)
    products = found.product[np.array(rotations) % columns]
    # As `argmax`, which is slow along the first axis.
    order = np.arange(len(rotations), dtype=np.uint16)[:, None, None]
    place = ((products == products.max(axis=0)) * order).max(axis=0)
    best = np.array(rotations)[place] % columns
    product, common, *energies = (
        np.take_along_axis(values, best[None], axis=0)[0] for values in found[:4]
    )
    freedom = np.rint(common) / found.spread
    similarity = np.maximum(product, 0.0) / np.sqrt(np.maximum(energies[0] * energies[1], _TINY))
    # A Gaussian process is above a level z at the start with probability exp(-z^2 / 2) / 2 at
    # most, and rises above it this often until the last rotation, times exp(-z^2 / 2).
    steps = len(rotations) - 1
    crossings = steps * np.sqrt(2.0 * (1.0 - found.smoothness)) / (2.0 * np.pi)
    evidence = 0.5 * freedom * np.square(similarity) - np.log((0.5 + crossings) / share)
    return freedom, evidence


def _seen(codes: np.ndarray) -> np.ndarray:
    """1 where a code shows the iris, 0 where its responses are 0 because it is hidden."""
    return (codes.view(np.complex64) != 0).astype(np.float32)


def _energies(codes: np.ndarray) -> np.ndarray:
    """Squared magnitudes (n, size / 2) of the responses of codes (n, size), float32."""
    responses = codes.view(np.complex64)
    return np.square(responses.real) + np.square(responses.imag)


def _coarseness(energies: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """`CodeSet.coarseness` of codes whose responses have some energies."""
    # Strided sums, since NumPy is slow at summing over all but a last axis of length 2.
    coarse, fine = (
        energies[:, number::_FILTERS].sum(axis=1)
        / np.maximum(seen[:, number::_FILTERS].sum(axis=1), 1.0)
        for number in range(_FILTERS)
    )
    return np.divide(coarse, fine, out=np.zeros_like(coarse), where=fine > 0)


def _correlate(first: np.ndarray, second: np.ndarray, columns: int) -> np.ndarray:
    """Scalar products (columns, n, m) of codes at all rotations of the first, from their waves."""
    return np.fft.irfft(first.conj() @ second.swapaxes(1, 2), columns, axis=0)


def _no_figures(count: int, levelling: Levelling | None) -> np.ndarray:
    return np.empty((count, figure_count(levelling)))


def _figures(
    plain: np.ndarray, codes: np.ndarray, seen: np.ndarray, layout: PhaseCodeLayout
) -> np.ndarray:
    """`CodeSet.figures` of codes (n, size) before and after levelling, if they are not the same."""
    figures = _spreads(codes, seen, layout)
    if codes is plain:
        return figures
    return np.concatenate([figures, _spreads(plain, seen, layout)[:, :1]], axis=1)


def _spreads(codes: np.ndarray, seen: np.ndarray, layout: PhaseCodeLayout) -> np.ndarray:
    """Spread and smoothness (n, 2) of codes (n, size), with where they are not hidden."""
    responses = codes.view(np.complex64)
    rows = layout.size // (2 * _FILTERS * layout.columns)
    shape = (len(responses), layout.columns, rows, _FILTERS)
    correlations = _autocorrelations(responses.reshape(shape), seen.reshape(shape))
    return np.stack(_spread(correlations, rows), axis=1)


def _autocorrelations(responses: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Autocorrelations of the responses of codes.

    Parameters
    ----------
    responses, seen : ndarray of shape (n, columns, rows, 2)

    Returns
    -------
    ndarray of shape (n, 2, 2, 4, 23), complex64
        By filter, filter, row lag 0..3 and column lag -11..11 (fewer lags of smaller codes), such
        that the trace over filters is 1 at lag 0.
    """
    count, columns, rows, _ = responses.shape
    waves, masks = (np.fft.fft(part, axis=1) for part in (responses, seen))
    energy = np.square(np.abs(responses)).sum(axis=(1, 2)) / np.maximum(seen.sum(axis=(1, 2)), 1.0)
    total = np.maximum(energy.sum(axis=1), _TINY)
    reach = min(_COLUMN_LAGS, (columns - 1) // 2)
    lags = np.arange(-reach, reach + 1)
    row_lags = min(_ROW_LAGS, rows)
    result = np.zeros((count, _FILTERS, _FILTERS, row_lags, len(lags)), np.complex64)
    for lag in range(row_lags):
        # Sums over rows, for both filters at one place and both at the other.
        products, places = (
            part[:, :, lag:].swapaxes(2, 3) @ part[:, :, : rows - lag].conj()
            for part in (waves, masks)
        )
        sums = np.fft.ifft(products, axis=1)[:, lags]
        counts = np.fft.ifft(places, axis=1).real[:, lags]
        scale = np.maximum(counts, _LEAST_COUNT) * total[:, None, None, None]
        result[:, :, :, lag] = np.moveaxis(sums / scale, 1, 3)
    return result


def _spread(correlations: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """`CodeSet.spread` and `CodeSet.smoothness` from autocorrelations of codes of some rows."""
    lags = np.arange(correlations.shape[3])
    # Fewer places have a neighbour that many rows away; lags but 0 occur with both signs.
    weights = np.where(lags == 0, 1.0, 2.0) * (1.0 - lags / rows)
    weighted = correlations * weights[:, None]
    axes = (1, 2, 3, 4)
    square = (weighted * correlations.conj()).real.sum(axis=axes)
    next_square = (weighted[..., 1:] * correlations[..., :-1].conj()).real.sum(axis=axes)
    smoothness = np.clip(next_square / np.maximum(square, _TINY), 0.0, _SMOOTHEST)
    return np.maximum(_SHARED * square, _LEAST_SPREAD), smoothness
