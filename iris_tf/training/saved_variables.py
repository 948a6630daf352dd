"""Saving and loading of the variables of a training run."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from iris_tf.support.errors import TrainingError


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
        If the number of variables differs: the file is from another version.
    """
    with np.load(path) as stored:
        if len(stored.files) != len(variables):
            raise TrainingError(
                f"{path} holds {len(stored.files)} variables, but this version trains "
                f"{len(variables)}: another version started this training; remove "
                f"{path.parent.parent} and train again, or resume with that version."
            )
        for variable, name in zip(variables, stored.files, strict=True):
            variable.assign(stored[name])
