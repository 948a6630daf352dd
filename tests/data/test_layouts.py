import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from iris_tf.data.layouts import LAYOUTS, dataset_name, read_layout
from iris_tf.support.errors import DatasetError
from iris_tf.synthetic.dataset_writer import synthesize

# Layout -> image: (subject, eye, identity, sample), as the sets' own notes describe them.
EXAMPLES = {
    "casia-thousand": {
        "000/L/S5000L00.jpg": ("000", "L", "000_L", "00"),
        "000/R/S5000R09.jpg": ("000", "R", "000_R", "09"),
        "999/R/S5999R03.jpg": ("999", "R", "999_R", "03"),
    },
    "casia-lamp": {
        "001/L/S2001L01.jpg": ("001", "L", "001_L", "01"),
        "411/R/S2411R20.jpg": ("411", "R", "411_R", "20"),
    },
    "casia-interval": {
        "001/L/S1001L01.jpg": ("001", "L", "001_L", "01"),
        "249/R/S1249R10.jpg": ("249", "R", "249_R", "10"),
    },
    "casia-v1": {
        "001/1/001_1_1.bmp": ("001", "", "001", "1_1"),
        "001/2/001_2_4.bmp": ("001", "", "001", "2_4"),
        "108/2/108_2_1.bmp": ("108", "", "108", "2_1"),
    },
    "iitd": {
        "001/01_L.bmp": ("001", "L", "001_L", "01"),
        "224/10_R.bmp": ("224", "R", "224_R", "10"),
    },
    "mmu1": {
        "1/left/aeval1.bmp": ("1", "L", "1_L", "aeval1"),
        "46/right/zulaikahr5.bmp": ("46", "R", "46_R", "zulaikahr5"),
    },
    "mmu2": {
        "010101.bmp": ("01", "L", "01_L", "01"),
        "990205.bmp": ("99", "R", "99_R", "05"),
        "1000203.bmp": ("100", "R", "100_R", "03"),
    },
    "ufpr-periocular": {
        "C0001S1I1L.jpg": ("0001", "L", "0001_L", "S1I1"),
        "C1122S3I15R.jpg": ("1122", "R", "1122_R", "S3I15"),
    },
    "eye-folders": {
        "anna/L/1.png": ("anna", "L", "anna_L", "1"),
        "anna/right/1.png": ("anna", "R", "anna_R", "1"),
        "ben/Left/a.b.pgm": ("ben", "L", "ben_L", "a.b"),
    },
    "eye-suffixes": {
        "014_L/1.png": ("014", "L", "014_L", "1"),
        "014_R/1.png": ("014", "R", "014_R", "1"),
        "anna-maria-left/a.b.pgm": ("anna-maria", "L", "anna-maria_L", "a.b"),
    },
    "eye-names": {
        "001/IMG_001_L_1.bmp": ("001", "L", "001_L", "IMG_001_L_1"),
        "001/IMG_001_R_1.bmp": ("001", "R", "001_R", "IMG_001_R_1"),
        "lola/7left.png": ("lola", "L", "lola_L", "7left"),
        "lola/s1001r02.jpg": ("lola", "R", "lola_R", "s1001r02"),
    },
    "folder": {
        "anna left/1.png": ("anna left", "", "anna left", "1"),
        "anna left/2.tif": ("anna left", "", "anna left", "2"),
        "ben/a.b.pgm": ("ben", "", "ben", "a.b"),
    },
}


