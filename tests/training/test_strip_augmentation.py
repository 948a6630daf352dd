import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from iris_tf.training.strip_augmentation import (
    degrade_strips,
    hide_sectors,
    sharpen_strips,
    weaken_low_frequencies,
    with_rotated,
)


def test_sectors_are_hidden_from_the_limbus_inwards():
    strips = np.full((400, 16, 72, 1), 200, np.float32)
    hidden = hide_sectors(strips, tf.constant([1, 2]), 0.5, 90.0).numpy()[..., 0] == 0
    touched = hidden.any(axis=(1, 2))
    assert 0.4 < touched.mean() < 0.6
    for strip in hidden[touched]:
        rows, columns = strip.any(axis=1), strip.any(axis=0)
        np.testing.assert_array_equal(strip, rows[:, None] & columns[None, :])
        assert rows[-1]  # the limbus is the last row
        assert np.count_nonzero(np.diff(rows.astype(int))) <= 1
        assert columns.sum() <= 72 / 4 + 1
        # One piece, if need be across the seam.
        assert np.count_nonzero(columns != np.roll(columns, 1)) == 2
    widths = hidden.any(axis=1)[touched].sum(axis=1)
    assert widths.min() <= 3
    assert widths.max() >= 15


def naive_bands(strip, sides=(3, 7)):
    """Details below one side in pixels, and between both, of visible pixels: (pixels, 2)."""
    visible = strip > 0

    def smooth(image, side):
        for _ in range(2):  # the limbus and the pupil end a window, the angle goes around
            for axis, mode in ((1, "wrap"), (0, "constant")):
                within = np.ones_like(image)
                image = ndimage.uniform_filter1d(image, side, axis, mode=mode)
                image = image / ndimage.uniform_filter1d(within, side, axis, mode=mode)
        return image

    with np.errstate(divide="ignore", invalid="ignore"):  # far from every visible pixel
        fine, less = (smooth(strip, side) / smooth(visible * 1.0, side) for side in sides)
    return np.stack([(strip - fine)[visible], (fine - less)[visible]], axis=1)


def test_two_bands_of_detail_change_by_amounts_of_each_strip():
    rng = np.random.default_rng(7)
    strips = rng.integers(100, 140, (5, 20, 48, 1)).astype(np.float32)
    strips[:, 12:, 30:] = 0
    found = sharpen_strips(tf.constant(strips), tf.constant([5, 6]), 0.6).numpy()
    amounts = []
    for strip, changed in zip(strips[..., 0].astype(float), found[..., 0], strict=True):
        visible, bands = strip > 0, naive_bands(strip)
        difference = (changed - strip)[visible]
        amount, *_ = np.linalg.lstsq(bands, difference, rcond=None)
        np.testing.assert_allclose(bands @ amount, difference, atol=1e-2)
        np.testing.assert_array_equal(changed[~visible], 0)
        amounts.append(amount)
    amounts = np.array(amounts)
    assert np.abs(amounts).max() <= 0.6 and np.abs(amounts).max() > 0.3
    assert len(np.unique(amounts.round(3))) == 10


def test_degraded_strips_lose_detail_and_gain_noise():
    rng = np.random.default_rng(7)
    strips = rng.integers(60, 200, (300, 24, 64, 1)).astype(np.float32)
    strips[:, 14:, 40:] = 0
    found = degrade_strips(tf.constant(strips), tf.constant([5, 6]), 0.4).numpy()
    lost, noise = [], []
    for strip, changed in zip(strips[..., 0].astype(float), found[..., 0], strict=True):
        visible = strip > 0
        np.testing.assert_array_equal(changed[~visible], 0)
        if np.array_equal(changed, strip):
            continue
        bands, difference = naive_bands(strip), (strip - changed)[visible]
        amount, *_ = np.linalg.lstsq(bands, difference, rcond=None)
        lost.append(amount)
        noise.append(np.std(difference - bands @ amount))
    # 4 standard deviations of a binomial count.
    assert abs(len(lost) - 120) < 4 * np.sqrt(300 * 0.4 * 0.6)
    # Noise blurs what is found of the shares: its error is below 5 / 40 / sqrt(1100) for the
    # finest band, whose own standard deviation is near 40, and several times that for the other.
    lost, noise = np.array(lost), np.array(noise)
    for shares, low, high, error in ((lost[:, 0], 0.3, 1, 0.02), (lost[:, 1], 0, 0.9, 0.08)):
        assert low - error < shares.min() < low + 0.1 and high - 0.1 < shares.max() < high + error
        assert shares.mean() == pytest.approx((low + high) / 2, abs=0.1)
    assert noise.min() < 0.3 and 4.5 < noise.max() < 5.3
    assert np.abs(np.corrcoef(np.c_[lost, noise].T)[np.triu_indices(3, 1)]).max() < 0.4


