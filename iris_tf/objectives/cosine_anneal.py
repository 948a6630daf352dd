"""Cosine annealing, shared by all schedules of the paper."""

import math


def cosine_anneal(m0: float, m1: float, t: float, t_start: float, t_end: float) -> float:
    """Cosine annealing from `m0` at `t_start` to `m1` at `t_end`.

    ``m0 - (m0 - m1) / 2 * (1 - cos(pi * (t - t_start) / (t_end - t_start)))``,
    Eq. 4 of MobiIris. The value may rise or fall.

    Parameters
    ----------
    m0, m1 : float
        Initial and final value.
    t : float
        Time, in the unit of `t_start` and `t_end` (epochs or steps).
    t_start, t_end : float
        Times of the initial and the final value; outside this interval the value is
        clamped. If both are equal, the value is `m1` from there on.

    Returns
    -------
    float
        A value between `m0` and `m1`.

    Examples
    --------
    >>> cosine_anneal(0.4, 0.5, 10, t_start=0, t_end=20)
    0.45
    """
    if t >= t_end:
        return m1
    if t <= t_start:
        return m0
    progress = (t - t_start) / (t_end - t_start)
    return m0 - (m0 - m1) / 2 * (1 - math.cos(math.pi * progress))
