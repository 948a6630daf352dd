"""Reading of public checkpoints (``.h5`` of Keras, ``.npz`` of PyTorch) without running code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from iris_tf.networks.keras_files import open_hdf5
from iris_tf.networks.pretrained import fold_input_normalization
from iris_tf.networks.registry import NetworkSpec
from iris_tf.networks.weights import assign_layers
from iris_tf.support.array_files import load_arrays
from iris_tf.support.errors import ModelError, first_line
from iris_tf.support.foreign_files import UNUSABLE

Arrays = Mapping[str, np.ndarray]


def load_public_checkpoint(model: keras.Model, spec: NetworkSpec, path: str | Path) -> list[str]:
    """Load a public checkpoint into an embedding model, and adapt it to our input normalisation.

    Parameters
    ----------
    model : keras.Model
        From `build_embedding_model`; modified in place.
    spec : NetworkSpec
        Its network, with a `checkpoint` and a `pretrained_input`.
    path : str or Path
        See `read_public_checkpoint`.

    Returns
    -------
    list of str
        Layers of attention and head that kept their initial weights, because the file lacks them
        or has them in another size; they are listed in a warning.

    Raises
    ------
    ModelError
        If the file cannot be read, or is of another network.
    """
    kept = assign_layers(model, read_public_checkpoint(path, model, spec), path)
    assert spec.pretrained_input is not None
    fold_input_normalization(model, spec.pretrained_input)
    return kept


def read_public_checkpoint(
    path: str | Path, model: keras.Model, spec: NetworkSpec
) -> dict[str, list[np.ndarray]]:
    """Read the weights of a network's layers from a public checkpoint.

    An ``.h5`` file has Keras's names and shapes of arrays. An ``.npz`` file has a PyTorch state
    dictionary's, written by ``numpy.savez(path, **{name: value.numpy() for name, value in
    model.state_dict().items()})``. Arrays of Python objects are refused, so reading a file runs no
    code of it.

    Parameters
    ----------
    path : str or Path
    model : keras.Model
        Model whose layers are looked for; not modified.
    spec : NetworkSpec
        With a `checkpoint`.

    Returns
    -------
    dict of str to list of ndarray
        Arrays in the order of `Layer.get_weights`, by layer, of the layers that the file has.

    Raises
    ------
    ModelError
        If the file is missing or cannot be read.
    """
    assert spec.checkpoint is not None
    modules = _read_modules(Path(path))
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    stored = {}
    for module, arrays in modules.items():
        layer = layers.get(spec.checkpoint.layer_name(module))
        if layer is not None:
            stored[layer.name] = _layer_arrays(layer, arrays, spec.checkpoint.epsilon)
    return stored


def _read_modules(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by module and parameter."""
    if not path.is_file():
        raise ModelError(f"There is no weights file {path}.")
    try:
        arrays = _read_npz(path) if path.suffix == ".npz" else _read_h5(path)
    except UNUSABLE as error:
        raise ModelError(
            f"{path}: cannot be read as a checkpoint ({first_line(error)}); give the .h5 file of a "
            "Keras model, or a PyTorch state dictionary saved by numpy.savez as arrays of numbers."
        ) from None
    modules: dict[str, dict[str, np.ndarray]] = {}
    for (module, parameter), array in arrays.items():
        if array.dtype.kind in "fiu":  # others hold no weights
            modules.setdefault(module, {})[parameter] = array
    return modules


def _read_npz(path: Path) -> dict[tuple[str, str], np.ndarray]:
    return {_last_two(name, "."): array for name, array in load_arrays(path).items()}


def _read_h5(path: Path) -> dict[tuple[str, str], np.ndarray]:
    found = {}
    with open_hdf5(path) as file:

        def collect(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                module, parameter = _last_two(name, "/")
                found[module.rsplit("/", 1)[-1], parameter.removesuffix(":0")] = node[()]

        file.visititems(collect)
    return found


def _last_two(name: str, separator: str) -> tuple[str, str]:
    module, _, parameter = name.rpartition(separator)
    return module, parameter


def _layer_arrays(layer: keras.layers.Layer, arrays: Arrays, epsilon: float) -> list[np.ndarray]:
    """Arrays of a layer in the order of `Layer.get_weights`, without missing ones."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return _normalization_arrays(layer, arrays, epsilon)
    if isinstance(layer, keras.layers.PReLU):
        slopes = _first_of(arrays, "alpha", "weight")
        return [slope.reshape(1, 1, -1) for slope in slopes]
    kernels = _first_of(arrays, "kernel", "depthwise_kernel")
    kernels = kernels or [_torch_kernel(layer, array) for array in _first_of(arrays, "weight")]
    return [*kernels, *_first_of(arrays, "bias")]


def _normalization_arrays(
    layer: keras.layers.BatchNormalization, arrays: Arrays, epsilon: float
) -> list[np.ndarray]:
    beta = _first_of(arrays, "beta", "bias")
    mean = _first_of(arrays, "moving_mean", "running_mean")
    variance = _first_of(arrays, "moving_variance", "running_var")
    if not (beta and mean and variance):
        return []
    # FaceNet's models in Keras have no scale.
    (gamma,) = _first_of(arrays, "gamma", "weight") or [np.ones_like(beta[0])]
    if any(array.shape != variance[0].shape for array in (gamma, *beta, *mean)):
        return [gamma, *beta, *mean, *variance]  # none of a layer, which names the shapes
    # The normalisation is the same with another epsilon if the scale makes up for it.
    gamma = gamma * np.sqrt((variance[0] + layer.epsilon) / (variance[0] + epsilon))
    return [gamma, *beta, *mean, *variance]


def _torch_kernel(layer: keras.layers.Layer, array: np.ndarray) -> np.ndarray:
    """Kernel (outputs, inputs, height, width) of PyTorch in the order of Keras."""
    if array.ndim == 2:
        return array.T
    if array.ndim != 4:
        return array
    depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
    return array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


def _first_of(arrays: Arrays, *names: str) -> list[np.ndarray]:
    """The first of some arrays that there is, as a list; empty if there is none."""
    return [arrays[name] for name in names if name in arrays][:1]