def touch(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # readers go by names; what is inside is found out later
    return folder


@pytest.mark.parametrize("asked", ("auto", "by name"))
@pytest.mark.parametrize("layout", EXAMPLES)
def test_each_layout_is_found_and_read(tmp_path, layout, asked):
    touch(tmp_path, EXAMPLES[layout])
    scan = read_layout(tmp_path, "auto" if asked == "auto" else layout)
    assert scan.name == layout
    found = {r.image: (r.subject, r.eye, r.identity, r.sample) for r in scan.rows}
    assert found == EXAMPLES[layout]
    assert [row.image for row in scan.rows] == sorted(EXAMPLES[layout])
    assert {row.dataset for row in scan.rows} == {layout}
    assert {(row.split, row.roi, row.iris) for row in scan.rows} == {("", "", None)}


def test_every_layout_has_an_example():
    assert {"auto", *EXAMPLES} == set(LAYOUTS)


def test_suffixes_may_be_of_any_case_and_any_image_kind(tmp_path):
    touch(tmp_path, ("000/L/S5000L00.JPG", "000/L/S5000L01.png", "000/L/S5000L02.Bmp"))
    scan = read_layout(tmp_path)
    assert scan.name == "casia-thousand"
    assert len(scan.rows) == 3


def test_masks_hidden_files_and_other_files_are_no_images(tmp_path):
    touch(tmp_path, EXAMPLES["casia-thousand"])
    touch(
        tmp_path,
        (
            "000/L/S5000L00_mask.png",
            "000/L/S5000L00.json",
            "000/L/._S5000L00.jpg",
            ".cache/S5000L01.jpg",
            "000/Thumbs.db",
            "synthesis.json",
        ),
    )
    scan = read_layout(tmp_path)
    assert [row.image for row in scan.rows] == sorted(EXAMPLES["casia-thousand"])
    assert scan.unmatched == []


def test_a_picture_that_is_only_called_a_mask_is_one(tmp_path):
    touch(tmp_path, ("a/1_mask.png", "a/2_mask.jpg", "a/3.png", "a/3_mask.png"))
    assert [row.sample for row in read_layout(tmp_path).rows] == ["1_mask", "2_mask", "3"]


def test_a_few_strays_neither_break_detection_nor_go_unsaid(tmp_path):
    names = [f"{s:03d}/L/S1{s:03d}L{i:02d}.jpg" for s in range(1, 9) for i in range(1, 3)]
    strays = ["001/L/contact_sheet.jpg", "002/L/S1003L01.jpg", "readme.png"]
    touch(tmp_path, names + strays)
    scan = read_layout(tmp_path)
    assert scan.name == "casia-interval"
    assert [row.image for row in scan.rows] == names
    assert scan.unmatched == strays


def test_iitd_leaves_normalised_images_and_stray_jpegs_aside(tmp_path):
    raw = [f"{s:03d}/{i:02d}_L.bmp" for s in range(1, 4) for i in range(1, 11)]
    normalised = [f"Normalized_Images/{s:03d}_{i}.bmp" for s in range(1, 4) for i in range(1, 6)]
    touch(tmp_path, raw + normalised + ["001/11_L.jpg", "001/12_L.jpg"])
    scan = read_layout(tmp_path)
    assert scan.name == "iitd"
    assert [row.image for row in scan.rows] == raw
    assert scan.unmatched == ["001/11_L.jpg", "001/12_L.jpg"]


def test_folder_takes_what_no_specific_layout_fits(tmp_path):
    # The same names as Interval, but the digit of no CASIA set.
    touch(tmp_path, ("001/S9001L01.jpg", "001/S9001L02.jpg", "002/S9002L01.jpg"))
    scan = read_layout(tmp_path)
    assert scan.name == "folder"
    assert [row.identity for row in scan.rows] == ["001", "001", "002"]


def test_the_specific_layout_wins_over_folder(tmp_path):
    touch(tmp_path, EXAMPLES["iitd"])  # also fits <identity>/<image>
    assert read_layout(tmp_path).name == "iitd"
    assert read_layout(tmp_path, "folder").name == "folder"


def test_links_to_subjects_are_followed_and_rings_of_links_end(tmp_path):
    touch(tmp_path / "all", EXAMPLES["iitd"])
    subset = tmp_path / "subset"
    subset.mkdir()
    os.symlink(tmp_path / "all" / "001", subset / "001")
    os.symlink(subset, subset / "again")
    assert [row.image for row in read_layout(subset).rows] == ["001/01_L.bmp"]


def test_a_missing_folder(tmp_path):
    with pytest.raises(DatasetError, match="nowhere: there is no such folder"):
        read_layout(tmp_path / "nowhere")


def test_a_file_for_a_folder(tmp_path):
    touch(tmp_path, ["eye.png"])
    with pytest.raises(DatasetError, match=r"eye\.png: this is a file"):
        read_layout(tmp_path / "eye.png")


@pytest.mark.parametrize("others", ((), ("notes.txt", "a/b.mat")))
def test_a_folder_without_images(tmp_path, others):
    touch(tmp_path, others)
    with pytest.raises(DatasetError, match=r"there is no image in this folder.*\.pgm"):
        read_layout(tmp_path)


def test_a_mismatch_says_what_was_found_and_tried(tmp_path):
    names = [f"session/{s}/day/{i}.png" for s in "abc" for i in range(4)]
    touch(tmp_path, names)
    with pytest.raises(DatasetError) as caught:
        read_layout(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "found 12 images like session/" in message
    for layout in EXAMPLES:
        assert layout in message
    assert "<identity>/<image>" in message


def test_a_named_layout_that_does_not_fit_names_only_itself(tmp_path):
    touch(tmp_path, [*EXAMPLES["iitd"], "x/y.bmp", "x/z.bmp"])
    with pytest.raises(DatasetError) as caught:
        read_layout(tmp_path, "mmu1")
    assert "tried mmu1 (1/left/aeval1.bmp): " in str(caught.value)
    with pytest.raises(DatasetError, match=r"tried iitd \(001/01_L\.bmp; 2 fit\)"):
        read_layout(tmp_path, "iitd")


@pytest.mark.parametrize(
    "layout", [name for name in EXAMPLES if name not in ("folder", "eye-names", "eye-suffixes")]
)
def test_the_folder_above_is_answered_with_the_right_one(tmp_path, layout):
    touch(tmp_path / "CASIA or so", EXAMPLES[layout])
    with pytest.raises(DatasetError, match=f"layout {layout}.*give the folder .*CASIA or so"):
        read_layout(tmp_path)


def test_two_collections_in_one_folder_are_not_answered_with_one_of_them(tmp_path):
    for collection in ("first", "second"):
        touch(tmp_path / collection, EXAMPLES["casia-interval"])
    with pytest.raises(DatasetError, match="fewer than 80% fit"):
        read_layout(tmp_path)


def test_an_unknown_layout_lists_the_known(tmp_path):
    with pytest.raises(DatasetError, match="casia-thousand, casia-lamp"):
        read_layout(tmp_path, "ubiris")


def test_names_that_are_not_utf8_are_left_out(tmp_path):
    touch(tmp_path, [f"ana/{i}.png" for i in range(9)])
    try:
        with open(os.path.join(os.fsencode(tmp_path), b"ana", b"\xff.png"), "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    scan = read_layout(tmp_path)
    assert len(scan.rows) == 9
    assert len(scan.unmatched) == 1


def test_an_image_is_a_row_whatever_it_holds(tmp_path):
    touch(tmp_path, EXAMPLES["mmu2"])  # zero-byte files
    cv2.imwrite(str(tmp_path / "020101.bmp"), np.zeros((1, 1), np.uint8))
    assert len(read_layout(tmp_path).rows) == 4


def test_synthetic_eyes_are_casia_thousand(tmp_path):
    out = synthesize(tmp_path / "eyes", subjects=1, images=1, seed=0, jobs=1)
    scan = read_layout(out)
    assert scan.name == "casia-thousand"
    assert [row.image for row in scan.rows] == ["000/L/S5000L00.jpg", "000/R/S5000R00.jpg"]
    assert scan.unmatched == []


@pytest.mark.parametrize(
    "names",
    (
        ("1/a_L_1.png", "1/a_L_2.png", "2/b_R_1.png"),  # no folder has both
        ("1/a_L_1.png", "1/a_R_1.png", "2/b.png"),  # one name does not say it
        ("1/a_L_R.png", "1/a_R_1.png", "2/b_L.png"),  # one says both
        ("1/al_1.png", "1/ar_1.png"),  # letters of words
    ),
)
def test_a_folder_is_one_eye_unless_all_names_tell_both(tmp_path, names):
    scan = read_layout(touch(tmp_path, names))
    assert scan.name == "folder"
    assert len({row.identity for row in scan.rows}) == len({name[0] for name in names})


def test_a_known_set_saved_in_another_format_keeps_its_eyes_apart(tmp_path):
    names = [f"001/{n:02d}_{eye}.jpg" for n in range(3) for eye in "LR"]
    scan = read_layout(touch(tmp_path, names))
    assert {row.identity for row in scan.rows} == {"001_L", "001_R"}


def test_folders_that_link_to_each_other_are_read_once(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(b"image")
        for other in "abc":
            if other != name:
                (tmp_path / name / f"see_{other}").symlink_to(f"../{other}")
    scan = read_layout(tmp_path, "folder")
    expected = [f"{name}/{number}.png" for name in "abc" for number in range(3)]
    assert [row.image for row in scan.rows] == expected


def test_linked_folders_outside_that_link_to_each_other_are_read_once(tmp_path):
    for name in "ab":
        (tmp_path / "outside" / name).mkdir(parents=True)
        (tmp_path / "outside" / name / "0.png").write_bytes(b"image")
    (tmp_path / "outside" / "a" / "b").symlink_to("../b")
    (tmp_path / "outside" / "b" / "a").symlink_to("../a")
    own = [f"x/{number}.png" for number in range(9)]
    touch(tmp_path / "eyes", own)
    (tmp_path / "eyes" / "y").symlink_to(tmp_path / "outside" / "a")
    scan = read_layout(tmp_path / "eyes", "folder")
    found = [row.image for row in scan.rows] + scan.unmatched
    assert sorted(found) == [*own, "y/0.png", "y/b/0.png"]


def test_a_stray_name_does_not_merge_both_eyes_of_everybody(tmp_path):
    names = [f"P{s}/{eye}_{k}.jpg" for s in range(4) for eye in ("left", "right") for k in range(3)]
    scan = read_layout(touch(tmp_path, [*names, "P2/test.jpg"]))
    assert scan.name == "eye-names"
    assert scan.unmatched == ["P2/test.jpg"]
    assert len({row.identity for row in scan.rows}) == 8


def test_suffixes_of_folders_without_two_eyes_of_anybody_are_names(tmp_path):
    scan = read_layout(touch(tmp_path, ["anna_l/1.png", "ben_r/1.png", "cleo_l/1.png"]))
    assert scan.name == "folder"


@pytest.mark.parametrize(
    ("layout", "images", "others", "missing"),
    [
        ("folder", ["ann/1.png"], ["ann/2.gif", "bea/1.heic", "cleo/"], ["bea", "cleo"]),
        (
            "eye-folders",
            ["ann/L/1.png", "ann/R/1.png"],
            ["bea/L/1.gif", "cleo/R/"],
            ["bea_L", "cleo_R"],
        ),
        (
            "eye-names",
            ["ann/1_L.png", "ann/1_R.png"],
            ["bea/1_L.webp", "bea/1_R.webp", "cleo/"],
            ["bea_L", "bea_R", "cleo"],
        ),
        ("iitd", ["001/01_L.bmp"], ["002/", "Thumbs.xcf"], ["002"]),
    ],
)
def test_identities_without_an_image_that_is_read_are_named(
    tmp_path, layout, images, others, missing
):
    touch(tmp_path, [*images, *(name for name in others if not name.endswith("/"))])
    for name in others:
        if name.endswith("/"):
            (tmp_path / name).mkdir(parents=True)
    scan = read_layout(tmp_path)
    assert scan.name == layout
    assert scan.unread == [name for name in others if not name.endswith("/")]
    assert scan.without_images == missing


def test_a_dataset_is_called_by_its_published_layout_or_its_folder(tmp_path):
    assert dataset_name("iitd", tmp_path / "x") == "iitd"
    assert dataset_name("folder", tmp_path / "my eyes") == "my eyes"
    assert dataset_name("eye-names", tmp_path / "x" / "..") == tmp_path.name
    assert dataset_name("folder", Path("/")) == "folder"
