import csv
import dataclasses
import json
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from scipy import ndimage

from iris_tf.data.manifest import read_manifest, write_manifest
from iris_tf.evaluation.degradation import (
    blur,
    cover_above,
    degrade_dataset,
    jitter_outlines,
    shrink,
)
from iris_tf.evaluation.prepared_sets import PreparedSet
from iris_tf.imaging.geometry import Ellipse
from iris_tf.preparation.prepare_dataset import prepare
from iris_tf.segmentation.roi_modes import algorithm1
from iris_tf.segmentation.segmenter import SegmentedEye
from iris_tf.support.errors import DatasetError
from iris_tf.synthetic.degradations import reduce_contrast

DIAMETER = 180.0


@pytest.fixture
def pixels():
    noise = np.random.default_rng(4).normal(size=(240, 320))
    smooth = ndimage.gaussian_filter(noise, 3)
    return np.clip(120 + 80 * smooth / np.abs(smooth).max(), 0, 255).astype(np.uint8)


@pytest.fixture
def eye():
    pupil, iris = Ellipse(150.0, 120.0, 50.0, 50.0), Ellipse(150.0, 120.0, 90.0, 90.0)
    opening = np.zeros((240, 320), bool)
    opening[60:210] = True
    visible = iris.mask((240, 320)) & ~pupil.mask((240, 320)) & opening
    return SegmentedEye(pupil, iris, visible, opening=opening)


def test_contrast_is_three_tenths_in_whole_grey_levels(pixels):
    found = reduce_contrast(pixels)
    assert found.dtype == np.uint8
    assert found.mean() == pytest.approx(pixels.mean(), abs=0.5)
    assert found.std() == pytest.approx(0.3 * pixels.std(), rel=0.03)


def test_blur_is_scipys(pixels):
    expected = ndimage.gaussian_filter(pixels.astype(float), 1.5, mode="mirror")
    np.testing.assert_allclose(blur(pixels, DIAMETER), expected, atol=1.0)


def test_an_iris_becomes_90_pixels_wide_and_never_larger(pixels):
    assert shrink(pixels, DIAMETER).shape == (120, 160)
    np.testing.assert_array_equal(shrink(pixels, 70.0), pixels)
    means = pixels.reshape(120, 2, 160, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(pixels, DIAMETER), means, atol=1.0)


def test_radii_are_off_by_4_percent_either_way(eye):
    seen = set()
    for seed in range(20):
        found = jitter_outlines(eye, np.random.default_rng(seed))
        factors = found.pupil.a / eye.pupil.a, found.iris.b / eye.iris.b
        assert factors == pytest.approx([round(f, 2) for f in factors])
        seen.add(tuple(round(f, 2) for f in factors))
        assert not (found.visible & ~found.iris.mask(eye.visible.shape)).any()
        assert not (found.visible & ~eye.opening).any()
        if factors[1] > 1:  # sclera is taken for iris
            assert found.visible[120, 150 + 92]
        if factors[0] < 1:  # and the pupil's rim
            assert found.visible[120, 150 + 49]
    assert seen == {(0.96, 0.96), (0.96, 1.04), (1.04, 0.96), (1.04, 1.04)}


def test_the_upper_two_fifths_are_covered(eye):
    found = cover_above(eye, np.random.default_rng(0)).visible
    # The iris reaches from row 30 to row 210.
    assert not found[:102].any()
    np.testing.assert_array_equal(found[102:], eye.visible[102:])


def test_a_mask_of_its_own_for_algorithm_1_does_not_outlive_the_change(eye):
    masked = dataclasses.replace(eye, iris_minus_pupil=eye.visible.copy())
    image = np.full(eye.visible.shape, 100, np.uint8)
    for worse in (cover_above, jitter_outlines):
        found = worse(masked, np.random.default_rng(0))
        np.testing.assert_array_equal(
            algorithm1(image, found), algorithm1(image, worse(eye, np.random.default_rng(0)))
        )


@pytest.fixture(scope="module")
def strips(small_images, tmp_path_factory):
    out = tmp_path_factory.mktemp("strips") / "dataset"
    return prepare(small_images, out, roi_mode="unrolled", jobs=1).manifest


