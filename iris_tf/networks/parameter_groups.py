"""Parameter groups of an embedding model, for learning rates and gradual unfreezing."""

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


def parameter_group(variable: keras.Variable | str) -> str:
    """Name the parameter group of a variable.

    Parameters
    ----------
    variable : keras.Variable or str
        A variable of a model of `build_embedding_model`, or its path.

    Returns
    -------
    {"backbone", "attention", "head"}
        Learned depthwise pooling belongs to the head.
    """
    path = variable if isinstance(variable, str) else variable.path
    return next(group for group, pattern in GROUP_PATTERNS.items() if re.fullmatch(pattern, path))


def parameter_groups(model: keras.Model) -> dict[str, list[keras.Variable]]:
    """The trainable variables of an embedding model by parameter group.

    Parameters
    ----------
    model : keras.Model
        From `build_embedding_model`, or loaded from its file.

    Returns
    -------
    dict of str to list of keras.Variable
        The groups that the model has, in the order of `GROUP_PATTERNS`: "attention" only where
        there is attention.
    """
    groups: dict[str, list[keras.Variable]] = {name: [] for name in GROUP_PATTERNS}
    for variable in model.trainable_variables:
        groups[parameter_group(variable)].append(variable)
    return {name: variables for name, variables in groups.items() if variables}


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
    stages: list[list[keras.layers.Layer]] = [[] for _ in patterns]
    for layer in model.layers:
        if layer.weights and parameter_group(layer.name) == "backbone":
            place = next(i for i, p in enumerate(patterns) if re.fullmatch(p, layer.name))
            stages[place].append(layer)
    return stages
