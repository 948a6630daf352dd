"""Keras's files, checked before Keras or HDF5 acts on what they hold.

A ``.keras`` file is a program: its configuration names classes, which Keras imports and calls, some
of which run code or read other files. HDF5 files may refer to other files for their arrays, and
both may declare more than memory holds.
"""

import contextlib
import copy
import io
import math
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import keras

# They register layers of the project, so that Keras finds them.
import iris_tf.networks.batch_normalization
import iris_tf.networks.head
import iris_tf.networks.phase_code
import iris_tf.networks.roi_normalization
import iris_tf.networks.spatial_attention
import iris_tf.networks.strip_normalization  # noqa: F401
from iris_tf.support.errors import ModelError, first_line
from iris_tf.support.foreign_files import UNUSABLE, parse_json, shown

_CONFIGURATION, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIGURATION, _WEIGHTS, "metadata.json"}
_MOST_CONFIGURATION = 2**25  # bytes; the largest network in the registry has 2**20
_MOST_WEIGHTS = 2**32
_MOST_GROWTH = 1000  # of a compressed array, whose values may all be equal
_MOST_LEVELS = 64
_MOST_SIZE = 2**14  # of filters, units or pixels
_UNBOUNDED = ("seed", "shared_object_id")

_MODULES = (
    "keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints",
    "keras.activations", "keras.dtype_policies", "keras.ops",
)  # fmt: skip
_INNER_MODULES = ("keras.src.models.", "keras.src.ops.", "keras.src.layers.")
# They run code, or read files and the network. Most are refused by some version of Keras.
_REACHING = {
    "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "StringLookup",
    "IntegerLookup", "TextVectorization", "Hashing",
}  # fmt: skip
_OWN = "iris_tf>"


def load_keras_file(path: str | Path) -> keras.Model:
    """Load a ``.keras`` file without its optimiser.

    Raises
    ------
    ModelError
        If the file is missing, damaged, or holds classes that are neither Keras's nor the
        project's, that run code or that read other files.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model; check the path.")
    # Keras reports a file that is not an archive as missing.
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path}: this is not a .keras file, or a damaged one; give one from `iris-tf train`."
        )
    try:
        configuration, weights = read_archive(path)
        with open_hdf5(weights) as file:
            stored = sum(array.size or 0 for array in hdf5_arrays(file))
        check_size(configuration, stored)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # libraries raise exceptions of any kind on damaged content
        reason = first_line(error).rstrip(".")
        raise ModelError(
            f"{path}: Keras cannot load it ({reason}); give a .keras file from `iris-tf train`."
        ) from None


def read_archive(path: Path) -> tuple[dict[str, Any], io.BytesIO]:
    """Configuration and weights of a ``.keras`` file, both checked except for HDF5's content.

    Raises
    ------
    ValueError
        If the file holds anything else than Keras writes, more than memory holds, or foreign
        classes. The message is a clause.
    OSError
        If it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if not {_CONFIGURATION, _WEIGHTS} <= sizes.keys() <= _MEMBERS:
                raise ValueError(f"it holds {shown(sorted(sizes))}")
            if sizes[_CONFIGURATION] > _MOST_CONFIGURATION or sizes[_WEIGHTS] > _MOST_WEIGHTS:
                raise ValueError("it unpacks to more than a network has")
            configuration = parse_json(archive.read(_CONFIGURATION), finite=False)
            weights = io.BytesIO(archive.read(_WEIGHTS))
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:  # damaged archives raise exceptions of any kind
        raise ValueError(f"it is damaged ({first_line(error)})") from None
    if not isinstance(configuration, dict):
        raise ValueError("its configuration is no object")
    check_configuration(configuration)
    return configuration, weights


def check_configuration(configuration: dict[str, Any]) -> None:
    """Check that a model's configuration names only layers that compute.

    Raises
    ------
    ValueError
        If it names a foreign class, one that runs code or reads files, a size that no network of
        the project has, or is nested too deeply.
    """
    # How the model was trained is not loaded.
    parts = [value for key, value in configuration.items() if key != "compile_config"]
    if "class_name" in configuration:
        _check_class(configuration)
    for key, value in _values(parts):
        if isinstance(value, dict) and "class_name" in value:
            _check_class(value)
        if isinstance(value, int) and abs(value) > _MOST_SIZE and key not in _UNBOUNDED:
            raise ValueError(f"{shown(key)} is {shown(value)}, more than {_MOST_SIZE}")


