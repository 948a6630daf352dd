import io
import pickle
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest

from iris_tf.data.manifest import ManifestRow
from iris_tf.evaluation.insightface_bin import read_pair_set
from iris_tf.evaluation.lfw_pairs import read_lfw_pairs
from iris_tf.support.errors import EvaluationError

IMAGES = ["Ann/Ann_0001.jpg", "Ann/Ann_0002.png", "Bob_B/Bob_B_0001.jpg", "Bob_B/Bob_B_0010.jpg"]
ROWS = [ManifestRow(i, "folder", i.split("/")[0], "", i.split("/")[0], i) for i in IMAGES]
TEXT = "2\t1\nAnn\t1\t2\nAnn\t1\tBob_B\t1\nBob_B\t1\t10\nBob_B\t10\tAnn\t2\n"


def read(tmp_path, text):
    (tmp_path / "pairs.txt").write_text(text)
    return read_lfw_pairs(tmp_path / "pairs.txt", ROWS)


def test_pairs_are_read_in_folds(tmp_path):
    found = read(tmp_path, TEXT)
    assert found.genuine.tolist() == [[0, 1], [2, 3]]
    assert found.impostor.tolist() == [[0, 2], [3, 1]]
    assert found.genuine_folds.tolist() == found.impostor_folds.tolist() == [0, 1]


