import pickle

import pytest

from iris_tf.support.errors import ExtractionError, FailureReason, first_line


def test_an_extraction_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(ExtractionError(FailureReason.NO_IRIS, "None was found.")))
    assert (error.reason, str(error)) == (FailureReason.NO_IRIS, "None was found.")


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("one\ntwo"), "one"), (ValueError(), "ValueError"), (KeyError("a"), "'a'")],
)
def test_first_line_of_a_librarys_error(error, line):
    assert first_line(error) == line
