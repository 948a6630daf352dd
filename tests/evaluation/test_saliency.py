import dataclasses
from pathlib import Path

import numpy as np
import pytest

from iris_tf.data.iris_record import IrisRecord
from iris_tf.evaluation.saliency import (
    choose_pairs,
    occlude,
    occlusion_maps,
    read_maps,
    write_maps,
)
from iris_tf.imaging.geometry import Ellipse
from iris_tf.imaging.images import write_png
from iris_tf.matching.matcher import Matcher

EYE = Ellipse(0, 0, 1, 1)
REGION = slice(8, 16), slice(40, 56)


class RegionEmbedder:
    """Sees nothing but the mean grey level of one region, as an angle of 0..1 rad."""

    path = Path("region.tflite")
    input_size = (32, 64)
    channels = 1
    embedding_size = 2
    matcher = Matcher()

    def embed(self, rois):
        angles = np.array([roi[REGION].mean() / 255 for roi in rois])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def crop_of(level):
    crop = np.full((32, 64), 90, np.uint8)
    crop[REGION] = level
    return crop


def test_only_the_region_matters():
    crop, similarity, own, genuine = occlude(RegionEmbedder(), crop_of(255), crop_of(204))
    np.testing.assert_array_equal(crop, crop_of(255))
    assert similarity == pytest.approx(np.cos(0.2), abs=1e-6)
    # Patches have a side of 8 here and begin at multiples of 4: half of the region is black in
    # the strongest, and none that lies 8 pixels away reaches it.
    strongest = 1 - np.cos(0.5)
    outside = np.ones_like(own, bool)
    outside[1:23, 33:63] = False
    assert np.abs(own[outside]).max() < 1e-6
    assert np.abs(genuine[outside]).max() < 1e-6
    assert own[REGION].min() > 0.1 * strongest
    assert 0.5 * strongest < own.max() <= strongest
    peak = np.unravel_index(own.argmax(), own.shape)
    assert 8 <= peak[0] < 16
    assert 40 <= peak[1] < 56


def test_maps_are_means_over_all_patches_that_cover_a_pixel():
    rng = np.random.default_rng(0)
    crop, partner = rng.integers(0, 256, (2, 32, 64)).astype(np.uint8)
    embedder = RegionEmbedder()
    _, _, own, genuine = occlude(embedder, crop, partner)
    whole, other = embedder.embed([crop, partner]).astype(float)
    drops = {pixel: [] for pixel in np.ndindex(32, 64)}
    for top in range(0, 32 - 8 + 1, 4):  # sqrt(32 * 64 / 256) is 2.8, but steps are at least 4
        for left in range(0, 64 - 8 + 1, 4):
            covered = crop.copy()
            covered[top : top + 8, left : left + 8] = 0
            vector = embedder.embed([covered])[0].astype(float)
            for row in range(top, top + 8):
                for column in range(left, left + 8):
                    drops[row, column].append((1 - vector @ whole, (whole - vector) @ other))
    for pixel, found in drops.items():
        assert (own[pixel], genuine[pixel]) == pytest.approx(np.mean(found, axis=0), abs=1e-6)


def test_a_part_that_misleads_raises_the_similarity():
    # The partner's region is black: to cover the crop's makes them alike.
    _, _, own, genuine = occlude(RegionEmbedder(), crop_of(255), crop_of(0))
    assert own.max() > 0.05
    assert genuine.min() < -0.05
    assert genuine.max() < 1e-6


@pytest.mark.parametrize("size", [(31, 203), (7, 9), (3, 3), (160, 160)])
def test_every_pixel_is_covered_at_any_size(size):
    class MeanEmbedder(RegionEmbedder):
        input_size = size

        def embed(self, rois):
            angles = np.array([roi.mean() / 255 for roi in rois])
            return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    full = np.full((50, 50), 255, np.uint8)
    crop, similarity, own, _ = occlude(MeanEmbedder(), full, full)
    assert crop.shape == own.shape == size
    assert similarity == pytest.approx(1)
    assert own.min() > 0


def test_pairs_are_spread_over_quality_and_of_one_eye(rows_of):
    rows = [
        dataclasses.replace(row, iris=IrisRecord(EYE, EYE, 1.0, sharpness=float(100 - i)))
        for i, row in enumerate(rows_of([(f"p{i // 2}", "L") for i in range(80)] + [("x", "R")]))
    ]
    pairs = choose_pairs(rows, 4, seed=1)
    assert len(pairs) == 4
    assert all(rows[a].identity == rows[b].identity and a != b for a, b in pairs)
    # The sharpest come last, and those without another image of the eye never.
    assert [image // 20 for image, _ in pairs] == [3, 2, 1, 0]
    assert choose_pairs(rows, 4, seed=1) == pairs
    assert choose_pairs(rows, 4, seed=2) != pairs
    assert choose_pairs(rows, 0) == []


def test_few_images_give_few_pairs(rows_of):
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "L")])
    assert sorted(choose_pairs(rows, 4)) == [(0, 1), (1, 0)]


def test_maps_of_a_dataset(rows_of, tmp_path):
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "L"), ("b", "L")])
    crops = [tmp_path / row.image for row in rows]
    for i, crop in enumerate(crops):
        write_png(crop, crop_of(50 * (i + 1)))
    maps = occlusion_maps(RegionEmbedder(), rows, crops, 2)
    assert [{found.image, found.partner} for found in maps] == [
        {"0.png", "1.png"}, {"2.png", "3.png"},
    ]  # fmt: skip
    for found in maps:
        assert found.similarity == pytest.approx(np.cos(50 / 255))
        assert found.largest == max(found.own.max(), -found.genuine.min(), found.genuine.max())


def test_maps_of_colour_crops_keep_their_colour(rows_of, tmp_path):
    class ColourEmbedder(RegionEmbedder):
        channels = 3

    rows = rows_of([("a", "L"), ("a", "L")])
    crops = [tmp_path / row.image for row in rows]
    for crop, level in zip(crops, (50, 100), strict=True):
        write_png(crop, np.stack([crop_of(level), crop_of(0), crop_of(255)], axis=2))
    write_maps(tmp_path / "maps.npz", {"m": occlusion_maps(ColourEmbedder(), rows, crops, 1)})
    [found] = read_maps(tmp_path / "maps.npz")["m"]
    level = 50 if found.image == "0.png" else 100
    assert found.crop.shape == (32, 64, 3)
    assert found.crop[10, 45].tolist() == [level, 0, 255]
    assert found.own.shape == (32, 64)


def test_maps_that_were_kept_are_the_same(rows_of, tmp_path):
    rows = rows_of([("a", "L"), ("a", "L"), ("b", "L"), ("b", "L")])
    crops = [tmp_path / row.image for row in rows]
    for i, crop in enumerate(crops):
        write_png(crop, crop_of(50 * (i + 1)))
    maps = {"Ä, float32": occlusion_maps(RegionEmbedder(), rows, crops, 2), "none": []}
    write_maps(tmp_path / "maps.npz", maps)
    found = read_maps(tmp_path / "maps.npz")
    assert list(found) == list(maps)
    assert found["none"] == []
    for one, other in zip(found["Ä, float32"], maps["Ä, float32"], strict=True):
        for name, value in dataclasses.asdict(other).items():
            kept = getattr(one, name)
            assert type(kept) is type(value)
            np.testing.assert_array_equal(kept, value)
