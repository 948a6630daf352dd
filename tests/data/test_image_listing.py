import pytest

from iris_tf.data.image_listing import count_kinds, list_folder
from iris_tf.support.errors import DatasetError


def touch(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_files_of_kinds_that_are_not_read_are_listed(tmp_path):
    unread = ["a/1.gif", "a/2.HEIC", "b/3.jp2", "b/4.webp", "b/5", "b/6.zip"]
    accompanying = ["readme.txt", "a/1.json", "a/1_mask.png", "a/Thumbs.db", ".DS_Store"]
    listing = list_folder(touch(tmp_path, ["a/1.png", "a/2.JPG", *unread, *accompanying]))
    assert listing.images == ["a/1.png", "a/2.JPG"]
    assert listing.unread == unread
    kinds = {".gif": 1, ".heic": 1, ".jp2": 1, ".webp": 1, "without a suffix": 1, ".zip": 1}
    assert count_kinds(listing.unread) == kinds


def test_the_most_frequent_kind_comes_first():
    assert list(count_kinds(["a.gif", "b.webp", "c.WebP"]).items()) == [(".webp", 2), (".gif", 1)]


def test_folders_without_images_are_listed(tmp_path):
    touch(tmp_path, ["a/1.png", "b/notes.txt", "c/1.gif", ".hidden/x"])
    (tmp_path / "d" / "L").mkdir(parents=True)
    assert list_folder(tmp_path).without_images == ["b", "d/L"]


def test_a_folder_of_other_kinds_only_says_so(tmp_path):
    touch(tmp_path, ["a/1.gif", "a/2.gif", "b/1.heic", "notes.txt"])
    with pytest.raises(
        DatasetError,
        match=r"there is no image in this folder but files of kinds that are not read "
        r"\(2 \.gif, 1 \.heic\); files ending in \.jpg",
    ):
        list_folder(tmp_path)
