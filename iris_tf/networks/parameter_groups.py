"""Which part of an embedding model a variable or layer belongs to."""

import re

import keras

from iris_tf.networks.registry import network_spec

# Layer names begin with these, so the paths of variables do.
ATTENTION_PREFIX = "spatial_attention_"
HEAD_PREFIX = "head_"

# Exactly one of them matches a variable's path in full.
GROUP_PATTERNS = {
    "backbone": rf"(?!{ATTENTION_PREFIX}|{HEAD_PREFIX}).*",
    "attention": rf"{ATTENTION_PREFIX}.*",
    "head": rf"{HEAD_PREFIX}.*",
}


def parameter_group(variable) -> str:
    """Name the parameter group of a variable.

    Parameters
    ----------
    variable : keras.Variable
        A variable of a model of `build_embedding_model`, or a variable's path.

    Returns
    -------
    {"backbone", "attention", "head"}
        Learned depthwise pooling belongs to the head.
    """
    path = variable if isinstance(variable, str) else variable.path
    return next(group for group, pattern in GROUP_PATTERNS.items() if re.fullmatch(pattern, path))


def backbone_stages(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Split the backbone into stages for gradual unfreezing.

    Parameters
    ----------
    model : keras.Model
        From `build_embedding_model`, or loaded from its file; its name is the
        network's name.

    Returns
    -------
    list of list of keras.layers.Layer
        The backbone's layers with weights, each in exactly one stage, from the
        stem at the input to the last stage before the head. Attention layers
        and the head are in none.

    Raises
    ------
    ModelError
        If the model's name is no network's.
    """
    patterns = network_spec(model.name).stages
    stages = [[] for _ in patterns]
    for layer in model.layers:
        if layer.weights and parameter_group(layer.name) == "backbone":
            place = next(i for i, p in enumerate(patterns) if re.fullmatch(p, layer.name))
            stages[place].append(layer)
    return stages