def _values(parts: list[Any]) -> Iterator[tuple[str, Any]]:
    """All values within some values, with the nearest key above them."""
    waiting = [("", part, 0) for part in parts]
    while waiting:
        key, value, level = waiting.pop()
        if level > _MOST_LEVELS:
            raise ValueError("its configuration is nested too deeply")
        yield key, value
        if isinstance(value, dict):
            waiting += [(name, part, level + 1) for name, part in value.items()]
        elif isinstance(value, list):
            waiting += [(key, part, level + 1) for part in value]


def _check_class(described: dict[str, Any]) -> None:
    name, module = described["class_name"], described.get("module")
    registered = described.get("registered_name")
    if name == "__keras_tensor__":
        return
    if isinstance(registered, str) and registered.startswith(_OWN):
        if keras.saving.get_registered_object(registered) is not None:
            return
    elif isinstance(module, str) and isinstance(name, str):
        known = module in _MODULES or module.startswith(_INNER_MODULES)
        if known and name not in _REACHING:
            return
    raise ValueError(
        f"it holds {shown(registered or name)} of {shown(module)}, which this project does not load"
    )


@contextlib.contextmanager
def open_hdf5(source: Path | io.BytesIO) -> Iterator[h5py.File]:
    """Open an HDF5 file that holds all of its arrays itself, and no more than it declares.

    Parameters
    ----------
    source : Path or BytesIO
        The file, or its content.

    Yields
    ------
    h5py.File
        For reading.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is damaged, links to other files, stores arrays in them, or declares more than memory
        holds. Also for what is found only while the caller reads. The message is a clause.
    """
    try:
        with h5py.File(source, "r") as file:
            declared = sum(array.nbytes for array in hdf5_arrays(file))
            if declared > _MOST_WEIGHTS:
                raise ValueError(f"its weights declare {declared:,} bytes")
            yield file
    except (OSError, ValueError):
        raise
    except (*UNUSABLE, RuntimeError) as error:  # HDF5 has no exception of its own
        raise ValueError(first_line(error)) from None


def hdf5_arrays(file: h5py.File) -> Iterator[h5py.Dataset]:
    """All arrays of a file, each once.

    Raises
    ------
    ValueError
        If one does not lie in the file, which may also link to others.
    """
    seen = set()
    waiting: list[h5py.Group] = [file]
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its weights link to other places ({shown(name)})")
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(node, h5py.Group):
                waiting.append(node)
            elif isinstance(node, h5py.Dataset):
                _check_array(node)
                yield node


def _check_array(array: h5py.Dataset) -> None:
    if array.external or array.is_virtual:
        raise ValueError(f"its weights lie in other files ({shown(array.name)})")
    # What was never written is not stored, but is read as zeros.
    stored = array.id.get_storage_size()
    if array.nbytes > _MOST_GROWTH * stored:
        raise ValueError(
            f"its array {shown(array.name)} declares {array.nbytes:,} bytes, but has {stored:,}"
        )


def check_size(configuration: dict[str, Any], stored: int) -> None:
    """Check that a model has no more parameters than its file stores, before any is allocated.

    Parameters
    ----------
    configuration : dict
        Checked by `check_configuration`.
    stored : int
        Most parameters that the file can hold.

    Raises
    ------
    ValueError
        If it has more.
    """
    # In a thread of its own, because Keras keeps a list of what is not initialised yet for each.
    with ThreadPoolExecutor(1) as thread:
        needed = thread.submit(_parameters, configuration).result()
    if needed > stored:
        raise ValueError(f"its network has {needed:,} parameters, but the file stores {stored:,}")


def _parameters(configuration: dict[str, Any]) -> int:
    # Keras takes a configuration apart while it reads it.
    parts = copy.deepcopy({k: part for k, part in configuration.items() if k != "compile_config"})
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(parts, safe_mode=True)
        return sum(math.prod(variable.shape) for variable in model.variables)