def test_an_image_with_two_extensions_is_refused_where_it_is_compared(tmp_path):
    (tmp_path / "pairs.txt").write_text(TEXT)
    twice = [*ROWS, replace(ROWS[3], image="Bob_B/Bob_B_0010.png")]
    with pytest.raises(EvaluationError, match=r"line 4: .*several images Bob_B/Bob_B_0010 with d"):
        read_lfw_pairs(tmp_path / "pairs.txt", twice)
    others = [replace(ROWS[0], image=f"Carl/Carl_0001.{extension}") for extension in ("png", "jpg")]
    assert read_lfw_pairs(tmp_path / "pairs.txt", [*ROWS, *others]).genuine.tolist()[0] == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TEXT.replace("Bob_B\t1\t10", "Bob_B\t1\t3"),
            r"line 4: there is no image Bob_B/Bob_B_0003",
        ),
        (TEXT.replace("Ann\t1\t2\n", "Ann\t1\tBob_B\t1\n", 1), "line 2: .*`name number number`"),
        (TEXT.replace("Ann\t1\tBob_B\t1", "Ann\t1\t2"), "line 3: .*`name number name number`"),
        (TEXT.replace("\t10\tAnn", "\tx\tAnn"), "line 5: has"),
        ("Ann\t1\t2\n", "line 1: must have the number of folds"),
        ("", "line 1: must have"),
        (TEXT.replace("Ann\t1\t2", "Ann\t2\t02"), "line 2: compares an image with itself"),
        (
            TEXT.replace("Ann\t1\tBob_B\t1", "Ann\t1\tAnn\t2"),
            "line 3: compares two images of 'Ann'",
        ),
        (
            TEXT.replace("Bob_B\t1\t10", "Ann\t2\t1"),
            r"line 4: compares the same images as line 2; get",
        ),
        (TEXT.replace("2\t1\n", "9" * 5000 + "\t1\n", 1), "line 1: must have the number of folds"),
        (TEXT.replace("\t10\tAnn", "\t" + "9" * 5000 + "\tAnn"), "line 5: has"),
        (TEXT.replace("2\t1\n", "3\t1\n", 1), "lists 4 comparisons"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(EvaluationError, match=message):
        read(tmp_path, text)


def test_missing_list(tmp_path):
    with pytest.raises(EvaluationError, match="no such list"):
        read_lfw_pairs(tmp_path / "none.txt", ROWS)


# -- InsightFace's sets ---------------------------------------------------------------------------


def encoded(value):
    image = np.full((8, 6, 3), value, np.uint8)  # blue, green, red
    return cv2.imencode(".png", image)[1].tobytes()


def write_set(path, content, protocol=pickle.HIGHEST_PROTOCOL):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_set_of_pairs(tmp_path, protocol):
    images = [encoded((0, 50, 200 + i)) for i in range(24)]
    genuine = [i % 2 == 0 for i in range(12)]
    found = read_pair_set(write_set(tmp_path / "lfw.bin", (images, genuine), protocol))
    assert found.genuine.tolist() == genuine
    # Twelve in tenths, as scikit-learn's KFold divides them: the first two have one more.
    assert found.folds.tolist() == [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    np.testing.assert_array_equal(found.image(3, 3), np.full((8, 6, 3), [203, 50, 0]))
    assert found.image(0, 1).shape == (8, 6)


def test_bytes_of_python_2(tmp_path):
    # Python 2's strings, as in the published files: opcode SHORT_BINSTRING.
    image = b"12"
    strings = b"".join(b"U" + bytes([len(image)]) + image for _ in range(20))
    booleans = b"\x88" * 10
    content = b"\x80\x02](" + strings + b"e](" + booleans + b"e\x86."
    (tmp_path / "old.bin").write_bytes(content)
    found = read_pair_set(tmp_path / "old.bin")
    assert found.images == [image] * 20
    assert found.genuine.all()
    with pytest.raises(EvaluationError, match="Image 0 of the set cannot be decoded"):
        found.image(0, 3)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_code_in_a_set_is_not_run(tmp_path):
    sprung = tmp_path / "sprung"
    path = write_set(tmp_path / "trap.bin", ([Trap(sprung)], [True]))
    with pytest.raises(EvaluationError, match=r"not a plain set of pairs \(it wants to run"):
        read_pair_set(path)
    assert not sprung.exists()
    arrays = write_set(tmp_path / "arrays.bin", ([np.zeros(3, np.uint8)] * 20, [True] * 10))
    with pytest.raises(EvaluationError, match="it wants to run numpy"):
        read_pair_set(arrays)
    # Python 3 writes bytes as a call of a function in protocol 2.
    called = write_set(tmp_path / "called.bin", ([b"x"] * 20, [True] * 10), protocol=2)
    with pytest.raises(EvaluationError, match=r"it wants to run _codecs\.encode"):
        read_pair_set(called)
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer)
    pickler.persistent_id = lambda value: "outside" if value == b"x" else None
    pickler.dump(([b"x"] * 20, [True] * 10))
    (tmp_path / "outside.bin").write_bytes(buffer.getvalue())
    with pytest.raises(EvaluationError, match="refers to data outside"):
        read_pair_set(tmp_path / "outside.bin")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([b"x"] * 20, "must hold a list of encoded images"),
        (([b"x"] * 20, [1] * 10), "must hold a list of encoded images"),
        (([b"x"] * 19, [True] * 10), "19 images for 10 comparisons"),
        (([b"x"] * 4, [True] * 2), "at least 10 comparisons"),
    ],
)
def test_sets_that_cannot_be_used(tmp_path, content, message):
    with pytest.raises(EvaluationError, match=message):
        read_pair_set(write_set(tmp_path / "x.bin", content))


def test_damaged_or_missing_sets(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"no pickle")
    with pytest.raises(EvaluationError, match="not a plain set of pairs"):
        read_pair_set(tmp_path / "x.bin")
    with pytest.raises(EvaluationError, match="no such set"):
        read_pair_set(tmp_path / "none.bin")


def test_images_of_a_set_are_bounded(tmp_path):
    """Files of kilobytes can unpack to gigabytes, as those that are read from a disk."""
    huge = cv2.imencode(".png", np.zeros((2, 2**14 + 1), np.uint8))[1].tobytes()
    found = read_pair_set(write_set(tmp_path / "x.bin", ([huge] * 20, [True] * 10)))
    with pytest.raises(EvaluationError, match=r"Image 3 .* more pixels than an iris camera"):
        found.image(3, 3)


def test_a_set_cannot_ask_for_memory_that_it_does_not_fill(tmp_path):
    """Python would allocate a place for each number up to that of an object."""
    numbered = b"\x80\x03]r" + struct.pack("<I", 2**28) + b"."  # LONG_BINPUT
    (tmp_path / "x.bin").write_bytes(numbered)
    with pytest.raises(EvaluationError, match="numbers an object 268435456"):
        read_pair_set(tmp_path / "x.bin")
