"""Crops that ranges of activations are estimated from."""

import numpy as np

LEAST_CROPS = 16
"""Fewest distinct crops that ranges are estimated from."""


def lack_of_crops(rois: np.ndarray) -> str | None:
    """What is wrong with crops for calibration, as a clause; None if there are enough.

    Parameters
    ----------
    rois : ndarray of shape (n, H, W) or (n, H, W, 3), uint8
    """
    distinct = len({crop.tobytes() for crop in rois})
    if distinct >= LEAST_CROPS:
        return None
    return (
        f"there are {len(rois)} crops to calibrate with, {distinct} of them distinct, but ranges "
        f"of activations need at least {LEAST_CROPS}; prepare more images, or raise "
        "`quantization.calibration_crops`"
    )
