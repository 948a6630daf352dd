import numpy as np
import pytest

from iris_tf.matching.matcher import Matcher
from iris_tf.networks.embed_rois import embed_rois, is_embedding_model, load_embedding_model
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.phase_code import PhaseCode, with_phase
from iris_tf.networks.phase_code_network import phase_code_network
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.support.errors import ModelError
from iris_tf.tflite.phase_code_layout import PhaseCodeLayout

HEIGHT, WIDTH = 64, 512


def textures(n, seed=0):
    """Smooth textures of several scales, 1..255, (n, 64, 512) uint8."""
    rng = np.random.default_rng(seed)
    total = 0.0
    for size in (8, 16, 32, 64):
        spectrum = np.fft.rfft2(rng.normal(size=(n, HEIGHT, WIDTH)))
        down, along = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
        low = np.exp(-0.5 * ((down * size) ** 2 + (along * size) ** 2))
        part = np.fft.irfft2(spectrum * low, (HEIGHT, WIDTH))
        total = total + part / part.std()
    return np.clip(np.round(128 + 20 * total), 1, 255).astype(np.uint8)


def normalised(strips):
    return np.array(StripNormalization(2, 2)(strips[..., None].astype(np.float32)))


@pytest.fixture(scope="module")
def student():
    return build_embedding_model(
        "mobilenet_v3_large", (HEIGHT, WIDTH), embedding_size=16, normalization="local_contrast",
        reduction=(2, 2), pooling="depthwise", seed=3,
    )  # fmt: skip


def test_places_are_those_of_a_naive_sum():
    strip = normalised(textures(1))
    strip[0, 10:20, 100:140, 2] *= 0.93  # partly hidden
    code = np.asarray(PhaseCode()(strip)).reshape(128, 8, 2, 2)  # columns, rows, filters, parts
    rows, columns = np.arange(-3, 4), np.arange(-16, 17)
    down = np.exp(-(rows**2) / (2 * 1.5**2))
    down /= down.sum()
    for column, row in ((0, 0), (3, 7), (50, 3), (60, 4), (127, 5)):
        # The window's middle, in the strip that is continued by 16 columns on either side.
        y, x = 4 * row + 2, 16 + 2 * column
        for number, wavelength in enumerate((20.0, 9.0)):
            envelope = np.exp(-(columns**2) / (2 * (0.4 * wavelength) ** 2))
            envelope /= envelope.sum()
            wave = np.exp(2j * np.pi * columns / wavelength)
            wave = envelope * (wave - (envelope * wave.real).sum())
            answer, seen = 0.0, 0.0
            for i, weight in zip(rows, down, strict=True):
                if 0 <= y + i < 32:
                    answer += weight * (wave * strip[0, y + i, x + columns, 1]).sum()
                    seen += weight * (envelope * strip[0, y + i, x + columns, 2]).sum()
            share = np.clip((seen - 0.6) / 0.4, 0, 1)
            expected = share * answer / (np.sqrt(abs(answer) ** 2 + 1e-6) + 0.02)
            found = code[column, row, number]
            assert found == pytest.approx([expected.real, expected.imag], abs=2e-5)


def test_a_turned_strip_has_the_turned_code():
    strips = textures(2)
    strips[:, 40:, 30:90] = 0  # a lid
    layer = PhaseCode()
    straight, turned = (
        np.asarray(layer(normalised(s))).reshape(2, 128, 32)
        for s in (strips, np.roll(strips, 12, axis=2))
    )
    np.testing.assert_allclose(turned, np.roll(straight, 3, axis=1), atol=1e-4)
    assert np.abs(straight).max() <= 1.0


def test_what_is_hidden_says_nothing():
    strip = textures(1)
    strip[:, :, 256:] = 0
    code = np.asarray(PhaseCode()(normalised(strip))).reshape(128, 32)
    # Strip column 384 is the middle of what is hidden, and 4 columns are one of the code.
    assert not code[68:124].any()
    assert (np.abs(code[8:56]).max(axis=1) > 0.5).all()


