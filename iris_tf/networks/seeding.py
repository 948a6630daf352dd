"""Seeding of random initial weights by layer name."""

import zlib


def layer_seed(seed: int, layer_name: str) -> int:
    """Seed of one layer's initial weights.

    The weights of a layer do not depend on layers built earlier: networks with and
    without attention have the same initial backbone for the same seed. Keras's global
    seed is neither used nor set.

    Parameters
    ----------
    seed : int
        The model's seed.
    layer_name : str
        Name of the layer.

    Returns
    -------
    int
        0 .. 2**31 - 1, equal on all machines.
    """
    return zlib.crc32(f"{seed}/{layer_name}".encode()) & 0x7FFFFFFF


def seeded_config(config: dict, seed: int) -> dict:
    """Seed the random initialisers of a Keras layer, and dropout layers.

    Parameters
    ----------
    config : dict
        From `keras.layers.Layer.get_config`, with the layer's name.
    seed : int
        The model's seed.

    Returns
    -------
    dict
        A copy with seeds; `config` is not modified.
    """
    seeded = dict(config)
    if "seed" in config:  # dropout, such as EfficientNet's stochastic depth
        seeded["seed"] = layer_seed(seed, config["name"])
    for key, initializer in config.items():
        if key.endswith("_initializer") and "seed" in (initializer or {}).get("config", {}):
            options = {**initializer["config"], "seed": layer_seed(seed, config["name"])}
            seeded[key] = {**initializer, "config": options}
    return seeded
