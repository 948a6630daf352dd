"""Halos of highlights in strips."""

import statistics

import cv2
import numpy as np
import pytest

from iris_tf.imaging.geometry import Ellipse
from iris_tf.segmentation.halos import halos
from iris_tf.segmentation.roi_modes import unrolled
from iris_tf.segmentation.segmenter import SegmentedEye

ROWS, COLUMNS = np.mgrid[:64, :512].astype(np.float32)


def texture(seed=0, spread=12.0, light=0.0):
    """Smoothed noise of iris-like contrast, brighter on one side by `light`."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.normal(size=(64, 512)).astype(np.float32), (0, 0), 2.0)
    noise *= spread / noise.std()
    ramp = 0.3 * ROWS + light * np.cos(2 * np.pi * COLUMNS / 512)
    return 90.0 + noise + ramp


def halo(row, column, size=8.0, height=110.0):
    across = (COLUMNS - column + 256) % 512 - 256
    return height * np.exp(-0.5 * ((ROWS - row) ** 2 + across**2) / size**2)


def strip_of(values):
    return np.clip(np.round(values), 1, 255).astype(np.uint8)


def by_plain_loops(strip, visible):
    cells = {}
    for row in range(16):
        for column in range(128):
            where = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)
            seen = strip[where][visible[where]]
            if len(seen) >= 8:
                cells[row, column] = float(seen.mean())
    for row in range(16):
        own = [key for key in cells if key[0] == row]
        middle = statistics.median(cells[key] for key in own) if own else 0.0
        cells |= {key: cells[key] - middle for key in own}
    medians = {}
    for column in range(128):
        own = [value for key, value in cells.items() if key[1] == column]
        if own:
            medians[column] = statistics.median(own)
    around = [
        [medians[c % 128] for c in range(column - 16, column + 17) if c % 128 in medians]
        for column in range(128)
    ]
    left = {key: value - statistics.median(around[key[1]]) for key, value in cells.items()}
    limit = 6.0 * max(1.4826 * statistics.median(map(abs, left.values())), 2.0)
    found = np.zeros((64, 512), bool)
    for (row, column), value in left.items():
        if value > limit:
            for y in range(max(row - 1, 0), min(row + 2, 16)):
                for x in (column - 1, column, column + 1):
                    found[4 * y : 4 * y + 4, 4 * (x % 128) : 4 * (x % 128) + 4] = True
    return found


@pytest.mark.parametrize("place", [(30, 200), (4, 1), (62, 509)])
def test_a_halo_is_found_also_where_the_ring_closes(place):
    glow = halo(*place)
    found = halos(strip_of(texture() + glow), np.ones((64, 512), bool))
    assert found[glow > 60].all()
    assert not found[glow < 0.5].any()


def test_texture_light_from_one_side_and_what_is_dark_are_no_halos():
    everything = np.ones((64, 512), bool)
    for values in (texture(), texture(light=40.0), texture() - halo(30, 200), texture(spread=0.1)):
        assert not halos(strip_of(values), everything).any()


def test_what_is_hidden_does_not_count():
    strip = strip_of(texture() + halo(30, 200))
    visible = halo(30, 200, size=20.0) < 10
    assert not halos(strip, visible).any()
    assert not halos(strip, np.zeros_like(visible)).any()


def test_cells_are_judged_as_by_plain_loops():
    rng = np.random.default_rng(3)
    for seed in range(3):
        values = texture(seed, light=20.0) + halo(rng.integers(64), rng.integers(512), 5.0)
        visible = texture(seed + 10) > 90 - 8 * seed
        visible[:, 40:60] = False
        strip = strip_of(values) * visible
        np.testing.assert_array_equal(halos(strip, visible), by_plain_loops(strip, visible))
        assert seed > 1 or halos(strip, visible).any()


def test_strips_hide_halos():
    y, x = np.mgrid[:240, :320].astype(np.float32)
    rng = np.random.default_rng(5)
    noise = cv2.GaussianBlur(rng.normal(size=x.shape).astype(np.float32), (0, 0), 2.0)
    pupil, iris = Ellipse(160, 120, 30, 30), Ellipse(160, 120, 100, 100)
    ring = SegmentedEye(pupil, iris, iris.mask(x.shape) & ~pupil.mask(x.shape))
    plain = 90.0 + 10.0 * noise / noise.std()
    glow = 110.0 * np.exp(-0.5 * ((x - 225) ** 2 + (y - 120) ** 2) / 6.0**2)
    clean, lit = (unrolled(strip_of(values), ring) for values in (plain, plain + glow))
    assert (clean > 0).mean() > 0.98
    # At the angle 0, 65 of the 30 to 100 pixels from the centre: row 32.
    assert (lit[28:36, [0, 1, 2, 511]] == 0).all()
    shown = lit > 0
    assert 0.9 < shown.mean() < 0.99
    np.testing.assert_array_equal(
        unrolled(np.dstack([strip_of(plain + glow)] * 3), ring)[..., 1], lit
    )
