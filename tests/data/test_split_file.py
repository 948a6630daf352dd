import pytest

from iris_tf.data.layouts import parse_image
from iris_tf.data.manifest import write_manifest
from iris_tf.data.split_file import split_by_table
from iris_tf.data.splits import check_splits
from iris_tf.support.errors import DatasetError

ROWS = [
    parse_image(f"{subject}/{eye}/{n}.png", "eye-folders")
    for subject in ("007", "8", "9")
    for eye in "LR"
    for n in "12"
]
OF_SUBJECT = {"007": "train", "8": "val", "9": "test"}


def table(tmp_path, *lines):
    path = tmp_path / "split.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8-sig")
    return path


def by_hand(tmp_path, column):
    units = dict.fromkeys((getattr(row, column), OF_SUBJECT[row.subject]) for row in ROWS)
    return table(tmp_path, f"{column},split", *(f"{name},{split}" for name, split in units))


@pytest.mark.parametrize("column", ["subject", "identity", "image"])
def test_the_splits_of_a_table_are_taken(tmp_path, column):
    rows = split_by_table(ROWS, by_hand(tmp_path, column))
    assert [row.image for row in rows] == [row.image for row in ROWS]
    assert [row.split for row in rows] == [OF_SUBJECT[row.subject] for row in rows]


def test_a_manifest_is_such_a_table_also_where_images_have_failed_in_it(tmp_path):
    rows = split_by_table(ROWS, by_hand(tmp_path, "subject"))
    write_manifest(tmp_path / "manifest.csv", rows[::2])
    assert split_by_table(ROWS, tmp_path / "manifest.csv") == rows


def test_images_that_are_not_listed_follow_their_eye_and_others_are_ignored(tmp_path):
    listed = [f"{row.image},{OF_SUBJECT[row.subject]}" for row in ROWS[::2]]
    path = table(tmp_path, "split,image", *(",".join(line.split(",")[::-1]) for line in listed))
    path.write_text(path.read_text() + "train,elsewhere/1.png\n")
    rows = split_by_table(ROWS, path)
    assert [row.split for row in rows] == [OF_SUBJECT[row.subject] for row in rows]


def test_an_eye_on_both_sides_is_refused(tmp_path):
    lines = [
        "image,split",
        *(f"{row.image},{'test' if '2' in row.image else 'train'}" for row in ROWS),
    ]
    for by in ("subject", "identity"):
        with pytest.raises(
            DatasetError,
            match=r"split\.csv: the eye 007_L is on both sides of the split "
            r"\(007/L/1\.png in train, 007/L/2\.png in test\), so that a model",
        ):
            split_by_table(ROWS, table(tmp_path, *lines), by)


def test_the_eyes_of_a_subject_may_be_separated_on_request_only(tmp_path):
    lines = ["identity,split"]
    lines += [f"{row.identity},{'train' if row.eye == 'L' else 'test'}" for row in ROWS]
    path = table(tmp_path, *lines)
    assert {row.split for row in split_by_table(ROWS, path, "identity")} == {"train", "test"}
    with pytest.raises(
        DatasetError,
        match=r"the subject 007 is on both sides of the split \(007_L in train, 007_R in test\).*"
        r"`--split-by identity`",
    ):
        split_by_table(ROWS, path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            (),
            "needs a header with a column `split` and one of identity, subject, image; it has none",
        ),
        (("subject,set", "8,train"), "it has subject, set"),
        (
            ("subject,split", "8,training"),
            "line 2: the split 'training' is none of train, val, test",
        ),
        (("subject,split", "8"), "line 2: the split '' is none of"),
        (
            ("subject,split", "8,train", "9,val", "8,test"),
            "line 4: subject 8 is in test here and in train above",
        ),
        # As a spreadsheet writes it.
        (
            ("subject,split", "7,train", "8,train", "9,test"),
            r"gives no split for 2 identities of the folder, such as 007_L "
            r"\(the first subject that it lists is 7\)",
        ),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, lines, message):
    with pytest.raises(DatasetError, match=message):
        split_by_table(ROWS, table(tmp_path, *lines))


def test_a_missing_table_and_one_that_is_no_text(tmp_path):
    with pytest.raises(DatasetError, match="there is no such file"):
        split_by_table(ROWS, tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="not a CSV table"):
        split_by_table(ROWS, tmp_path / "x.csv")


def test_rows_without_a_split_are_on_no_side():
    check_splits(ROWS, "manifest.csv", "subject")
