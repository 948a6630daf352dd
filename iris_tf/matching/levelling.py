"""Makes phase codes of all images alike in what says nothing about the eye, before comparisons.

Focus, resolution and lighting give the phase codes of one camera more of some frequencies along the
ring than those of another: smooth codes have few degrees of freedom, and what is strong in all of
them hides the texture in which eyes differ. A *levelled* code has the same power at each frequency
as any other, and its magnitudes are compressed. Which directions its responses have, at what place,
remains its own.
"""

import numpy as np

from iris_tf.tflite.phase_code_layout import PhaseCodeLayout
from iris_tf.tflite.score_model import Levelling

_LEAST_POWER = 1e-6  # root mean power of a frequency, below which it is not scaled up further
_DIGITS = 3  # of a spectrum


def levelled_codes(codes: np.ndarray, layout: PhaseCodeLayout, levelling: Levelling) -> np.ndarray:
    """Level phase codes.

    At each frequency along the ring, a code is divided by its root mean power over rows and
    filters, and multiplied by that of the levelling. Responses that were hidden are hidden again,
    and the magnitudes of the others are raised to the levelling's exponent.

    Parameters
    ----------
    codes : ndarray of shape (n, size), float32
        Complex responses, hidden ones of which are 0.
    layout : PhaseCodeLayout
        Of the codes.
    levelling : Levelling
        Its spectrum has ``columns // 2 + 1`` frequencies.

    Returns
    -------
    ndarray of shape (n, size), float32
        Their lengths mean nothing.
    """
    codes = np.ascontiguousarray(codes, np.float32)
    waves = layout.waves(codes).astype(np.complex64, copy=False)
    power = np.maximum(_root_mean_power(waves), _LEAST_POWER)
    waves *= (np.asarray(levelling.spectrum, np.float32) / power)[:, :, None]
    responses = np.ascontiguousarray(layout.from_waves(waves), np.float32).view(np.complex64)
    magnitudes = np.abs(responses)
    visible = (codes.view(np.complex64) != 0) & (magnitudes > 0)
    factors = np.zeros_like(magnitudes)
    np.power(magnitudes, np.float32(levelling.exponent - 1.0), out=factors, where=visible)
    return (responses * factors).view(np.float32)


def mean_spectrum(codes: np.ndarray, layout: PhaseCodeLayout) -> tuple[float, ...]:
    """Mean spectrum of phase codes, as a levelling has it.

    Parameters
    ----------
    codes : ndarray of shape (n, size), float32
    layout : PhaseCodeLayout
        Of the codes.

    Returns
    -------
    tuple of float
        Mean over codes of the same power of the root mean power at each frequency, 0..1; the
        largest is 1.
    """
    power = _root_mean_power(layout.waves(np.asarray(codes, np.float32)))
    lengths = np.linalg.norm(power, axis=1, keepdims=True)
    mean = (power / np.maximum(lengths, np.finfo(np.float32).tiny)).mean(axis=0)
    return tuple(np.round(mean / mean.max(), _DIGITS).tolist())


def _root_mean_power(waves: np.ndarray) -> np.ndarray:
    """Of the codes with some Fourier coefficients, at each frequency (n, columns // 2 + 1)."""
    return np.sqrt((np.square(waves.real) + np.square(waves.imag)).mean(axis=2))
