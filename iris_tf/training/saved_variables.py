"""Saving and loading of the variables of a training run."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from iris_tf.support.array_files import load_arrays
from iris_tf.support.errors import TrainingError, first_line


def save_variables(path: Path, variables: Sequence[keras.Variable]) -> None:
    """Save the values of variables to an ``.npz`` file.

    `save_weights` is not used, because its HDF5 library crashes the process on a full disk
    and stores every moment of a `MultiOptimizer` twice.
    """
    np.savez(path, *(keras.ops.convert_to_numpy(variable) for variable in variables))


def load_variables(path: Path, variables: Sequence[keras.Variable]) -> None:
    """Restore variables from a file of `save_variables`, by position.

    Raises
    ------
    TrainingError
        If the file is missing or damaged, or the variables differ in number or shape: the file is
        from another version. No variable is changed then.
    """
    try:
        stored = list(load_arrays(path).values())
    except (OSError, ValueError) as problem:
        raise TrainingError(
            f"{path}: the state of the training cannot be read ({first_line(problem)}); remove "
            f"{path.parent.parent} and train again."
        ) from None
    shapes = [array.shape for array in stored]
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise TrainingError(
            f"{path} holds {len(shapes)} variables, but this version trains "
            f"{len(variables)}, or others: another version started this training; remove "
            f"{path.parent.parent} and train again, or resume with that version."
        )
    for variable, array in zip(variables, stored, strict=True):
        variable.assign(array)
