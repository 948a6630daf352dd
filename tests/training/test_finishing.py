import keras
import numpy as np
import pytest

from iris_tf.matching.whitening import second_moment, whitening_matrix
from iris_tf.networks.embedding_model import build_embedding_model
from iris_tf.training.finishing import (
    average_weights,
    estimate_batch_statistics,
    weaken_angle_independent,
    weaken_low_frequency_input,
    whiten_head,
)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def of_strips(seed):
    return build_embedding_model(
        "mobilenet_v3_large",
        (64, 128),
        embedding_size=8,
        pooling="depthwise",
        normalization="local_contrast",
        reduction=(2, 2),
        seed=seed,
    )


@pytest.fixture(scope="module")
def strips():
    return np.random.default_rng(0).integers(1, 256, (256, 64, 128), np.uint8)


def test_weights_are_averaged_by_their_shares():
    models = [of_strips(seed) for seed in (1, 2, 3)]
    before = [model.get_weights() for model in models]
    average = average_weights(models, [2.0, 1.0, 1.0])
    for one, two, three, found in zip(*before, average.get_weights(), strict=True):
        np.testing.assert_allclose(found, 0.5 * one + 0.25 * two + 0.25 * three, atol=1e-6)


def test_the_coarse_contrast_is_weakened(strips):
    model = of_strips(4)
    contrast = keras.Model(model.input, model.get_layer("roi_normalization").output)
    seen = contrast.predict(strips[:2, ..., None], verbose=0)
    first = next(x for x in model._flatten_layers() if isinstance(x, keras.layers.Conv2D))
    wide, narrow = seen[..., 1], seen[..., 0]
    assert wide.std() > 0 and not np.allclose(wide, narrow)
    expected = first(seen * np.float32([1, 0.3, 1]))
    weaken_low_frequency_input(model, 0.3)
    np.testing.assert_allclose(first(seen), expected, atol=1e-5)


def test_a_network_of_grey_levels_has_no_coarse_contrast():
    model = build_embedding_model("mobilenet_v3_large", (32, 32), embedding_size=8)
    with pytest.raises(ValueError, match="no local contrast"):
        weaken_low_frequency_input(model, 0.5)


def test_what_all_turns_share_is_weakened(strips):
    model = of_strips(6)
    rng = np.random.default_rng(6)
    pool = model.get_layer("head_pool")
    kernel = rng.normal(size=pool.get_weights()[0].shape).astype(np.float32)
    pool.set_weights([kernel])
    maps = rng.normal(size=(1, *kernel.shape[:3])).astype(np.float32)
    turns = [np.roll(maps, turn, axis=2) for turn in range(maps.shape[2])]
    assert len(turns) > 1
    before = np.array([pool(turn) for turn in turns])
    weaken_angle_independent(model, 0.3)
    after = np.array([pool(turn) for turn in turns])
    np.testing.assert_allclose(after, before - 0.7 * before.mean(axis=0), atol=1e-4)


def test_a_plain_average_has_no_weights_to_weaken():
    model = build_embedding_model("mobilenet_v3_large", (32, 32), embedding_size=8)
    with pytest.raises(ValueError, match="without weights"):
        weaken_angle_independent(model, 0.5)


def test_batch_statistics_are_means_over_all_batches(strips):
    model = of_strips(5)
    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    weights = [w.numpy() for w in model.trainable_variables]
    # What the first of them is given depends on no other.
    given = keras.Model(model.input, norms[0].input).predict(strips[..., None], verbose=0)
    crops = strips[:128, ..., None].astype(np.float32)
    plain = model.predict(crops, verbose=0)
    estimate_batch_statistics(model, strips)
    np.testing.assert_allclose(norms[0].moving_mean, given.mean((0, 1, 2)), atol=1e-5)
    variances = [given[:128].var((0, 1, 2)), given[128:].var((0, 1, 2))]
    np.testing.assert_allclose(norms[0].moving_variance, np.mean(variances, 0), rtol=1e-3)
    assert [norm.momentum for norm in norms] == momenta
    for before, after in zip(weights, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(before, after.numpy())
    # Inference is then much like a training step on such crops.
    step = model(crops, training=True).numpy()
    likeness = [np.sum(step * x, axis=1).mean() for x in (plain, model.predict(crops, verbose=0))]
    assert likeness[0] < 0.8 and likeness[1] > 0.95


def test_batch_statistics_of_layers_that_were_frozen(strips):
    models = [of_strips(5), of_strips(5)]
    for layer in models[1]._flatten_layers():
        layer.trainable = False
    for model in models:
        estimate_batch_statistics(model, strips)
    for learning, frozen in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(learning, frozen, atol=1e-6)
    assert not models[1].trainable_variables


def test_the_head_gives_the_multiplied_embeddings():
    rng = np.random.default_rng(1)
    model = build_embedding_model("mobilenet_v3_large", (32, 32), embedding_size=8, seed=3)
    norm = model.get_layer("head_batchnorm")
    norm.set_weights([rng.uniform(0.5, 2, 8), rng.normal(size=8), rng.normal(size=8) * 0.01,
                      rng.uniform(0.001, 0.01, 8)])  # fmt: skip
    rois = rng.integers(0, 256, (12, 32, 32), np.uint8)
    gamma = norm.gamma.numpy()
    gamma[3] = 0.0  # one number that says nothing
    norm.gamma.assign(gamma)
    before = model.predict(rois[..., None], verbose=0)
    matrix = whitening_matrix(second_moment(before), 0.25)
    whiten_head(model, rois, 0.25)
    after = model.predict(rois[..., None], verbose=0)
    np.testing.assert_allclose(after, unit(before @ matrix), atol=2e-4)
    # A training step of the head divides by the deviation of what it is given.
    features = keras.Model(model.input, model.get_layer("head_dense").output)
    given = features.predict(rois[..., None], verbose=0)
    np.testing.assert_allclose(norm.moving_variance, given.var(axis=0), rtol=1e-3)
