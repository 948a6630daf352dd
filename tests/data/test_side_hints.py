import pytest

from iris_tf.data.layouts import parse_image
from iris_tf.data.side_hints import side_hints


def hints(*images):
    return side_hints([parse_image(image, "folder") for image in images])


@pytest.mark.parametrize(
    ("images", "pair"),
    [
        (("1/aeval1.bmp", "1/aeval2.bmp", "1/aevar1.bmp"), "1/aeval1.bmp, 1/aevar1.bmp"),
        (("a/1_OS.png", "a/2_OD.png", "b/1_OS.png"), "a/1_OS.png, a/2_OD.png"),
        (("a/lefteye7.jpg", "a/righteye9.jpg"), "a/lefteye7.jpg, a/righteye9.jpg"),
        (("a/LE_1.png", "a/RE_1.png"), "a/LE_1.png, a/RE_1.png"),
        # Words count, however few folders hold them.
        (
            ("a/1.png", "b/1.png", "c/1.png", "d/s1l2.png", "d/s1r3.png"),
            "d/s1l2.png, d/s1r3.png",
        ),
    ],
)
def test_names_of_images_that_look_like_sides_are_named(images, pair):
    (hint,) = hints(*images)
    assert hint.startswith(f"names of images look like sides ({pair}) and are not used")
    assert "--layout eye-names" in hint


@pytest.mark.parametrize(
    ("folders", "pair"),
    [
        (("014L", "014R", "015L"), "014L, 014R"),
        (("left_014", "right_014", "left_015", "right_016"), "left_014, right_014"),
        (("14OS", "14OD"), "14OS, 14OD"),
    ],
)
def test_names_of_folders_that_look_like_sides_are_named(folders, pair):
    (hint,) = hints(*(f"{folder}/1.png" for folder in folders))
    assert hint.startswith(f"names of folders look like sides ({pair}) and are not used")
    assert "<subject>_L" in hint


@pytest.mark.parametrize(
    "images",
    [
        ("02463/02463d1276.tiff", "02463/02463d1277.tiff", "04870/04870d13.tiff"),
        # Letters of words, in a few of the folders.
        ("lena/1.png", "rena/1.png", "anna/1.png", "ben/1.png", "cleo/1.png"),
        ("a/hall.png", "a/hare.png", "b/1.png"),
        ("a/flame.png", "a/frame.png", "b/1.png", "c/1.png"),
        # The sides of different subjects.
        ("014L/1.png", "015R/1.png"),
    ],
)
def test_names_that_tell_no_side_leave_the_general_hint(images):
    (hint,) = hints(*images)
    assert hint.startswith("all images of a folder count as one eye; if folders hold both")
