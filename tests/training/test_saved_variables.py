import keras
import numpy as np
import pytest

from iris_tf.support.errors import TrainingError
from iris_tf.training.saved_variables import load_variables, save_variables


def variables(*shapes):
    return [keras.Variable(np.full(shape, 7.0)) for shape in shapes]


@pytest.mark.parametrize("kept", [0, 50, -30])
def test_a_damaged_file_is_one_sentence_and_changes_nothing(tmp_path, kept):
    save_variables(tmp_path / "x.npz", [keras.Variable(np.zeros((3, 4))), keras.Variable(1.0)])
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content[:kept])
    target = variables((3, 4), ())
    with pytest.raises(TrainingError, match="state of the training cannot be read"):
        load_variables(tmp_path / "x.npz", target)
    assert all((np.asarray(variable) == 7.0).all() for variable in target)


@pytest.mark.parametrize("shapes", [((3, 4),), ((4, 3), ()), ((3, 4), (), ())])
def test_variables_of_another_version(tmp_path, shapes):
    save_variables(tmp_path / "x.npz", [keras.Variable(np.zeros((3, 4))), keras.Variable(1.0)])
    target = variables(*shapes)
    with pytest.raises(TrainingError, match="another version started this training"):
        load_variables(tmp_path / "x.npz", target)
    assert all((np.asarray(variable) == 7.0).all() for variable in target)
