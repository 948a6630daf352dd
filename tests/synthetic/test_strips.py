import json

import cv2
import numpy as np
import pytest

from iris_tf.data.manifest import model_segmenter, read_manifest, read_settings
from iris_tf.imaging.geometry import Ellipse
from iris_tf.support.errors import DatasetError
from iris_tf.synthetic import strips as synthetic_strips
from iris_tf.synthetic.eye_renderer import SyntheticEye
from iris_tf.synthetic.iris_texture import draw_texture
from iris_tf.synthetic.strips import draw_strips, with_segmentation_errors, write_strip_dataset


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


EYES = [0, 1, 16, 32, 33, 48]  # of four sites


@pytest.fixture(scope="module")
def strips():
    return [draw_strips(5, identity, 4) for identity in EYES]


def test_seed_and_identity_alone_decide(strips):
    np.testing.assert_array_equal(draw_strips(5, 32, 4), strips[3])
    assert not np.array_equal(draw_strips(6, 32, 4), strips[3])
    # An image does not depend on how many are drawn after it.
    np.testing.assert_array_equal(draw_strips(5, 32, 2), strips[3][:2])


def test_strips_show_iris(strips):
    for own in strips:
        assert own.shape == (4, 64, 512)
        assert own.dtype == np.uint8
        assert ((own > 0).mean(axis=(1, 2)) > 0.08).all()


def test_images_of_an_identity_are_alike(strips):
    same = [max(correlation(own[0], other) for other in own[1:]) for own in strips]
    different = [
        # Irises of one population share their radial profile, so compare with another's.
        max(correlation(own[0], strips[(n + 2) % 6][k]) for k in range(1, 4))
        for n, own in enumerate(strips)
    ]
    assert np.median(same) > np.max(different)


