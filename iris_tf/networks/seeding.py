"""Randomness that depends on a seed and a layer's name, and on nothing else."""

import zlib


def layer_seed(seed: int, layer_name: str) -> int:
    """Seed of one layer's initial weights.

    A layer's weights then do not depend on what was built before it: networks of
    one seed with and without attention start from the same backbone, and Keras's
    global seed is neither used nor set.

    Parameters
    ----------
    seed : int
        The model's seed.
    layer_name : str
        Name of the layer.

    Returns
    -------
    int
        0 .. 2**31 - 1, the same on every machine.
    """
    return zlib.crc32(f"{seed}/{layer_name}".encode()) & 0x7FFFFFFF


def seeded_config(config: dict, seed: int) -> dict:
    """Give a Keras layer's random initialisers, and a dropout layer, their seeds.

    Parameters
    ----------
    config : dict
        Of `keras.layers.Layer.get_config`, with the layer's name.
    seed : int
        The model's seed.

    Returns
    -------
    dict
        A copy with seeds; `config` is not changed.
    """
    seeded = dict(config)
    if "seed" in config:  # dropout, such as EfficientNet's stochastic depth
        seeded["seed"] = layer_seed(seed, config["name"])
    for key, initializer in config.items():
        if key.endswith("_initializer") and "seed" in (initializer or {}).get("config", {}):
            options = {**initializer["config"], "seed": layer_seed(seed, config["name"])}
            seeded[key] = {**initializer, "config": options}
    return seeded
