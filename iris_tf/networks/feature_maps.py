"""Embedding models that also return feature maps, for distillation."""

from collections.abc import Iterable, Sequence

import keras

from iris_tf.networks.registry import NETWORKS, network_spec
from iris_tf.support.errors import ModelError

EMBEDDING = "embedding"
"""Key of the embedding among the outputs of `with_feature_maps`."""


def with_feature_maps(model: keras.Model, names: Sequence[str]) -> keras.Model:
    """Let an embedding model return some of its feature maps, too.

    Parameters
    ----------
    model : keras.Model
        From `build_embedding_model`, or loaded from its file; its name is the network's name.
        Its layers are shared.
    names : sequence of str
        Keys of the network's `NetworkSpec.features`.

    Returns
    -------
    keras.Model
        From the same input to a dictionary: ``"embedding"`` (batch, D), and each feature map
        (batch, height, width, channels) under its name.

    Raises
    ------
    ModelError
        If the model's name is no network's, or its network lacks a feature map; it names
        those that there are.
    """
    if model.name not in NETWORKS:
        raise ModelError(
            f"a model's name tells its network, whose feature maps have names, but {model.name!r} "
            f"is none of {', '.join(NETWORKS)}."
        )
    check_features(model.name, names)
    features = network_spec(model.name).features
    maps = {name: model.get_layer(features[name]).output for name in names}
    return keras.Model(model.input, {EMBEDDING: model.output, **maps}, name=model.name)


def check_features(network: str, names: Iterable[str]) -> None:
    """Check that a network has feature maps of these names.

    Raises
    ------
    ModelError
        If it lacks one; names those that there are.
    """
    features = network_spec(network).features
    for name in names:
        if name not in features:
            raise ModelError(
                f"{network} has no feature map {name!r}; choose from "
                f"{', '.join(features) or 'none: the registry names no feature map of it'}."
            )


def feature_shapes(model: keras.Model) -> dict[str, tuple[int, int, int]]:
    """Height, width and channels of each feature map of a model of `with_feature_maps`."""
    return {
        name: tuple(output.shape[1:]) for name, output in model.output.items() if name != EMBEDDING
    }
