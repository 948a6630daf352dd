import json

import numpy as np
import pytest

from iris_tf.support.errors import OutputError
from iris_tf.support.own_files import check_replaceable


def test_what_is_missing_or_of_the_same_kind_may_be_written(tmp_path):
    check_replaceable(tmp_path / "none.npz", ["a"])
    np.savez(tmp_path / "own.npz", a=1, b=2, c=3)
    check_replaceable(tmp_path / "own.npz", ["a", "b"])
    (tmp_path / "own.json").write_text(json.dumps({"a": 1, "b": {}}))
    check_replaceable(tmp_path / "own.json", ["a", "b"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"[1]",
        b"{",
        b"[" * 100_000,
        b"\xff\xd8\xff\xe0jpeg",
        b"PK\x03\x04",
        b'{"a": 1}',
    ],
)
def test_other_files_are_not_overwritten(tmp_path, content):
    path = tmp_path / "theirs"
    path.write_bytes(content)
    with pytest.raises(OutputError, match="theirs: exists and is no earlier output"):
        check_replaceable(path, ["a", "b"])
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(OutputError, match=r"other\.npz: exists"):
        check_replaceable(tmp_path / "other.npz", ["a", "b"])


def test_folders_are_no_outputs(tmp_path):
    with pytest.raises(OutputError):
        check_replaceable(tmp_path, ["a"])
