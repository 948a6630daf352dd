"""Variables of a training on disk."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from iris_tf.support.errors import TrainingError


def save_variables(path: Path, variables: Sequence[keras.Variable]) -> None:
    """Write the values of variables as an ``.npz`` file.

    Not `save_weights`, whose HDF5 brings the process down on a full disk and
    holds every moment of a `MultiOptimizer` twice.
    """
    np.savez(path, *(keras.ops.convert_to_numpy(variable) for variable in variables))


def load_variables(path: Path, variables: Sequence[keras.Variable]) -> None:
    """Give variables the values that `save_variables` wrote for the like of them.

    Raises
    ------
    TrainingError
        When the file holds another number of them: another version wrote it.
    """
    with np.load(path) as stored:
        if len(stored.files) != len(variables):
            raise TrainingError(
                f"{path} holds {len(stored.files)} variables, but this version trains "
                f"{len(variables)}: another version began this training; remove "
                f"{path.parent.parent} and begin anew, or go on with that version."
            )
        for variable, name in zip(variables, stored.files, strict=True):
            variable.assign(stored[name])
