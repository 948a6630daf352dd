import keras
import numpy as np
import pytest

from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.networks.strip_normalization import StripNormalization
from iris_tf.support.errors import ModelError


def strip(height=8, width=24, seed=2):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 256, (height, width))
    pixels[3:6, 7:15] = 0  # a lid
    pixels[:, 0] = 0  # and something over the seam
    return pixels.astype(np.float32)


def naive(pixels, rows, columns, wrap, window):
    """Local contrast by loops over tiles and windows, angles taken round the seam."""
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    value, coverage = np.zeros((height, width)), np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        tile = pixels[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        coverage[i, j] = (tile > 0).mean()
        value[i, j] = tile[tile > 0].mean() / 255 if (tile > 0).any() else 0
    up, aside = window[0] // 2, window[1] // 2
    contrast = np.zeros((height, width))

    def around(image, i, j):
        return np.array(
            [
                image[k, m % width]
                for k in range(max(i - up, 0), min(i + up + 1, height))
                for m in range(j - aside, j + aside + 1)
            ]
        )

    mean = np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        weights = around(coverage, i, j)
        mean[i, j] = (around(value, i, j) * weights).sum() / max(weights.sum(), 1e-9)
    squares = (value - mean) ** 2
    for i, j in np.ndindex(height, width):
        weights = around(coverage, i, j)
        variance = (around(squares, i, j) * weights).sum() / max(weights.sum(), 1e-9)
        score = (value[i, j] - mean[i, j]) / np.sqrt(variance + (1 / 255) ** 2)
        contrast[i, j] = np.tanh(score) * coverage[i, j]
    places = np.arange(-wrap, width + wrap) % width
    return contrast[:, places], coverage[:, places]


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 2), (1, 1)])
def test_is_that_of_the_loops(rows, columns):
    windows = ((3, 5), (5, 9))
    layer = StripNormalization(rows, columns, wrap=3, windows=windows)
    found = layer(strip()[None, ..., None]).numpy()[0]
    assert found.shape == tuple(layer.compute_output_shape((1, 8, 24, 1))[1:])
    for channel, window in enumerate(windows):
        contrast, coverage = naive(strip(), rows, columns, 3, window)
        np.testing.assert_allclose(found[..., channel], contrast, atol=2e-4)
    np.testing.assert_allclose(found[..., 2], coverage, atol=1e-6)


def test_exposure_and_hidden_pixels_change_nothing():
    layer = StripNormalization(1, 2)
    pixels = np.random.default_rng(5).integers(60, 120, (64, 512)).astype(np.float32)
    pixels[40:, 300:420] = 0
    brighter = np.where(pixels > 0, 2 * pixels + 10, 0)
    first, second = (layer(image[None, ..., None]).numpy() for image in (pixels, brighter))
    # Up to the floor of one grey level under the contrast.
    np.testing.assert_allclose(first, second, atol=0.01)


def test_a_turned_eye_is_a_turned_output():
    layer = StripNormalization(1, 2)
    pixels = strip(64, 512)
    still, turned = (
        layer(image[None, ..., None]).numpy()[0] for image in (pixels, np.roll(pixels, 20, axis=1))
    )
    np.testing.assert_allclose(np.roll(still[:, 16:-16], 10, axis=1), turned[:, 16:-16], atol=1e-3)


def test_a_network_with_it_is_built_saved_and_loaded(tmp_path):
    settings = {"normalization": "local_contrast", "reduction": (2, 2)}
    model = build_embedding_model("mobilenet_v3_large", (64, 512), 16, **settings)
    path = tmp_path / "model.keras"
    model.save(path)
    rois = strip(64, 512)[None, ..., None]
    np.testing.assert_allclose(keras.saving.load_model(path)(rois), model(rois), atol=1e-6)


@pytest.mark.parametrize(
    ("width", "settings", "word"),
    [
        (512, {"normalization": "none"}, "local_contrast"),
        (512, {"normalization": "local_contrast", "reduction": (3, 2)}, "divide"),
        (512, {"normalization": "local_contrast", "reduction": (4, 2)}, "32 pixels"),
        # 16 columns of wrapping, and half of 49 for the mean and half for the variance.
        (126, {"normalization": "local_contrast", "reduction": (2, 2)}, "128 columns"),
    ],
)
def test_impossible_settings_are_refused(width, settings, word):
    with pytest.raises(ModelError, match=word):
        build_embedding_model("mobilenet_v3_large", (64, width), 16, **settings)


@pytest.mark.parametrize("weights", ["imagenet", "of/keras.h5"])
def test_published_weights_do_not_know_local_contrast(weights):
    with pytest.raises(ModelError, match="not trained on inputs with local contrast"):
        build_embedding_model(
            "mobilenet_v3_large", (64, 512), 16, weights, normalization="local_contrast",
            reduction=(2, 2),
        )  # fmt: skip


def test_the_narrowest_strip_keeps_its_columns():
    found = StripNormalization(2, 2)(strip(64, 128)[None, ..., None])
    assert found.shape == StripNormalization(2, 2).compute_output_shape((1, 64, 128, 1))
    assert found.shape == (1, 32, 64 + 2 * 16, 3)
