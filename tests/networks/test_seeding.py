import copy

import keras
import numpy as np

from iris_tf.networks.seeding import layer_seed, seeded_config


def test_seeds_differ_by_model_and_layer():
    seeds = {layer_seed(seed, name) for seed in range(20) for name in ("conv", "conv_1", "head")}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeded_layers_repeat_themselves():
    config = keras.layers.Dense(4, name="dense").get_config()
    before = copy.deepcopy(config)
    kernels = []
    for seed in (1, 1, 2):
        layer = keras.layers.Dense.from_config(seeded_config(config, seed))
        layer.build((None, 3))
        kernels.append(layer.get_weights()[0])
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.allclose(kernels[0], kernels[2])
    assert config == before


def test_seeded_dropout_repeats_itself():
    config = keras.layers.Dropout(0.5, name="drop").get_config()
    x = np.ones((1, 64), np.float32)
    drops = [
        np.asarray(keras.layers.Dropout.from_config(seeded_config(config, seed))(x, training=True))
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(drops[0], drops[1])
    assert not np.array_equal(drops[0], drops[2])
