"""The graph of a Functional model: who reads a layer's output, and copies with other layers."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

Weights = Mapping[str, list[np.ndarray]]
"""Weights by layer name, as from `keras.layers.Layer.get_weights`."""


def consumers(model: keras.Model, layer: keras.Operation) -> list[keras.Operation]:
    """Layers and operations of `model` that read the output of `layer`, once for each reading."""
    produced = {id(tensor) for node in layer._inbound_nodes for tensor in node.output_tensors}
    return [
        operation
        for operation in model.operations
        if operation is not layer
        for node in operation._inbound_nodes
        for tensor in node.input_tensors
        if id(tensor) in produced
    ]


def is_output(model: keras.Model, layer: keras.Operation) -> bool:
    """Whether the output of `layer` is an output of `model`."""
    produced = {id(tensor) for node in layer._inbound_nodes for tensor in node.output_tensors}
    return any(id(tensor) in produced for tensor in keras.tree.flatten(model.outputs))


def copy_model(
    model: keras.Model,
    weights: Weights,
    replace: Callable[[keras.layers.Layer], keras.layers.Layer | None] = lambda layer: None,
    skip: Callable[[keras.layers.Layer], bool] = lambda layer: False,
) -> keras.Model:
    """Copy a Functional model with some layers replaced, left out, or given other weights.

    Parameters
    ----------
    model : keras.Model
        Not modified.
    weights : mapping of str to list of ndarray
        New weights of some layers, by name; all others keep theirs.
    replace : callable, optional
        Gives the layer to take the place of one of the model's, or None for a copy of it.
        The new layer keeps the name.
    skip : callable, optional
        Whether to leave out a layer: its input is passed on unchanged.

    Returns
    -------
    keras.Model
        Of the same name, input and output shapes.
    """

    def clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        return replace(layer) or type(layer).from_config(layer.get_config())

    def call_layer(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if skip(layer) else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=clone_layer, call_function=call_layer)
    for layer in copy.layers:
        if layer.weights:
            layer.set_weights(weights.get(layer.name) or model.get_layer(layer.name).get_weights())
    return copy
