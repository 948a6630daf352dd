import json
import os

import pytest

from iris_tf.support.foreign_files import (
    Inside,
    leaves_folder,
    read_cells,
    read_json,
    read_object,
    read_table,
    read_text,
    shown,
)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_text_with_and_without_a_byte_order_mark(write):
    assert read_text(write("naïve"), 100) == "naïve"
    assert read_text(write("naïve".encode("utf-8-sig")), 100) == "naïve"


def test_only_text_of_a_bounded_size_is_read(write):
    assert read_text(write("12345"), 5) == "12345"
    with pytest.raises(ValueError, match="6 bytes, more than 5"):
        read_text(write("123456"), 5)
    with pytest.raises(ValueError, match="byte 2 is not UTF-8"):
        read_text(write(b"ab\xff"), 5)


def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_text(path, 100)
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path, 100)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"\xff\xfe{}", b"nul"]
)
def test_what_is_no_json_is_a_value_error(write, content):
    with pytest.raises(ValueError):
        read_json(write(content))


def test_json_objects(write):
    assert read_object(write('{"a": [1]}')) == {"a": [1]}
    with pytest.raises(ValueError, match="JSON object"):
        read_object(write("[1]"))


def test_tables_have_numbered_lines_and_empty_cells(write):
    path = write('a,b\n1,"x\ny"\n\n2\n3,4,5\n')
    rows = [(3, {"a": "1", "b": "x\ny"}), (5, {"a": "2", "b": ""}), (6, {"a": "3", "b": "4"})]
    assert list(read_table(path)) == rows
    assert next(cells for _, cells in read_cells(path)) == ["a", "b"]
    assert list(read_table(write(""))) == []


@pytest.mark.parametrize("content", [b"a\n\xff\n", b'a\n"' + b"x" * 200_000 + b'"\n'])
def test_what_is_no_table_is_a_value_error(write, content):
    with pytest.raises(ValueError):
        list(read_table(write(content)))


@pytest.mark.parametrize("name", ["a", "a/b.png", "", "..a/b..", "a/./b"])
def test_paths_that_stay(name):
    assert not leaves_folder(name)


@pytest.mark.parametrize("name", ["/etc/passwd", "..", "../a", "a/../../b", "a/..", "a\0b"])
def test_paths_that_leave(name):
    assert leaves_folder(name)


def test_links_inside_are_followed_and_links_to_the_outside_are_not(tmp_path):
    folder = tmp_path / "data"
    (folder / "real").mkdir(parents=True)
    (tmp_path / "private").mkdir()
    for place in (folder / "real", tmp_path / "private"):
        (place / "x.png").write_text("")
    (folder / "alias").symlink_to("real")
    (folder / "alias.png").symlink_to("real/x.png")
    (folder / "out").symlink_to("../private")
    (folder / "real" / "out.png").symlink_to(tmp_path / "private" / "x.png")
    inside = Inside(folder)
    for name in ("real/x.png", "alias/x.png", "alias.png", "missing/y.png"):
        assert inside(name) == folder / name
    for name in ("out/x.png", "real/out.png", "alias/out.png"):
        with pytest.raises(ValueError, match="is a link that leads out of the folder"):
            inside(name)
    with pytest.raises(ValueError, match="leads out of the folder"):
        inside("../private/x.png")


def test_a_folder_that_is_a_link_itself_is_no_obstacle(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    assert Inside(tmp_path / "data")("x") == tmp_path / "data" / "x"


@pytest.mark.parametrize("value", ["x" * 10_000, 10**4000, list(range(10_000)), {"a": "b" * 999}])
def test_long_values_are_shown_short(value):
    assert len(shown(value)) < 200


def test_short_values_are_shown_whole():
    values = json.loads('["a", 1.5, null, [64, 64]]')
    assert [shown(value) for value in values] == ["'a'", "1.5", "None", "[64, 64]"]