def test_similarity_is_the_weighted_mean_of_both_parts(student):
    strips = textures(4)
    strips[2] = np.roll(strips[0], 10 * 4, axis=1)  # as far as codes are turned
    strips[3] = np.roll(strips[1], 14 * 4, axis=1)  # further
    model, layout = with_phase(student, 0.75)
    assert layout == PhaseCodeLayout(size=4096, columns=128, turns=10)
    assert model.output_shape == (None, 16 + 4096)
    both = embed_rois(model, strips).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1.0, atol=1e-5)
    learned = embed_rois(student, strips).astype(np.float64)
    code = np.asarray(PhaseCode()(normalised(strips)), np.float64).reshape(4, 128, 32)
    code /= np.linalg.norm(code, axis=(1, 2), keepdims=True)
    best = np.full((4, 4), -1.0)
    for turn in range(-10, 11):
        best = np.maximum(best, np.einsum("icr,jcr->ij", np.roll(code, turn, axis=1), code))
    assert best[0, 2] > 0.9 > 0.5 > best[1, 3]
    expected = 0.25 * learned @ learned.T + 0.75 * best
    np.testing.assert_allclose(Matcher(layout).similarities(both, both), expected, atol=1e-4)


def test_a_strip_that_shows_too_little_for_a_code_has_the_learned_part_alone(student):
    strip = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    strip[0, 5, 100:103] = 100
    model, _ = with_phase(student, 0.75)
    found = embed_rois(model, strip)[0]
    # The direction: what comes out of an untrained network here is hardly longer than 0.
    learned = embed_rois(student, strip)[0]
    np.testing.assert_allclose(found[:16], learned / np.linalg.norm(learned), atol=1e-5)
    assert not found[16:].any()


def test_it_is_saved_and_loaded(student, tmp_path):
    model, _ = with_phase(student, 0.6)
    model.save(tmp_path / "model.keras")
    loaded = load_embedding_model(tmp_path / "model.keras")
    strips = textures(2)
    np.testing.assert_allclose(embed_rois(loaded, strips), embed_rois(model, strips), atol=1e-6)


def of_strips(size, reduction):
    return build_embedding_model(
        "mobilenet_v3_large", size, embedding_size=4, normalization="local_contrast",
        reduction=reduction,
    )  # fmt: skip


def test_strips_of_other_sizes_have_other_places():
    model, layout = with_phase(of_strips((36, 256), (1, 2)), 0.5)
    assert model.output_shape == (None, 4 + 64 * 9 * 4)
    assert layout == PhaseCodeLayout(size=64 * 9 * 4, columns=64, turns=5)


def test_strips_without_places_for_it_are_refused():
    with pytest.raises(ModelError, match="34 rows"):
        with_phase(of_strips((68, 512), (2, 2)), 0.5)


def test_networks_of_other_crops_are_refused():
    model = build_embedding_model("mobilenet_v3_large", (64, 64), embedding_size=4)
    with pytest.raises(ModelError, match="local contrast"):
        with_phase(model, 0.5)


# -- Alone, as an embedding model -----------------------------------------------------------------


@pytest.fixture(scope="module")
def alone():
    return phase_code_network()


def test_embeddings_are_codes_of_unit_length(alone):
    model, layout = alone
    strips = textures(3)
    strips[1, 20:, 40:200] = 0  # a lid
    codes = np.array(PhaseCode()(normalised(strips)))
    expected = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    found = embed_rois(model, strips)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert model.count_params() == 0 and is_embedding_model(model)
    # 512 columns, of which 2 x 2 pixels make one, and every other is a place.
    assert (layout.size, layout.columns) == (found.shape[1], 128) == (4096, 128)


def test_similarity_survives_head_tilt(alone):
    model, layout = alone
    strips = textures(2)
    one, tilted = (embed_rois(model, s) for s in (strips, np.roll(strips, 12, axis=2)))
    similarities = Matcher(layout).similarities(one, tilted)
    np.testing.assert_allclose(np.diag(similarities), 1.0, atol=1e-4)
    assert similarities[0, 1] < 0.5 and np.diag(one @ tilted.T).max() < 0.9


def test_a_strip_of_which_nothing_is_visible_has_no_code(alone):
    found = embed_rois(alone[0], np.zeros((1, HEIGHT, WIDTH), np.uint8))
    np.testing.assert_array_equal(found, 0.0)