def test_some_strips_lose_what_is_coarse():
    rng = np.random.default_rng(7)
    rough = ndimage.gaussian_filter(rng.normal(size=(600, 24, 96)), (0, 5, 9), mode="wrap")
    strips = 120 + 10 * rng.normal(size=rough.shape) + 200 * rough
    strips[:, 14:, 60:] = 0
    strips = strips[..., None].astype(np.float32)
    found, lost = (
        x.numpy() for x in weaken_low_frequencies(tf.constant(strips), 2, tf.constant([5, 6]), 0.4)
    )
    kept = []
    for strip, changed, so in zip(strips[..., 0].astype(float), found[..., 0], lost, strict=True):
        visible = strip > 0
        if not so:
            np.testing.assert_array_equal(changed, strip)
            continue
        np.testing.assert_array_equal(changed[~visible], 0)
        fine, middle = naive_bands(strip, (9, 25)).T
        mean = strip[visible].mean()
        coarse = strip[visible] - fine - middle - mean
        difference = changed[visible] - mean - fine
        amount, *_ = np.linalg.lstsq(np.stack([middle, coarse], 1), difference, rcond=None)
        np.testing.assert_allclose(amount[0] * middle + amount[1] * coarse, difference, atol=0.02)
        kept.append(amount)
    # 4 standard deviations of 300 groups that all decide at once.
    assert abs(lost.mean() - 0.4) < 4 * np.sqrt(0.24 / 300)
    middle, coarse = np.array(kept).T
    assert middle.min() > -0.01 and 0.95 < middle.max() < 1.01
    assert coarse.min() > -0.01 and (coarse <= 0.5 * middle + 0.01).all()
    assert middle.mean() == pytest.approx(0.5, abs=0.1)
    assert (coarse / middle)[middle > 0.1].mean() == pytest.approx(0.25, abs=0.05)
    # Of the groups 0.6 have one draw for both, and of the others 1 - 2 * 0.4 * 0.6 agree.
    agree = (lost[::2] == lost[1::2]).mean()
    assert agree == pytest.approx(0.6 + 0.4 * 0.52, abs=4 * np.sqrt(0.16 / 300))


@pytest.mark.parametrize("change", [sharpen_strips, degrade_strips])
def test_changed_strips_stay_in_range(change):
    strips = np.random.default_rng(8).choice([0, 1, 255], (4, 16, 48, 1)).astype(np.float32)
    changed = change(tf.constant(strips), tf.constant([1, 2]), 1.0).numpy()
    assert np.abs(changed - strips).max() > 1
    assert changed.max() <= 255
    np.testing.assert_array_equal(changed >= 1, strips >= 1)
    np.testing.assert_array_equal(changed == 0, strips == 0)


def test_turned_strips_show_what_both_can_show_and_are_turned_far():
    strips = np.random.default_rng(5).integers(1, 256, (3, 8, 72, 1)).astype(np.float32)
    strips[0, 4:, 10:30] = 0
    strips[1, :, 70:] = 0
    turns = []
    for number in range(200):
        both = with_rotated(tf.constant(strips), tf.constant([3, number])).numpy()
        assert both.shape == (6, 8, 72, 1)
        (turn,) = (k for k in range(72) if np.array_equal(np.roll(strips[2], k, axis=1), both[5]))
        turns.append(turn)
        for strip, plain, turned in zip(strips, both[:3], both[3:], strict=True):
            rolled = np.roll(strip, turn, axis=1)
            shown = (strip > 0) & (rolled > 0)
            np.testing.assert_array_equal(plain, strip * shown)
            np.testing.assert_array_equal(turned, rolled * shown)
    # 60 to 300 degrees in columns of 5 degrees.
    assert min(turns) == 12 and max(turns) == 60