def test_simulated_errors_have_the_size_of_a_segmenters():
    pupil, iris = Ellipse(160.0, 120.0, 32.0, 32.0), Ellipse(160.0, 120.0, 80.0, 80.0)
    shape = (240, 320)
    opening = np.ones(shape, bool)
    opening[:70] = False
    visible = iris.mask(shape) & ~pupil.mask(shape) & opening
    eye = SyntheticEye(np.zeros(shape, np.uint8), pupil, iris, visible, opening)
    found = [
        with_segmentation_errors(np.random.default_rng(seed), eye, 0.01) for seed in range(300)
    ]
    radii = np.array([result.iris.radius for result in found])
    assert np.abs(radii / 80 - 1).mean() == pytest.approx(0.0095, abs=0.002)  # 0.8 sigma
    assert abs(radii.mean() / 80 - 1) < 0.004
    away = np.hypot(*(np.array([(r.iris.x - 160, r.iris.y - 120) for r in found]).T))
    assert 0.5 < away.mean() < 2.5
    careful = [
        with_segmentation_errors(np.random.default_rng(seed), eye, 0.003) for seed in range(300)
    ]
    assert np.mean([abs(r.iris.radius / 80 - 1) for r in careful]) == pytest.approx(
        0.3 * 0.0095, abs=0.001
    )
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
    assert {row.dataset for row in rows} == {"site-0000"}
    strip = cv2.imread(str(tmp_path / rows[5].roi), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(strip, draw_strips(5, 2, 2)[1])


def test_no_segmenter_cut_the_strips_but_the_model_is_for_one(tmp_path):
    write_strip_dataset(tmp_path, 5, 4, 2, validation=1, jobs=1)
    settings = read_settings(tmp_path / "dataset.json")
    assert settings["segmenter"] == "none"
    assert model_segmenter(settings) == "network"


def test_strips_of_version_0_1_0_are_gone_on_with(tmp_path):
    """It named the segmenter of the model as that of the strips, and no channels."""
    write_strip_dataset(tmp_path, 5, 4, 2, validation=1, jobs=1)
    description = json.loads((tmp_path / "dataset.json").read_text())
    now = read_settings(tmp_path / "dataset.json")
    for name in ("model_segmenter", "channels"):
        del description["settings"][name]
    description["settings"]["segmenter"] = "network"
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    assert read_settings(tmp_path / "dataset.json") == now
    write_strip_dataset(tmp_path, 5, 4, 2, validation=1, jobs=1)
    assert read_settings(tmp_path / "dataset.json") == now


def test_strips_of_other_drawings_are_not_mixed(tmp_path, monkeypatch):
    write_strip_dataset(tmp_path, 5, 1, 1, validation=0, jobs=1)
    with pytest.raises(DatasetError, match="of other settings or of another version"):
        write_strip_dataset(tmp_path, 6, 1, 1, validation=0, jobs=1)
    monkeypatch.setattr(synthetic_strips, "GENERATOR", synthetic_strips.GENERATOR + 1)
    with pytest.raises(DatasetError, match="of other settings or of another version"):
        write_strip_dataset(tmp_path, 5, 1, 1, validation=0, jobs=1)


def test_sites_have_one_camera_or_many_and_one_style_or_many():
    sites = [synthetic_strips._draw_site(3, number) for number in range(300)]
    shares = {
        "plain": np.mean([site.plain for site in sites]),
        "any": np.mean([site.camera is None and not site.plain for site in sites]),
        "alike": np.mean([site.style is not None for site in sites]),
        "controlled": np.mean([site.controlled for site in sites]),
    }
    # Four standard deviations of 300 draws are 0.08 to 0.11.
    assert shares["plain"] == pytest.approx(0.15, abs=0.09)
    assert shares["any"] == pytest.approx(0.2, abs=0.1)
    assert shares["alike"] == pytest.approx(0.6, abs=0.12)
    assert shares["controlled"] == pytest.approx(0.65 * 0.7, abs=0.12)
    assert not any(site.controlled and site.camera is None for site in sites)
    assert all((site.habit is None) == (site.camera is None) for site in sites)


def test_images_of_controlled_sites_are_more_alike():
    likeness = {True: [], False: []}
    for number in range(24):
        controlled = synthetic_strips._draw_site(5, number).controlled
        one, other = draw_strips(5, number * synthetic_strips.SITE_IDENTITIES, 2)
        likeness[controlled].append(correlation(one, other))
    assert min(len(values) for values in likeness.values()) >= 6
    assert np.median(likeness[True]) > np.median(likeness[False]) + 0.1


def test_controlled_sites_show_fine_detail():
    shares = {True: [], False: []}
    for number in range(40):
        site = synthetic_strips._draw_site(6, number)
        if site.camera is None:
            continue
        (strip,) = draw_strips(6, number * synthetic_strips.SITE_IDENTITIES, 1)
        rows = np.ma.masked_equal(strip[8:24], 0).astype(float)
        rows = rows.filled(0.0) + rows.mean(axis=1, keepdims=True) * np.ma.getmaskarray(rows)
        power = np.square(np.abs(np.fft.rfft(rows - rows.mean(axis=1, keepdims=True)))).sum(axis=0)
        shares[site.controlled].append(power[32:128].sum() / power[8:128].sum())
    assert min(len(values) for values in shares.values()) >= 6
    assert np.median(shares[True]) > 1.2 * np.median(shares[False])


def test_textures_of_one_style_differ_in_detail_only():
    def drawn(rng, style):
        return draw_texture(np.random.default_rng(rng), True, np.random.default_rng(style))

    (one, two), other = (drawn(rng, 7) for rng in (1, 2)), drawn(1, 8)
    assert one.contrast == two.contrast
    assert one.level == two.level
    assert one.contrast != other.contrast
    assert abs(np.corrcoef(one.pattern.ravel(), two.pattern.ravel())[0, 1]) < 0.5

    def shares(texture):
        """Power by frequency around the eye."""
        power = np.square(np.abs(np.fft.rfft(texture.pattern, axis=1))).mean(axis=0)[1:200]
        return np.log(power.cumsum() / power.sum())

    styles = [[drawn(10 * style + n, style) for n in range(2)] for style in range(8)]
    spectra = np.array([[shares(texture) for texture in pair] for pair in styles])
    within = np.abs(spectra[:, 0] - spectra[:, 1]).mean()
    between = np.abs(spectra[:, 0] - np.roll(spectra[:, 1], 1, axis=0)).mean()
    assert within < 0.5 * between
