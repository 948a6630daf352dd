"""The cosine curve that all schedules of the paper share."""

import math


def cosine_anneal(m0: float, m1: float, t: float, t_start: float, t_end: float) -> float:
    """Cosine annealing from `m0` at `t_start` to `m1` at `t_end`.

    ``m0 - (m0 - m1) / 2 * (1 - cos(pi * (t - t_start) / (t_end - t_start)))``,
    Eq. 4 of MobiIris. It may rise or fall.

    Parameters
    ----------
    m0, m1 : float
        First and last value.
    t : float
        Time, in the unit of `t_start` and `t_end` (epochs or steps).
    t_start, t_end : float
        Times of the first and the last value. Outside them the value stays at
        the nearer end. Where both are the same, the value is `m1` from there on.

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
