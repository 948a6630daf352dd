"""Parts of iris textures against what they are said to be."""

import cv2
import numpy as np
import pytest

from iris_tf.synthetic import iris_texture as texture
from iris_tf.synthetic.iris_texture import TEXTURE_SHAPE, draw_texture


@pytest.mark.parametrize("slope", [0.8, 1.5])
def test_clouds_lose_amplitude_as_a_power_of_frequency(slope):
    rows, columns = TEXTURE_SHAPE
    window = np.hanning(rows)[:, None]
    power = np.mean(
        [
            np.square(np.abs(np.fft.fft2(window * texture._clouds(rng, slope, 1.0))))
            for rng in map(np.random.default_rng, range(20))
        ],
        axis=0,
    )
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None, :])
    # Beyond what the window's few rows blur, and within the circle of all directions.
    band = (frequency > 0.06) & (frequency < 0.45)
    found = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert found == pytest.approx(-2 * slope, abs=0.15)


def test_clouds_can_be_drawn_out_along_the_radius():
    clouds = texture._clouds(np.random.default_rng(0), 1.2, 2.0)
    along, around = (np.square(np.diff(clouds, axis=axis)).mean() for axis in (0, 1))
    assert along < 0.6 * around


@pytest.mark.parametrize(("size", "drawn_out"), [(24.0, 1.0), (16.0, 1.8)])
def test_cells_are_as_many_as_their_size_says_and_closed(size, drawn_out):
    rows, columns = TEXTURE_SHAPE
    walls = texture._cells(np.random.default_rng(1), size, drawn_out, 1.5)
    # Twice around, so that a cell at the seam is one: those of the first turn touch neither end.
    _, _, stats, centres = cv2.connectedComponentsWithStats(
        np.tile(walls < 0.5, 2).astype(np.uint8), connectivity=4
    )
    left, area = stats[1:, cv2.CC_STAT_LEFT], stats[1:, cv2.CC_STAT_AREA]
    column = centres[1:, 0]
    once = (left > 0) & (column >= columns / 2) & (column < 1.5 * columns) & (area > 4)
    assert once.sum() == pytest.approx(rows * columns / (size**2 * drawn_out), rel=0.12)


def test_dark_irises_have_no_seam_and_are_richest_within_the_collarette(monkeypatch):
    monkeypatch.setattr(texture, "_DARK_SHARE", 1.0)
    inner, outer = [], []
    for seed in range(12):
        drawn = draw_texture(np.random.default_rng(seed), varied=True)
        steps = np.abs(np.diff(drawn.pattern, axis=1, append=drawn.pattern[:, :1]))
        assert steps[:, -1].mean() < 1.5 * steps.mean()
        assert abs(drawn.pattern.mean()) < 0.05
        assert drawn.pattern.std() == pytest.approx(drawn.contrast, rel=0.15)
        inner.append(drawn.pattern[4:16].std() / drawn.contrast)
        outer.append(drawn.pattern[-24:-8].std() / drawn.contrast)
    assert np.mean(inner) > 1.2 * np.mean(outer)
    assert min(outer) > 0.3  # but never plain elsewhere


def test_the_one_camera_s_irises_are_not_from_the_wider_range(monkeypatch):
    before = draw_texture(np.random.default_rng(3))
    monkeypatch.setattr(texture, "_DARK_SHARE", 1.0)
    np.testing.assert_array_equal(draw_texture(np.random.default_rng(3)).pattern, before.pattern)
