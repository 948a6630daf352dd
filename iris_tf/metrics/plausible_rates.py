"""Check that printed error rates do not contradict each other."""


def contradiction(far: float, frr: float, eer: float, rounding: float = 0.0) -> str:
    """Say how a FAR, an FRR and an EER of one ROC contradict each other, if they do.

    Along an ROC, the FRR falls as the FAR rises. Where a threshold gives ``far < frr``, a lower one
    raises the FAR and lowers the FRR until both are equal, so the EER lies between them; likewise
    where ``far > frr``.

    Parameters
    ----------
    far, frr : float
        At one threshold, 0..1.
    eer : float
        0..1.
    rounding : float
        Largest error of a printed rate, such as 0.00005 for per cent with two decimals.

    Returns
    -------
    str
        A sentence; empty if the rates are consistent.

    Examples
    --------
    >>> contradiction(0.0087, 0.1833, 0.1866, 0.00005)  # hybrid distillation, Remma et al.
    'The EER of 18.66 % lies outside the FAR and FRR of one threshold, 0.87 % and 18.33 %.'
    """
    low, high = sorted((far, frr))
    if low - 2 * rounding <= eer <= high + 2 * rounding:
        return ""
    return (
        f"The EER of {100 * eer:.2f} % lies outside the FAR and FRR of one threshold, "
        f"{100 * far:.2f} % and {100 * frr:.2f} %."
    )
