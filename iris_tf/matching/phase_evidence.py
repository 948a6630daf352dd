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
from typing import Self

import numpy as np

from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

_FILTERS = 2
_ROW_LAGS = 4  # 0..3; negative ones follow by symmetry
_COLUMN_LAGS = 11  # in either direction
_LEAST_COUNT = 20.0  # places, below which an autocorrelation is not scaled up further
_LEAST_SPREAD = 1.0 / (2 * _FILTERS)  # places per degree of freedom
# A code shares the sampling error of its autocorrelation with itself, not with strangers.
_SHARED = 0.85
_SMOOTHEST = 0.95  # correlation of similarities at neighbouring rotations
_TINY = 1e-12
_CHUNK = 16  # codes that are rotated at a time
_DESCRIBED = 256  # codes whose autocorrelations are computed at a time


@dataclass(frozen=True, eq=False)
class CodeSet:
    """Phase codes, with what comparisons need to know of each.

    Attributes
    ----------
    layout : PhaseCodeLayout
    codes : ndarray of shape (n, size), float32
        As they lie in the embeddings.
    seen : ndarray of shape (n, size / 2), float32
        1 where a complex response is not hidden, else 0.
    energies : ndarray of shape (n, size / 2), float32
        Squared magnitude of each complex response.
    spread : ndarray of shape (n,)
        Visible places per degree of freedom in comparisons with codes like this one.
    smoothness : ndarray of shape (n,)
        Correlation of similarities with codes like this one at neighbouring rotations.
    """

    layout: PhaseCodeLayout
    codes: np.ndarray
    seen: np.ndarray
    energies: np.ndarray
    spread: np.ndarray
    smoothness: np.ndarray

    @classmethod
    def of(
        cls, codes: np.ndarray, layout: PhaseCodeLayout, figures: np.ndarray | None = None
    ) -> Self:
        """Describe phase codes (n, size), of which `figures` (n, 2) may be known."""
        codes = np.ascontiguousarray(codes, np.float32)
        responses = codes.view(np.complex64)
        energies = np.square(responses.real) + np.square(responses.imag)
        seen = (energies > 0.0).astype(np.float32)
        if figures is None:
            figures = _figures(responses, seen, layout)
        spread, smoothness = np.asarray(figures, np.float64).T
        return cls(layout, codes, seen, energies, spread, smoothness)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, chosen: slice | np.ndarray) -> Self:
        per_code = (self.codes, self.seen, self.energies, self.spread, self.smoothness)
        return type(self)(self.layout, *(figures[chosen] for figures in per_code))

    @property
    def freedom(self) -> np.ndarray:
        """Degrees of freedom (n,) of each code's comparison with itself."""
        return self.seen.sum(axis=1) / self.spread

    @property
    def coarseness(self) -> np.ndarray:
        """Mean energy of the coarse filter's visible responses over the fine filter's (n,).

        It is near 1 for sharp images, and 0 where a filter sees nothing. Blur removes fine texture
        first, so it rises with blur, but hardly with the hidden share of the iris.
        """
        shape = (len(self), self.codes.shape[1] // (2 * _FILTERS), _FILTERS)
        energy, seen = (part.reshape(shape).sum(axis=1) for part in (self.energies, self.seen))
        coarse, fine = (energy / np.maximum(seen, 1.0)).T
        return np.divide(coarse, fine, out=np.zeros_like(coarse), where=fine > 0)

    @property
    def figures(self) -> np.ndarray:
        """`spread` and `smoothness` (n, 2), which take longest to compute."""
        return np.stack([self.spread, self.smoothness], axis=1)


@dataclass(frozen=True, eq=False)
class PhaseEvidence:
    """Evidence of phase codes, for every pair of two sets.

    Attributes
    ----------
    freedom : ndarray of shape (n, m)
        Degrees of freedom of the comparison: the reciprocal variance of strangers' similarities
        over commonly visible places. They fall with blur and with a smaller common area; 0 where
        nothing is visible in both.
    evidence : ndarray of shape (n, m)
        Negative natural logarithm of the share of strangers that are as similar at any rotation;
        by this definition exponentially distributed among strangers.
    """

    freedom: np.ndarray
    evidence: np.ndarray


def compare_codes(first: CodeSet, second: CodeSet) -> PhaseEvidence:
    """Compare every phase code of one set with every code of another."""
    layout = first.layout
    product, common, energy = _at_best_rotation(first, second)
    spread = np.sqrt(np.outer(first.spread, second.spread))
    smoothness = 0.5 * np.add.outer(first.smoothness, second.smoothness)
    freedom = common / spread
    similarity = np.maximum(product, 0.0) / np.sqrt(np.maximum(energy, _TINY))
    # A Gaussian process is above a level z at the start with probability exp(-z^2 / 2) / 2 at
    # most, and rises above it this often until the last rotation, times exp(-z^2 / 2).
    crossings = 2 * layout.turns * np.sqrt(2.0 * (1.0 - smoothness)) / (2.0 * np.pi)
    evidence = 0.5 * freedom * np.square(similarity) - np.log(0.5 + crossings)
    return PhaseEvidence(freedom, evidence)


def _at_best_rotation(first: CodeSet, second: CodeSet) -> tuple[np.ndarray, ...]:
    """Compare every pair of codes at the rotation where they are most similar.

    Returns
    -------
    product : ndarray of shape (n, m)
        Scalar product of the codes.
    common : ndarray of shape (n, m)
        Number of places that are visible in both.
    energy : ndarray of shape (n, m)
        Product of both codes' energies at these places.
    """
    layout = first.layout
    product = np.empty((len(first), len(second)), np.float32)
    common, energy = np.empty_like(product), np.empty_like(product)
    for start in range(0, len(first), _CHUNK):
        rotated = np.stack(list(layout.rotated_codes(first.codes[start : start + _CHUNK])))
        products = np.tensordot(rotated, second.codes, axes=(2, 1))
        best = products.argmax(axis=0)
        product[start : start + _CHUNK] = np.take_along_axis(products, best[None], axis=0)[0]
        for row, index in np.ndindex(len(best), len(rotated)):
            others = np.nonzero(best[row] == index)[0]
            if len(others):
                where = start + row, others
                found = _common(first, start + row, layout.rotations[index], second, others)
                common[where], energy[where] = found
    return product, common, energy


def _common(
    first: CodeSet, row: int, columns: int, second: CodeSet, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Places that a rotated code and some others have in common, and their energy."""
    shift = columns * (first.seen.shape[1] // first.layout.columns)
    seen, energies = (np.roll(part[row], shift) for part in (first.seen, first.energies))
    also_seen = second.seen[others]
    common, energy = (also_seen @ np.stack([seen, energies], axis=1)).T
    return common, energy * (second.energies[others] @ seen)


def _figures(responses: np.ndarray, seen: np.ndarray, layout: PhaseCodeLayout) -> np.ndarray:
    """`CodeSet.figures` of complex responses (n, size / 2) and where they are not hidden."""
    rows = layout.size // (2 * _FILTERS * layout.columns)
    shape = (len(responses), layout.columns, rows, _FILTERS)
    fields = responses.reshape(shape), seen.reshape(shape)
    figures = np.empty((len(responses), 2))
    for start in range(0, len(responses), _DESCRIBED):
        part = slice(start, start + _DESCRIBED)
        correlations = _autocorrelations(*(field[part] for field in fields))
        figures[part] = np.stack(_spread(correlations, rows), axis=1)
    return figures


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
