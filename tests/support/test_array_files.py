import io
import zipfile

import numpy as np
import pytest

from iris_tf.support.array_files import load_arrays


def member(array, **header):
    """Content of an ``.npy`` file; `header` overrides what it declares."""
    buffer = io.BytesIO()
    declared = np.lib.format.header_data_from_array_1_0(array) | header
    np.lib.format.write_array_header_1_0(buffer, declared)
    return buffer.getvalue() + array.tobytes()


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_as_they_were_saved(tmp_path, save):
    arrays = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "a": np.array("text"),
        "empty": np.empty((0, 4)),
    }
    save(tmp_path / "x.npz", **arrays)
    found = load_arrays(tmp_path / "x.npz")
    assert list(found) == ["b", "a", "empty"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert list(load_arrays(tmp_path / "x.npz", ("a",))) == ["a"]


def test_an_array_that_declares_more_than_the_file_holds_is_not_allocated(tmp_path):
    path = archive(tmp_path / "x.npz", a=member(np.zeros(3), shape=(2**60,)))
    with pytest.raises(ValueError, match=r"a\.npy has another size than it declares"):
        load_arrays(path)


def test_pickles_are_not_loaded(tmp_path):
    class Opened:
        def __reduce__(self):
            return open, (str(tmp_path / "opened"), "w")

    np.savez(tmp_path / "x.npz", a=np.array([Opened()], object))
    with pytest.raises(ValueError, match="Python objects"):
        load_arrays(tmp_path / "x.npz")
    assert not (tmp_path / "opened").exists()


def test_what_unpacks_to_far_more_than_the_file_is_refused(tmp_path):
    path = archive(tmp_path / "x.npz", a=member(np.zeros(2**27, np.uint8)))
    assert path.stat().st_size < 2**18
    with pytest.raises(ValueError, match="unpacks to 134,"):
        load_arrays(path)


def test_missing_arrays_and_damaged_files(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(ValueError, match="lacks b, c"):
        load_arrays(tmp_path / "x.npz", ("a", "b", "c"))
    content = (tmp_path / "x.npz").read_bytes()
    for damaged in (b"", content[:100], b"\0" * 100, content[:60] + b"\xff" * 20 + content[80:]):
        (tmp_path / "y.npz").write_bytes(damaged)
        with pytest.raises(ValueError):
            load_arrays(tmp_path / "y.npz")
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "missing.npz")
