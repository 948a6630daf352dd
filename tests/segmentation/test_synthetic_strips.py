import cv2
import numpy as np
import pytest

from iris_tf.datasets.manifest import read_manifest, read_settings
from iris_tf.datasets.synthetic.eye import SyntheticEye
from iris_tf.geometry import Ellipse
from iris_tf.segmentation.synthetic_strips import draw_strips, mistaken, write_strip_dataset


def correlation(first, second, shifts=range(-40, 41)):
    """Best correlation of two strips over rotations, of what both show, shading removed."""

    def local(strip):
        mask = (strip > 0).astype(np.float32)
        mean = cv2.blur(strip.astype(np.float32) * mask, (33, 17)) / (
            cv2.blur(mask, (33, 17)) + 1e-3
        )
        return (strip - mean) * mask, mask

    (a, in_a), (b, in_b) = local(first), local(second)
    best = -1.0
    for shift in shifts:
        both = (in_a * np.roll(in_b, shift, axis=1)) > 0
        if both.sum() > 1000:
            best = max(best, np.corrcoef(a[both], np.roll(b, shift, axis=1)[both])[0, 1])
    return best


@pytest.fixture(scope="module")
def strips():
    return [draw_strips(5, identity, 4) for identity in range(6)]


def test_seed_and_identity_alone_decide(strips):
    np.testing.assert_array_equal(draw_strips(5, 3, 4), strips[3])
    assert not np.array_equal(draw_strips(6, 3, 4), strips[3])
    # An image does not depend on how many are drawn after it.
    np.testing.assert_array_equal(draw_strips(5, 3, 2), strips[3][:2])


def test_strips_show_iris(strips):
    for own in strips:
        assert own.shape == (4, 64, 512)
        assert own.dtype == np.uint8
        assert ((own > 0).mean(axis=(1, 2)) > 0.08).all()


def test_images_of_an_identity_are_alike(strips):
    same = [max(correlation(own[0], other) for other in own[1:]) for own in strips]
    different = [
        max(correlation(own[0], strips[(n + 1) % 6][k]) for k in range(1, 4))
        for n, own in enumerate(strips)
    ]
    assert np.median(same) > np.max(different)


def test_mistakes_are_of_a_segmenters_size():
    pupil, iris = Ellipse(160.0, 120.0, 32.0, 32.0), Ellipse(160.0, 120.0, 80.0, 80.0)
    shape = (240, 320)
    opening = np.ones(shape, bool)
    opening[:70] = False
    visible = iris.mask(shape) & ~pupil.mask(shape) & opening
    eye = SyntheticEye(np.zeros(shape, np.uint8), pupil, iris, visible, opening)
    found = [mistaken(np.random.default_rng(seed), eye) for seed in range(300)]
    radii = np.array([result.iris.radius for result in found])
    assert np.abs(radii / 80 - 1).mean() == pytest.approx(0.0095, abs=0.002)  # 0.8 sigma
    assert abs(radii.mean() / 80 - 1) < 0.004
    away = np.hypot(*(np.array([(r.iris.x - 160, r.iris.y - 120) for r in found]).T))
    assert 0.5 < away.mean() < 2.5
    overlap = [(r.visible & visible).sum() / (r.visible | visible).sum() for r in found]
    assert min(overlap) > 0.7
    assert np.mean(overlap) > 0.9


def test_a_dataset_goes_on_where_it_was_interrupted(tmp_path):
    write_strip_dataset(tmp_path, 5, 4, 2, validation=1, jobs=1)
    rows = read_manifest(tmp_path / "manifest.csv")
    assert [row.split for row in rows] == 6 * ["train"] + 2 * ["val"]
    assert read_settings(tmp_path / "dataset.json")["roi_mode"] == "unrolled"
    first = {row.roi: (tmp_path / row.roi).read_bytes() for row in rows}
    kept = (tmp_path / rows[0].roi).stat().st_mtime_ns
    for row in rows[2:4]:
        (tmp_path / row.roi).unlink()
    write_strip_dataset(tmp_path, 5, 4, 2, validation=1, jobs=1)
    assert {row.roi: (tmp_path / row.roi).read_bytes() for row in rows} == first
    assert (tmp_path / rows[0].roi).stat().st_mtime_ns == kept
    strip = cv2.imread(str(tmp_path / rows[5].roi), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(strip, draw_strips(5, 2, 2)[1])
