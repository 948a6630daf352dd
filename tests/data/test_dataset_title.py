import pytest

from iris_tf.data.dataset_title import dataset_title


@pytest.mark.parametrize(
    ("layout", "synthetic", "expected"),
    [
        ("folder", False, "mine"),
        ("eye-folders", False, "mine"),
        ("casia-thousand", False, "casia-thousand"),
        ("casia-thousand", True, "synthetic eyes"),
    ],
)
def test_a_dataset_is_called_by_its_publisher_or_its_folder(layout, synthetic, expected):
    assert dataset_title({"layout": layout, "synthetic": synthetic}, "data/mine/") == expected


def test_the_current_folder_has_a_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert dataset_title({"layout": "folder", "synthetic": False}, ".") == tmp_path.name
