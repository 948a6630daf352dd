"""Loading of weights from files of this project, matched by layer name and shape."""

import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from iris_tf.networks.input_normalization import NORMALIZATION_LAYER
from iris_tf.networks.keras_files import open_hdf5, read_archive
from iris_tf.networks.parameter_groups import parameter_group
from iris_tf.support.errors import ModelError, first_line
from iris_tf.support.foreign_files import UNUSABLE

SUFFIXES = (".keras", ".weights.h5")

_log = logging.getLogger(__name__)


def load_matching_weights(model: keras.Model, path: str | Path) -> list[str]:
    """Load the weights of all layers whose names and shapes match.

    All layers of the backbone must match. Attention and head may differ, since a recipe
    may add attention to a trained network or change the embedding size: their layers
    that are missing in the file, or have other shapes there, keep their weights, and are
    listed in a warning.

    Parameters
    ----------
    model : keras.Model
        From `build_embedding_model`; modified in place.
    path : str or Path
        A ``.keras`` or ``.weights.h5`` file with a model of `build_embedding_model`,
        possibly nested in another model (but without a second network of this project,
        since layers are found by name only).

    Returns
    -------
    list of str
        Layers of attention and head that kept their weights.

    Raises
    ------
    ModelError
        If the file is missing or of another kind, has no head, its network normalises crops
        differently, or a backbone layer does not match; `model` is unmodified then.
    """
    stored, normalization = _read_weights(Path(path))
    if not any(parameter_group(name) == "head" for name in stored):
        # Such a network normalises its input in another way, which this kind of file does not tell.
        raise ModelError(
            f"{path}: has no weights of a head, so its network is not of this project; give "
            "weights of keras.applications as an .h5 file, which `model.save` writes."
        )
    _check_normalization(model, normalization, str(path))
    return assign_layers(model, stored, path)


def assign_layers(
    model: keras.Model, stored: Mapping[str, list[np.ndarray]], path: str | Path
) -> list[str]:
    """Assign weights by layer; all layers of the backbone must match, those of the head may differ.

    Parameters
    ----------
    model : keras.Model
        From `build_embedding_model`; modified in place.
    stored : mapping of str to list of ndarray
        Arrays in the order of `Layer.get_weights`, by layer name.
    path : str or Path
        File that they are from, for messages.

    Returns
    -------
    list of str
        Layers of attention and head that kept their weights.

    Raises
    ------
    ModelError
        If a backbone layer does not match; `model` is unmodified then.
    """
    differing = _differences(model, stored, str(path))
    if differing:
        _log.warning("%s: these layers keep their initial weights: %s", path, ", ".join(differing))
    for layer in model.layers:
        if layer.weights and layer.name not in differing:
            layer.set_weights(stored[layer.name])
    return list(differing)


def check_matching_weights(model: keras.Model, source: keras.Model) -> None:
    """Check that `load_matching_weights` could load a file with `source`, before there is one.

    Parameters
    ----------
    model, source : keras.Model
        From `build_embedding_model`.

    Raises
    ------
    ModelError
        If `source` normalises crops differently, or a backbone layer does not match.
    """
    normalization = source.get_layer(NORMALIZATION_LAYER)
    _check_normalization(model, _described(normalization), source.name)
    layers = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    _differences(model, layers, source.name)


def _differences(
    model: keras.Model, stored: Mapping[str, list[np.ndarray]], origin: str
) -> dict[str, str]:
    """Describe how stored layers differ from those of attention and head, by layer.

    Raises
    ------
    ModelError
        If a layer of the backbone differs; names `origin`.
    """
    differing = {}
    for layer in model.layers:
        if layer.weights:
            difference = _difference(layer, stored.get(layer.name))
            if difference:
                differing[layer.name] = difference
    backbone = [name for name in differing if parameter_group(name) == "backbone"]
    if backbone:
        shown = "; ".join(f"{name} {differing[name]}" for name in backbone[:5])
        more = f"; and {len(backbone) - 5} more" if len(backbone) > 5 else ""
        raise ModelError(
            f"The weights in {origin} are not of the network {model.name}: {shown}{more}. "
            "Choose weights of the same network, or `none`."
        )
    return differing


def _described(layer: keras.layers.Layer) -> list:
    """Class and configuration of a layer, as in a file."""
    return json.loads(json.dumps([type(layer).__name__, layer.get_config()]))


def _check_normalization(model: keras.Model, found: list | None, origin: str) -> None:
    """Check that the weights were trained with the same normalisation; shapes may agree anyway."""
    if found is None:
        return
    described = _described(model.get_layer(NORMALIZATION_LAYER))
    for side in (described[1], found[1]):
        side.pop("dtype", None)  # depends on the policy and its serialisation
    if described != found:
        raise ModelError(
            f"{origin}: its network normalises crops by {_layer_text(*found)}, but the new one by "
            f"{_layer_text(*described)}; use the same `normalization` and `reduction`, or choose "
            "other weights."
        )


def _layer_in(config: Any, name: str) -> list | None:
    """Class and configuration of a layer, by its name in a model's configuration."""
    if isinstance(config, list):
        parts = config
    elif isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict) and inner.get("name") == name:
            return [config["class_name"], inner]
        parts = list(config.values())
    else:
        return None
    return next((found for part in parts if (found := _layer_in(part, name))), None)


def _layer_text(kind: str, config: dict[str, Any]) -> str:
    shown = ", ".join(f"{k}={v}" for k, v in config.items() if k not in ("name", "trainable"))
    return f"{kind}({shown})"


def _difference(layer: keras.layers.Layer, arrays: list[np.ndarray] | None) -> str:
    """Describe how the stored arrays differ from the layer's; empty if they do not."""
    if arrays is None:
        return "is missing"
    expected = [tuple(variable.shape) for variable in layer.weights]
    found = [array.shape for array in arrays]
    return "" if found == expected else f"has shapes {found} instead of {expected}"


def _read_weights(path: Path) -> tuple[dict[str, list[np.ndarray]], list | None]:
    """Arrays of each layer, and the normalisation, which only a ``.keras`` file describes."""
    if not path.is_file():
        raise ModelError(f"There is no weights file {path}.")
    try:
        if path.suffix != ".keras":
            return _read_layers(path), None
        configuration, weights = read_archive(path)
        return _read_layers(weights), _layer_in(configuration, NORMALIZATION_LAYER)
    except UNUSABLE as error:
        raise ModelError(
            f"{path} is not a readable Keras weights file ({first_line(error).rstrip('.')}); check "
            "the path."
        ) from None


def _read_layers(source: Path | io.BytesIO) -> dict[str, list[np.ndarray]]:
    """Arrays of each layer by layer name, in the order of `Layer.get_weights`."""
    layers: dict[str, list[np.ndarray]] = {}
    with open_hdf5(source) as file:
        # Keras stores layers under numbered class names, with the layer's name as an
        # attribute of the group of its variables.
        def collect(_: str, node: Any) -> None:
            if isinstance(node, h5py.Group) and "name" in node.attrs and len(node):
                layers[node.attrs["name"]] = [node[str(i)][()] for i in range(len(node))]

        file.visititems(collect)
    return layers