@pytest.mark.parametrize("kind", ["upper 40 % covered", "iris 90 px wide"])
def test_a_dataset_is_cropped_again(strips, kind, tmp_path):
    manifest = degrade_dataset(strips, kind, tmp_path / "worse", jobs=1)
    before, after = read_manifest(strips), read_manifest(manifest)
    with open(tmp_path / "worse" / "failures.csv", newline="") as file:
        failed = {record["image"] for record in csv.DictReader(file)}
    assert {row.image for row in after} | failed == {row.image for row in before}
    assert len(after) > 0.8 * len(before)
    settings = json.loads((tmp_path / "worse" / "dataset.json").read_text())["settings"]
    assert settings["degradation"] == kind
    splits = {row.image: row.split for row in before}
    assert all(row.split == splits[row.image] for row in after)

    first = {row.image: row.roi for row in before}
    # prepare's names, because those of the images alone need not differ but for their suffix.
    assert all(row.roi == first[row.image] for row in after)
    shares = []
    for row in after:
        old, new = (
            cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            for path in (strips.parent / first[row.image], manifest.parent / row.roi)
        )
        assert old.shape == new.shape == (64, 512)
        shares.append((new > 0).sum() / (old > 0).sum())
    if kind == "upper 40 % covered":
        assert 0.4 < np.mean(shares) < 0.85
    else:
        assert 0.9 < np.mean(shares) < 1.1


@pytest.fixture
def few_strips(strips, tmp_path):
    """A dataset of four images, of which it tells that a fifth gave no crop; its manifest."""
    folder = tmp_path / "few"
    folder.mkdir()
    shutil.copy(strips.with_name("dataset.json"), folder)
    shutil.copytree(strips.with_name(".journal"), folder / ".journal")
    rows = read_manifest(strips)[:5]
    write_manifest(folder / "manifest.csv", rows[:4])
    (folder / "failures.csv").write_text(f"image,reason,detail\n{rows[4].image},no_iris,\n")
    return folder / "manifest.csv"


def test_what_failed_before_has_still_failed(few_strips, tmp_path):
    manifest = degrade_dataset(few_strips, "blur 1.5 px", tmp_path / "worse", jobs=1)
    [(failed, reason)] = PreparedSet.read(few_strips).failed
    assert reason == "no_iris"
    found = {row.image: why for row, why in PreparedSet.read(manifest).failed}
    assert found[failed.image] == "no_iris"
    assert len(found) + len(read_manifest(manifest)) == 5
    counts = json.loads(manifest.with_name("dataset.json").read_text())["counts"]["failures"]
    assert counts == dict(Counter(found.values()))


def test_crops_of_another_segmenter_are_not_compared(few_strips, tmp_path):
    description = few_strips.with_name("dataset.json")
    values = json.loads(description.read_text())
    values["settings"]["segmenter_version"] = "older"
    description.write_text(json.dumps(values))
    with pytest.raises(DatasetError, match="older"):
        degrade_dataset(few_strips, "blur 1.5 px", tmp_path / "worse", jobs=1)
    assert not (tmp_path / "worse").exists()


def test_images_that_the_dataset_was_not_made_from_are_not_read(few_strips, tmp_path):
    """A dataset from others may name any folder; its journal cannot know what lies there."""
    rows = read_manifest(few_strips)
    private = tmp_path / "private"
    for row in rows:
        (private / row.image).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(private / row.image), np.full((240, 320), 90, np.uint8))
    description = few_strips.with_name("dataset.json")
    values = json.loads(description.read_text())
    values["settings"]["images"] = str(private)
    description.write_text(json.dumps(values))
    with pytest.raises(DatasetError, match="is missing or has changed since"):
        degrade_dataset(few_strips, "blur 1.5 px", tmp_path / "worse", jobs=1)
    shutil.rmtree(few_strips.with_name(".journal"))
    with pytest.raises(DatasetError, match="its journal does not know"):
        degrade_dataset(few_strips, "blur 1.5 px", tmp_path / "worse", jobs=1)
    shutil.rmtree(private)
    with pytest.raises(DatasetError, match=r"private: the image folder that .* is missing"):
        degrade_dataset(few_strips, "blur 1.5 px", tmp_path / "worse", jobs=1)
    assert not (tmp_path / "worse").exists()
